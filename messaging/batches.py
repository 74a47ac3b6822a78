"""A notice goes out in batches: so many a minute by the database's clock, never twice to one person, until paused.

The rows are the work: whoever dies between two batches leaves nothing half done, and the next one goes on from there.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import prefetch_related_objects
from django.db.models.functions import Now

from consent.models import Subject
from messaging import mass, notices
from messaging.models import Message, Notice, NoticeEvent, TemplateVersion
from messaging.services import NewMessage, enqueue

log = structlog.get_logger(__name__)

AT_ONCE = 200  # people that one transaction writes down
ROUNDS = 30  # batches that one nudge does before it makes room for others
MINUTE = timedelta(minutes=1)
SYSTEM = "system:notices"
State = Notice.State

# Two recipients that were merged since the counting are one person, who gets one message.
MERGED = """
    UPDATE messaging_noticerecipient r SET excluded = 'merged'
      FROM consent_subject s
     WHERE r.id = ANY (%s) AND r.message_id IS NULL AND r.excluded = '' AND s.id = r.subject_id
       AND s.merged_into_id IS NOT NULL AND EXISTS (
         SELECT FROM consent_subject same JOIN messaging_noticerecipient other ON other.subject_id = same.id
          WHERE (same.id = s.merged_into_id OR same.merged_into_id = s.merged_into_id)
            AND other.notice_id = r.notice_id AND other.id <> r.id AND other.excluded = ''
            AND (other.message_id IS NOT NULL OR same.id = s.merged_into_id OR other.id < r.id))
"""
OWED = """
    UPDATE messaging_noticerecipient r SET message_id = m.id, owed_at = clock_timestamp()
      FROM messaging_message m
     WHERE r.id = ANY (%s) AND r.message_id IS NULL AND r.excluded = ''
       AND m.notice_id = r.notice_id AND m.subject_id = r.subject_id
"""


def send_due() -> int:
    """One batch of each notice that is being sent; returns how many people were written down."""
    at_work = Notice.objects.filter(state=State.SENDING).order_by("started_at")
    return sum(_batch_of(pk) for pk in at_work.values_list("pk", flat=True))


def send_all(rounds: int = ROUNDS) -> int:
    """Until the rates allow no more for now."""
    total = 0
    for _ in range(rounds):
        if not (owed := send_due()):
            break
        total += owed
    return total


def _batch_of(notice_id: int) -> int:
    """One that breaks does not stop the others."""
    try:
        return send_batch(notice_id)
    except Exception:
        if not connection.is_usable():
            raise
        log.exception("notice_not_sent", notice=notice_id)
        return 0


@transaction.atomic
def send_batch(notice_id: int) -> int:
    """Owe the next of a notice; returns how many. None where it is paused, done, or in another worker's hands."""
    taken = Notice.objects.lean().select_related("version", "template").filter(pk=notice_id, state=State.SENDING)
    notice = taken.select_for_update(skip_locked=True, of=("self",)).first()
    if notice is None or notice.version is None:
        return 0
    if notice.version.state != TemplateVersion.State.PUBLISHED:
        notices.pause(notice, reason=f"{notice.version} was retired after the approval.", by=SYSTEM)
        return 0
    ids = list(
        notice.recipients.to_be_owed().order_by("pk").values_list("pk", flat=True)[: min(AT_ONCE, allowed_now(notice))]
    )
    if ids:
        return owe(notice, notice.version, ids)
    finish(notice)
    return 0


def allowed_now(notice: Notice) -> int:
    """How many may be owed now: what is left of this minute's rate, and no more than a minute's worth waiting for us.
    Whoever is asked to come back later keeps nobody else waiting.
    """
    owed = notice.recipients.owed_within(MINUTE).count()
    waiting = Message.objects.filter(notice=notice).wait_for_us(Now()).count()
    return max(0, notice.rate - max(owed, waiting))


def owe(notice: Notice, version: TemplateVersion, ids: list[int]) -> int:
    """Write messages down for these recipients, with the text that was approved. A fixed number of statements."""
    prefetch_related_objects([version], "bodies")
    with connection.cursor() as cursor:
        cursor.execute(MERGED, [ids])
        people = list(
            notice.recipients.to_be_owed().filter(pk__in=ids).values_list("subject_id", flat=True).order_by("pk")
        )
        locales = dict(Subject.objects.filter(pk__in=people).exclude(locale="").values_list("pk", "locale"))
        enqueue([message_of(notice, version, subject_id, locales.get(subject_id, "en")) for subject_id in people])
        cursor.execute(OWED, [ids])
    return len(ids)


def message_of(notice: Notice, version: TemplateVersion, subject_id: UUID, locale: str) -> NewMessage:
    """One of many: in doubt it is never sent twice by itself, and where the law asks for it two people decide."""
    return NewMessage(
        template_key=notice.template_id,
        subject_id=subject_id,
        cause=f"notice:{notice.ref}",
        context=notice.context,
        locale=locale,
        purpose=notice.purpose,
        incident_id=notice.incident_id,
        notice_id=notice.pk,
        version=version,
        lane=Message.Lane.BULK,
    )


def finish(notice: Notice) -> None:
    """Done, when all were owed and nothing is on its way; what is in doubt or failed stays in the report."""
    on_its_way = [*Message.WAITING, Message.State.SENDING, Message.State.HELD]
    if notice.recipients.to_be_owed().exists():
        return
    if Message.objects.filter(notice=notice, state__in=on_its_way).exists():
        return
    Notice.objects.filter(pk=notice.pk).update(state=State.DONE, done_at=Now())
    notices.note(notice, NoticeEvent.Kind.DONE, SYSTEM)
    log.info("notice_done", notice=notice.ref)


def tend() -> int:
    """What slipped past a pause or a cancellation because it was with a relay at that moment, and what waits for people
    who were erased; returns how many.
    """
    stopped = _stop(State.PAUSED, Message.WAITING, mass.hold_all, "The notice is paused.")
    stopped += mass.suppress_erased()
    return stopped + _stop(
        State.CANCELLED, [*Message.WAITING, Message.State.HELD], mass.cancel_all, "The notice was cancelled."
    )


def _stop(state: str, waiting: Sequence[str], verb: Callable[..., int], reason: str) -> int:
    """Each under its lock, and only while it is still so: somebody may have resumed it since it was found."""
    late = Message.objects.filter(state__in=waiting, notice__isnull=False)
    stopped = 0
    for pk in list(Notice.objects.filter(state=state, messages__in=late).values_list("pk", flat=True).distinct()):
        with transaction.atomic():
            if notice := Notice.objects.lean().select_for_update().filter(pk=pk, state=state).first():
                stopped += verb(notice, reason=reason, by=SYSTEM)
    return stopped
