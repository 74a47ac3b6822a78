"""Clocks of an incident: legal terms that somebody decided apply, and when people who wait hear the next word."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import timeline
from incidents.changing import locked, save_and_tell, still_open, why
from incidents.deadlines import clock_due, update_due
from incidents.models import Incident, IncidentClock, IncidentClockRule, SeverityPolicy
from incidents.scope import past, said
from incidents.timeline import Kind, Source

State, StartsAt = IncidentClock.State, IncidentClockRule.StartsAt


@transaction.atomic
def start_clock(
    incident: Incident,
    rule: IncidentClockRule,
    *,
    reason: str,
    by: User | str,
    started_at: datetime | None = None,
    amount: int | None = None,
    source: str = Source.UI,
) -> IncidentClock:
    """Decide that a rule applies. Its term counts from the moment that it names, or from `started_at`.

    `amount` is for a rule that names no number. What the rule says now goes with the clock: a later version of it
    changes nothing here. Raises ValidationError where the moment is not known, or the clock is running.
    """
    incident, reason = locked(incident), why(reason)
    begins = past(started_at or _moment(incident, rule), "started_at")
    if rule.amount and amount not in (None, rule.amount):
        raise ValidationError({"amount": f"The rule sets {rule.term}. Leave this empty."})
    amount = rule.amount or amount
    clock = IncidentClock(
        incident=incident,
        rule=rule,
        citation=rule.citation,
        term=f"{amount} {rule.get_unit_display()}" if amount else "without undue delay",
        why=reason,
        started_at=begins,
        due_at=clock_due(
            begins,
            amount,
            rule.unit,
            rule.calendar,
            rolls_to_working_day=rule.rolls_to_working_day,
            time_zone=rule.time_zone,
        ),
        decided_by=actor_of(by),
    )
    clock.full_clean(exclude=["incident", "rule"])
    clock.validate_constraints()  # those over what was excluded too
    clock.save_as(actor_of(by), reason)
    text = f"{rule} applies ({clock.citation}, {clock.term}), counted from {_told(begins)}. {_until(clock)} {reason}"
    timeline.append(incident, Kind.CLOCK, text, source=source, actor=actor_of(by), new=State.RUNNING)
    return clock


@transaction.atomic
def move_clock(
    clock: IncidentClock, started_at: datetime, *, reason: str, by: User | str, source: str = Source.UI
) -> IncidentClock:
    """It counts from another moment, because we learned when we really became aware. The old one stays in its
    history."""
    clock, reason = _running(clock), why(reason)
    begins, old, before = past(started_at, "started_at"), clock.started_at, _until(clock)
    if clock.due_at is not None:
        amount = int(clock.term.split(" ", 1)[0])
        rule = clock.rule
        clock.due_at = clock_due(
            begins, amount, rule.unit, rule.calendar,
            rolls_to_working_day=rule.rolls_to_working_day, time_zone=rule.time_zone,
        )  # fmt: skip
    clock.started_at = begins
    clock.full_clean(exclude=["incident", "rule"])
    clock.save_as(actor_of(by), reason)
    text = f"{clock.rule_id} counts from {_told(begins)}, not from {_told(old)}. {before} {_until(clock)} {reason}"
    timeline.append(clock.incident, Kind.CLOCK, text, source=source, actor=actor_of(by))
    return clock


def meet_clock(
    clock: IncidentClock,
    *,
    answer: str,
    by: User | str,
    at: datetime | None = None,
    source: str = Source.UI,
) -> IncidentClock:
    """Done, at `at`: `answer` says what was done and where it is kept. A late one asks for the reasons there too."""
    return _answer(clock, State.MET, answer, "Say what was done, and where it is kept.", by, at, source)


def waive_clock(clock: IncidentClock, *, reason: str, by: User | str, source: str = Source.UI) -> IncidentClock:
    """It turned out not to apply. GDPR 33(5) wants the reason kept."""
    return _answer(clock, State.WAIVED, reason, "Say why it does not apply.", by, None, source)


@transaction.atomic
def post_update(incident: Incident, text: str, *, by: User | str, source: str = Source.UI) -> Incident:
    """Tell those who wait where it stands; the clock of the next word starts again."""
    incident = still_open(incident)
    text = said(text, "text", "Write where it stands.")
    incident.next_update_due = next_update(incident)
    save_and_tell(incident, Kind.UPDATE, text, reason="Update posted", by=by, source=source)
    return incident


def next_update(incident: Incident) -> datetime | None:
    """From now, by the policy of its severity. What is told afterwards has nobody who waits."""
    if incident.mode == Incident.Mode.RETROSPECTIVE:
        return None
    minutes = SeverityPolicy.objects.values_list("update_minutes", flat=True).get(severity=incident.severity)
    return update_due(timezone.now(), minutes)


@transaction.atomic
def _answer(
    clock: IncidentClock, state: str, answer: str, otherwise: str, by: User | str, at: datetime | None, source: str
) -> IncidentClock:
    clock = _running(clock)
    clock.state, clock.answer = state, said(answer, "answer", otherwise)
    clock.answered_at, clock.answered_by = past(at or timezone.now(), "at"), actor_of(by)
    clock.full_clean(exclude=["incident", "rule"])
    clock.save_as(actor_of(by), answer)
    late = " Late." if clock.was_late else ""
    text = f"{clock.rule_id} {clock.get_state_display()}.{late} {clock.answer}"
    timeline.append(
        clock.incident, Kind.CLOCK, text, source=source, actor=actor_of(by), old=State.RUNNING, new=state,
        occurred_at=clock.answered_at,
    )  # fmt: skip
    return clock


def _running(clock: IncidentClock) -> IncidentClock:
    locked(clock.incident)
    clock = IncidentClock.objects.select_related("incident", "rule").get(pk=clock.pk)
    if clock.state != State.RUNNING:
        raise ValidationError(f"{clock.rule_id} is answered already: {clock.get_state_display()}.", code="state")
    return clock


def _moment(incident: Incident, rule: IncidentClockRule) -> datetime:
    if rule.starts_at == StartsAt.DETERMINATION:
        return timezone.now()
    moment: datetime | None = getattr(incident, rule.starts_at)
    if moment is None:
        raise ValidationError({"started_at": f"Say when it counts from: {rule.get_starts_at_display()}."})
    return moment


def _until(clock: IncidentClock) -> str:
    return f"Due {_told(clock.due_at)}." if clock.due_at else "No last moment is counted."


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
