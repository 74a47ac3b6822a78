"""What nobody was nudged about, and what a worker left behind: found by looking, every few seconds."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q
from django.db.models.functions import Now

from config.steps import Step, each
from consent.models import Subject
from messaging import health, outcomes, suppressing
from messaging.claiming import MAYBE_SENT, TOO_LATE
from messaging.delivery import is_spent, pause_after
from messaging.models import FOUR_EYES, DeliveryAttempt, Message
from messaging.services import note
from messaging.transports import configured

log = structlog.get_logger(__name__)

REMEMBERED = timedelta(hours=20)  # those that make one of two promise it for a day
UNKNOWN_AFTER = timedelta(days=1)  # a doubt that nobody asks again about: by then whatever could be heard was heard
DOUBT_WINDOW = timedelta(minutes=15)  # for evidence to arrive, before a confirmation is sent again
AT_ONCE = 200
NOTHING_ELSE: Mapping[str, Step] = {}
LATELY = timedelta(days=1)  # whoever was erased since is looked at each time; of those before some
State, Phase = Message.State, DeliveryAttempt.Phase


@transaction.atomic
def recover() -> int:
    """A lease that ended: before the point of no return it is safe to try again, after it nobody knows."""
    abandoned = Message.objects.abandoned(Now()).select_for_update(skip_locked=True)[:AT_ONCE]
    for message in abandoned:
        attempt = message.attempts.latest("number")
        if attempt.phase == Phase.INTENT:
            state, why = State.RETRY_WAIT, "The worker went away before anything was sent."
            if is_spent(message):
                state = State.FAILED
        else:
            state, why = State.IN_DOUBT, "The worker went away while the message was handed over."
            log.error("message_in_doubt", message=str(message.pk), error=why)
        DeliveryAttempt.objects.filter(pk=attempt.pk).update(outcome=state, reply_text=why, ended_at=Now())
        Message.objects.filter(pk=message.pk).update(
            state=state,
            lease=None,
            lease_until=None,
            last_error=why,
            settled_at=Now() if state == State.FAILED else None,
            not_before=Now() + pause_after(message.tries),
        )
    return len(abandoned)


def expire() -> int:
    """Too late: expired where it was certainly not sent, else closed as unknown."""
    late = Message.objects.filter(state__in=[*Message.WAITING, State.HELD], expires_at__lte=Now())
    why = f"{TOO_LATE} {MAYBE_SENT}"
    unknown = late.maybe_sent().update(state=State.CLOSED_UNKNOWN, settled_at=Now(), last_error=why)
    certain = late.exclude(attempts__in=DeliveryAttempt.objects.maybe_sent())
    return unknown + certain.update(state=State.EXPIRED, settled_at=Now(), last_error=TOO_LATE)


def ask_again() -> int:
    """A transport that makes one message of two is simply asked again: its answer clears the doubt. Once; and what it
    could not be asked in time, or cannot be asked any more, is in doubt again, to be sent by whatever works.
    """
    idempotent = [
        t.name for channel in configured.channels() for t in configured.transports(channel) if t.is_idempotent
    ]
    waiting = Message.objects.filter(is_pinned=True, state=State.RETRY_WAIT)
    lost = waiting.filter(~Q(transport__in=idempotent) | Q(pk__in=_in_doubt_since(REMEMBERED)))
    count = lost.update(state=State.IN_DOUBT, is_pinned=False)
    fresh = Message.objects.filter(state=State.IN_DOUBT, transport__in=idempotent, is_pinned=False)
    for message in fresh.exclude(pk__in=_in_doubt_since(REMEMBERED))[:AT_ONCE]:
        with transaction.atomic():
            mine = Message.objects.filter(pk=message.pk, state=State.IN_DOUBT, is_pinned=False)
            if mine.update(state=State.RETRY_WAIT, is_pinned=True, not_before=Now()):
                reason = f"{message.transport} makes one message of two: asking again clears the doubt."
                note(message, "sweep", "asked_again", {"by": "system:sweep", "reason": reason})
                count += 1
    return count


@transaction.atomic
def resend_doubtful() -> int:
    """Where a gap is worse than a copy, a doubt that nothing resolved is sent again: once, marked, the same bytes."""
    doubtful = (
        Message.objects.select_for_update(skip_locked=True)
        .filter(state=State.IN_DOUBT, on_doubt=Message.OnDoubt.RESEND, possible_duplicate=False)
        .filter(pk__in=_in_doubt_since(DOUBT_WINDOW))[:AT_ONCE]
    )
    for message in doubtful:
        Message.objects.filter(pk=message.pk).update(
            state=State.RETRY_WAIT, possible_duplicate=True, is_pinned=False, not_before=Now()
        )
        note(message, "sweep", "resent", {"by": "system:sweep", "reason": "Nothing was heard within the doubt window."})
    return len(doubtful)


@transaction.atomic
def close_doubtful() -> int:
    """What is never sent twice by itself stays in doubt for a day, for evidence and for a person; then it is unknown
    for good. What the law asks for is left to two people.
    """
    doubtful = (
        Message.objects.select_for_update(skip_locked=True)
        .filter(state=State.IN_DOUBT, on_doubt=Message.OnDoubt.NEVER, pk__in=_in_doubt_since(UNKNOWN_AFTER))
        .exclude(message_class__in=FOUR_EYES)[:AT_ONCE]
    )
    for message in doubtful:
        Message.objects.filter(pk=message.pk).update(state=State.CLOSED_UNKNOWN, settled_at=Now())
        note(message, "sweep", "closed_unknown", {"by": "system:sweep", "reason": "Nothing was heard within a day."})
    return len(doubtful)


@transaction.atomic
def take_up_refused() -> int:
    """Whoever refuses everybody was believed at first: those refused since it last took something get another try, and
    nobody is suppressed for it.
    """
    count = 0
    for transport, since in health.refusing():
        answers = DeliveryAttempt.objects.filter(message=OuterRef("pk"), number=OuterRef("attempts_made"))
        refused = Message.objects.select_for_update(skip_locked=True).filter(
            Exists(answers.filter(outcome=State.REJECTED, reply_code__isnull=False)),
            state=State.REJECTED,
            transport=transport,
        )
        for message in (refused.filter(settled_at__gt=since) if since else refused)[:AT_ONCE]:
            Message.objects.filter(pk=message.pk).update(
                state=State.RETRY_WAIT, settled_at=None, transport="", is_pinned=False, not_before=Now()
            )
            reason = f"{transport} refused everybody since, so its word says nothing about this recipient."
            note(message, "sweep", "resent", {"by": "system:sweep", "reason": reason})
            suppressing.take_back(message, reason=reason)
            count += 1
    return count


def forget() -> int:
    """Of a person who was erased no address and no text stays once a message is settled; its hash and its story do."""
    lately = Subject.objects.filter(erased_at__gt=Now() - LATELY).values("pk")
    return sum(_forget(people) for people in (lately, _some_who_were_erased()))


def _some_who_were_erased() -> list[UUID]:
    """From somewhere on, and round. A message that waited for a decision may settle long after its person was erased:
    each is looked at again within hours, and no mark has to be kept of who was.
    """
    erased = Subject.objects.filter(erased_at__isnull=False).order_by("pk").values_list("pk", flat=True)
    start = uuid4()
    some = list(erased.filter(pk__gte=start)[:AT_ONCE])
    return some + list(erased.filter(pk__lt=start)[: AT_ONCE - len(some)])


def _forget(people: Any) -> int:
    settled = Message.objects.filter(subject_id__in=people, settled_at__isnull=False)
    return settled.filter(
        Q(sealed_recipient__isnull=False) | Q(sealed_raw__isnull=False) | Q(sealed_context__isnull=False)
    ).update(sealed_recipient=None, sealed_raw=None, sealed_context=None)


def _in_doubt_since(window: timedelta) -> Any:
    """Messages whose doubt is older than that."""
    doubts = DeliveryAttempt.objects.filter(outcome=State.IN_DOUBT, message__settled_at=None).values("message")
    return doubts.annotate(last=Max("ended_at")).filter(last__lte=Now() - window).values("message")


# In this order: what lies on disk is known before a lease's end is taken for a doubt.
STEPS: dict[str, Step] = {
    "answers taken from disk": outcomes.replay,
    "abandoned set free": recover,
    "too late expired": expire,
    "doubts asked about again": ask_again,
    "doubts sent again": resend_doubtful,
    "doubts closed": close_doubtful,
    "refused by who refuses all": take_up_refused,
    "erased people forgotten": forget,
}


def sweep(others: Mapping[str, Step] = NOTHING_ELSE) -> int:
    """Every step, and what else whoever sweeps does each time; returns how many messages changed. Only what went
    through as a whole counts as a sweep.
    """
    changed, broken = each({**STEPS, **others})
    if not broken:
        health.swept(configured.all_names())
    return sum(changed.values())
