"""What staff do with a notice: write and count it, approve what a colleague wrote, send, pause and cancel it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from config.models import User
from config.text import CONTROL
from consent.models import Purpose
from consent.services import actor_of
from messaging import cohorts
from messaging.counting import count_in, fingerprint_of
from messaging.gate import ALLOWED_ANYWAY
from messaging.gates import problems_of_facts
from messaging.mass import cancel_all, hold_all, release_all, suppress_erased
from messaging.models import MessageClass, Notice, NoticeEvent, NoticeRecipient, Template, TemplateVersion

# Confirmations answer a choice, one by one; nobody is told a choice that they did not make.
CLASSES = (
    MessageClass.PRIVACY_NOTICE, MessageClass.INCIDENT_NOTICE, MessageClass.CONSENT_UPDATE, MessageClass.OPERATIONAL,
)  # fmt: skip
LONGEST_REASON = 500
CODE = 8  # characters of the fingerprint that whoever approves copies from the page
DRAFTED = (
    "title", "template_id", "context", "purpose", "incident_id", "reason", "cohort_kind", "cohort", "listed", "rate",
)  # fmt: skip
State, Kind = Notice.State, NoticeEvent.Kind


@transaction.atomic
def write(
    title: str,
    *,
    template: str,
    context: Mapping[str, Any],
    cohort_kind: str,
    reason: str,
    by: User | str,
    cohort: Mapping[str, Any] | None = None,
    listed: Sequence[UUID] = (),
    purpose: str = "",
    incident_id: int | None = None,
    rate: int = 600,
) -> Notice:
    """A draft. Raises ValidationError for a text that is not published, and for facts or a cohort that do not fit.

    `context` holds JSON, moments as ISO 8601; `cohort` the filters of a query; `listed` the ids of a list.
    """
    notice = Notice(
        title=title.strip(),
        template_id=template,
        context=dict(context),
        purpose=purpose,
        incident_id=incident_id,
        reason=reason.strip(),
        cohort_kind=cohort_kind,
        cohort=dict(cohort or {}),
        listed=list(listed),
        rate=rate,
        created_by=actor_of(by),
    )
    _check(notice)
    notice.ref = _next_ref()
    notice.save()
    note(notice, Kind.WRITTEN, by, reason)
    return notice


@transaction.atomic
def edit(notice: Notice, *, why: str, by: User | str, **facts: Any) -> Notice:
    """Change what a notice says or to whom: it is a draft again, and an approval is void. Raises ValidationError.

    `facts` are those of `write`; what is not named stays.
    """
    notice = _locked(notice, Notice.OPEN, "be changed")
    _say_why(why)
    facts = {{"template": "template_id"}.get(name, name): value for name, value in facts.items()}
    if unknown := set(facts) - set(DRAFTED):
        raise TypeError(f"A notice has no {', '.join(sorted(unknown))}.")
    was = {"state": notice.state, "approved_by": notice.approved_by}
    for name, value in facts.items():
        setattr(notice, name, value)
    _draft(notice)
    notice.edited_at, notice.edited_by = timezone.now(), actor_of(by)
    _check(notice)
    notice.save()
    note(notice, Kind.EDITED, by, why, was=was)
    return notice


@transaction.atomic
def count(notice: Notice, *, reason: str, by: User | str) -> Notice:
    """Write down who it goes to and who is left out, and fix its text: the newest published version.

    Raises ValidationError where nobody is left to write to, or the text cannot be rendered with these facts.
    """
    notice = _locked(notice, Notice.OPEN, "be counted")
    _say_why(reason)
    if notice.state != State.DRAFT:
        _draft(notice)
        notice.save()
    version = _check(notice)
    count_in(notice, list(cohorts.find(notice)))
    if not notice.to_write:
        raise ValidationError(f"Nobody is left to write to: the cohort is empty or all {notice.left_out} are left out.")
    notice.version, notice.fingerprint = version, fingerprint_of(notice, version)
    notice.state, notice.counted_at, notice.counted_by = State.COUNTED, timezone.now(), actor_of(by)
    notice.save()
    note(notice, Kind.COUNTED, by, reason, **_numbers(notice))
    return notice


@transaction.atomic
def approve(notice: Notice, *, code: str, reason: str, by: User | str) -> Notice:
    """A second person agrees to exactly these people, this text and these facts.

    `code`: the first characters of the fingerprint, as the page shows them. Raises ValidationError for whoever wrote,
    changed or counted it, and when it is not what they saw.
    """
    notice = _locked(notice, [State.COUNTED], "be approved")
    _say_why(reason)
    if bytes(notice.fingerprint or b"").hex()[:CODE] != code.strip().lower():
        raise ValidationError("This is not the fingerprint of the notice as it is now. Read the page again.")
    if notice.version != _newest(notice.template_id):
        raise ValidationError("Another version of its text was published since it was counted. Count it again.")
    if actor_of(by) in hands_in(notice):
        raise ValidationError("You wrote, changed or counted this notice: ask a colleague to approve it.")
    notice.state, notice.approved_at, notice.approved_by = State.APPROVED, timezone.now(), actor_of(by)
    notice.approved_fingerprint = notice.fingerprint
    notice.validate_constraints()
    notice.save()
    note(notice, Kind.APPROVED, by, reason, **_numbers(notice))
    return notice


@transaction.atomic
def start(notice: Notice, *, reason: str, by: User | str) -> Notice:
    """Send it, in batches, at its rate. Raises ValidationError unless it is approved."""
    notice = _locked(notice, [State.APPROVED], "be sent")
    _say_why(reason)
    notice.state, notice.started_at, notice.started_by = State.SENDING, timezone.now(), actor_of(by)
    notice.save()
    note(notice, Kind.STARTED, by, reason, rate=notice.rate)
    return notice


@transaction.atomic
def pause(notice: Notice, *, reason: str, by: User | str) -> Notice:
    """Owe nobody else, and hold what is not on its way yet. What a relay is just taking goes out."""
    notice = _locked(notice, [State.SENDING], "be paused")
    _say_why(reason)
    notice.state = State.PAUSED
    notice.save()
    note(notice, Kind.PAUSED, by, reason, held=hold_all(notice, reason=reason, by=by))
    return notice


@transaction.atomic
def resume(notice: Notice, *, reason: str, by: User | str) -> Notice:
    """Go on where it stopped, and let go what was held with it. What staff held one by one stays held."""
    notice = _locked(notice, [State.PAUSED], "be resumed")
    _say_why(reason)
    notice.state = State.SENDING
    notice.save()
    suppress_erased()
    note(notice, Kind.RESUMED, by, reason, released=release_all(notice, reason=reason, by=by))
    return notice


@transaction.atomic
def set_rate(notice: Notice, rate: int, *, reason: str, by: User | str) -> Notice:
    """How many a minute at most, also while it is being sent: an approval is not about this."""
    notice = _locked(notice, [*Notice.OPEN, State.SENDING, State.PAUSED], "be slowed down or hurried")
    _say_why(reason)
    before, notice.rate = notice.rate, rate
    notice.full_clean(exclude=["ref", "listed", "template", "version"], validate_unique=False)
    notice.save()
    note(notice, Kind.RATE, by, reason, before=before, rate=rate)
    return notice


@transaction.atomic
def cancel(notice: Notice, *, reason: str, by: User | str) -> Notice:
    """Write to nobody else, and withdraw what did not leave. What was sent stays sent, and in the report."""
    notice = _locked(notice, [*Notice.OPEN, State.SENDING, State.PAUSED], "be cancelled")
    _say_why(reason)
    notice.state, notice.cancelled_at, notice.cancelled_by = State.CANCELLED, timezone.now(), actor_of(by)
    notice.save()
    note(notice, Kind.CANCELLED, by, reason, withdrawn=cancel_all(notice, reason=reason, by=by))
    return notice


def hands_in(notice: Notice) -> set[str]:
    """Everybody who wrote or changed it, also before others did, and whoever counted it: they do not approve it."""
    wrote = notice.events.filter(kind__in=[Kind.WRITTEN, Kind.EDITED]).values_list("recorded_by", flat=True)
    return {*wrote, notice.created_by, notice.counted_by}


def note(notice: Notice, kind: str, by: User | str, reason: str = "", **facts: Any) -> None:
    """A line of what was done with a notice."""
    NoticeEvent.objects.create(notice=notice, kind=kind, reason=reason.strip(), facts=facts, recorded_by=actor_of(by))


def _check(notice: Notice) -> TemplateVersion:
    """The version that would be sent. Raises ValidationError with everything that stands in its way."""
    template = Template.objects.filter(pk=notice.template_id).first()
    if template is None or template.message_class not in CLASSES or template.is_text_message:
        raise ValidationError({"template": "Choose a text that is a notice: a confirmation answers a choice."})
    version = _newest(template.pk)
    if version is None:
        raise ValidationError({"template": "No version of this text is published. Publish one first."})
    if problems := problems_of_facts(version, notice.context):
        raise ValidationError(problems)
    knows = Purpose.objects.filter(code=notice.purpose).exists()
    if notice.purpose and not knows:
        raise ValidationError({"purpose": "There is no such purpose."})
    if template.message_class not in ALLOWED_ANYWAY and not notice.purpose:
        raise ValidationError({"purpose": "Say what it is for: people who opted out of that do not get it."})
    if notice.cohort_kind == Notice.Kind.QUERY:
        cohorts.check_query(notice.cohort)
    for name in ("title", "reason"):
        if CONTROL.search(getattr(notice, name)):
            raise ValidationError({name: "Remove the control characters."})
    notice.full_clean(exclude=["ref", "listed"], validate_unique=False)
    return version


def _newest(template: str) -> TemplateVersion | None:
    return TemplateVersion.objects.published(template).first()


def _draft(notice: Notice) -> None:
    """What was counted and approved no longer counts."""
    notice.state, notice.version = State.DRAFT, None
    notice.cohort_digest = notice.fingerprint = notice.approved_fingerprint = None
    notice.counted_at = notice.approved_at = None
    notice.counted_by = notice.approved_by = ""
    notice.to_write = notice.left_out = 0
    Notice.objects.filter(pk=notice.pk).update(
        state=State.DRAFT, approved_at=None, approved_by="", approved_fingerprint=None
    )
    NoticeRecipient.objects.filter(notice=notice).delete()


def _locked(notice: Notice, states: Sequence[str], what: str) -> Notice:
    locked = Notice.objects.lean().select_for_update().get(pk=notice.pk)
    if locked.state not in states:
        raise ValidationError(f"{locked.ref} is {locked.get_state_display()}: it cannot {what}.")
    return locked


def _say_why(reason: str) -> None:
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise ValidationError(f"Say why, in {LONGEST_REASON} characters at most.")


def _numbers(notice: Notice) -> dict[str, Any]:
    return {
        "to_write": notice.to_write,
        "left_out": notice.left_out,
        "cohort_sha256": bytes(notice.cohort_digest or b"").hex(),
        "fingerprint": bytes(notice.fingerprint or b"").hex(),
        "text": str(notice.version),
    }


def _next_ref() -> str:
    """NTC-1, NTC-2, … without a gap: a missing number would look like a deleted notice. Serial until commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('messaging.notice.ref'))")
        cursor.execute(
            "SELECT coalesce(max(substr(ref, 5)::int), 0) + 1 FROM messaging_notice WHERE ref ~ '^NTC-[0-9]{1,9}$'"
        )
        return f"NTC-{cursor.fetchone()[0]}"
