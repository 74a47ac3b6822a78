"""What a new decision must be before it meets the database, said kindly and per field."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from consent.identifiers import CONTROL
from consent.models import ANY, Cause, Channel, Choice, ExitPath, Purpose
from consent.recording import NewDecision
from consent.refusals import Problem

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
SKEW = timedelta(minutes=5)
MOST = 5000

CHOICES, CHANNELS, CAUSES = frozenset(Choice.values), frozenset([*Channel.values, ANY]), frozenset(Cause.values)
NOT_EXPLICIT = frozenset([Cause.IMPORT, Cause.DEFAULT])
TEXTS = {"actor": 200, "notice_version": 100, "locale": 35, "idempotency_key": 200}


class KnownCodes:
    """Codes of rows that are never deleted: once seen, known for good; an unseen one is looked up each time."""

    def __init__(self, model: type[Purpose] | type[ExitPath]) -> None:
        self.model = model
        self.seen: set[str] = set()

    def unknown(self, codes: set[str]) -> set[str]:
        if missing := codes - self.seen:
            self.seen |= set(self.model.objects.filter(code__in=missing).values_list("code", flat=True))
        return codes - self.seen


purposes, exit_paths = KnownCodes(Purpose), KnownCodes(ExitPath)


def problems_of(decisions: Sequence[NewDecision]) -> list[Problem]:
    """Everything wrong with the call, so that its sender can mend it in one go."""
    if len(decisions) > MOST:
        return [Problem(MOST, "", "too_many", f"At most {MOST} decisions in one call.")]
    unknown_purposes = purposes.unknown({d.purpose for d in decisions} - {ANY})
    unknown_paths = exit_paths.unknown({d.exit_path for d in decisions} - {""})
    latest = timezone.now() + SKEW
    return [
        Problem(index, field, code, message)
        for index, draft in enumerate(decisions)
        for field, code, message in _of(draft, unknown_purposes, unknown_paths, latest)
    ]


def _of(
    draft: NewDecision, unknown_purposes: set[str], unknown_paths: set[str], latest: datetime
) -> Iterator[tuple[str, str, str]]:
    if draft.purpose in unknown_purposes:
        yield "purpose", "unknown", "No such purpose. Register it first, or use * for all."
    if draft.exit_path in unknown_paths:
        yield "exit_path", "unknown", "No such exit path. Register it first."
    if draft.channel not in CHANNELS:
        yield "channel", "unknown", f"No such channel. Known: {', '.join(Channel.values)}, or * for all."
    if draft.choice not in CHOICES:
        yield "choice", "unknown", "A choice is opt_in or opt_out."
    if draft.cause not in CAUSES:
        yield "cause", "unknown", f"No such cause. Known: {', '.join(Cause.values)}."
    if draft.explicit and draft.cause in NOT_EXPLICIT:
        yield "explicit", "not_explicit", "An import or a default is not a person's own choice: send explicit false."
    if draft.decided_at.tzinfo is None:
        yield "decided_at", "no_zone", "Give decided_at with its offset, like 2026-03-01T12:00:00Z."
    elif draft.decided_at > latest and not draft.is_now:
        yield "decided_at", "future", "decided_at lies more than five minutes in the future. Check the sender's clock."
    elif draft.decided_at < EARLIEST:
        yield "decided_at", "ancient", "decided_at lies before the year 2000."
    if not draft.subject:
        yield "subject", "missing", "Name the person: email, phone, user_id or id."
    for field, longest in TEXTS.items():
        if text := getattr(draft, field):
            if len(text) > longest:
                yield field, "too_long", f"At most {longest} characters."
            elif CONTROL.search(text):
                yield field, "control_characters", "Remove the control characters."
