"""Trying the ways out, end to end: a canary opts out through the real door, and all that must follow is looked for.

A row per try. Whoever inserts it has claimed the way out (one at a time, by constraint); the doors are called with no
transaction open; a prober that dies leaves a row that its lease gives up as unmeasured. The mail comes later, and so
does the choice where the door only keeps what comes in: a later look settles them.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from config.steps import in_turn
from consent.models import Choice, Decision, ExitPath
from consent.services import may_contact
from incidents import canaries, timeline
from incidents.canaries import Canary
from incidents.detection.raising import BY, raise_alarm
from incidents.doors import DOORS, at_hand
from incidents.models import Alarm, ExitPathProbe, ExitPathWatch, Incident
from incidents.timeline import Kind, Source
from messaging.models import Endpoint, Message
from messaging.propagation import fanout

log = structlog.get_logger(__name__)
Verdict, State = ExitPathProbe.Verdict, Message.State

LEASE = timedelta(minutes=2)
SLOWEST = 5.0  # seconds, I7
READ_WITHIN = timedelta(minutes=3)  # by a worker, of what a door keeps
MAIL_WITHIN = timedelta(minutes=6)
GAVE_UP = [State.REJECTED, State.FAILED, State.RENDER_FAILED, State.CANCELLED, State.EXPIRED, State.CLOSED_UNKNOWN]
MET, BREACHED, UNMEASURED = Verdict.MET.value, Verdict.BREACHED.value, Verdict.UNMEASURED.value
FLIPPED, MAIL, TOLD = "state flipped", "confirmation accepted", "webhooks acknowledged"


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    verdict: str
    seconds: float
    words: str


def run_due(now: datetime | None = None) -> int:
    """Settle what was tried, and try what is due; returns how much was done."""
    if not settings.EXIT_PATH_PROBES:
        return 0
    now = now or timezone.now()
    return in_turn({"settle": partial(settle, now), "try": partial(_try_due, now)})


def _try_due(now: datetime) -> int:
    due = [watch.exit_path_id for watch in _watched() if _is_due(watch, now)]
    return in_turn({path: partial(_try, path) for path in due})


def _try(path: str) -> bool:
    return probe(path) is not None


def probe(path: str, by: str = "system:probe") -> ExitPathProbe | None:
    """Try this way out now; None where somebody is at it. The answer is complete but for what comes later."""
    if path not in DOORS:
        return None
    try:
        with transaction.atomic():
            row = ExitPathProbe.objects.create(exit_path_id=path, started_by=by, lease_until=timezone.now() + LEASE)
    except IntegrityError:
        return None
    if missing := DOORS[path].missing():
        return _end(row, [Step("set up", UNMEASURED, 0.0, missing)])
    try:
        canary = canaries.ready(path, row.pk)
    except Exception as error:  # whatever it is, the way out was not tried, and the row must say so
        log.exception("canary_not_ready", exit_path=path)
        return _end(row, [Step("canary opted in", UNMEASURED, 0.0, str(error)[:300])])
    return _press(row, canary)


def settle(now: datetime) -> int:
    """Look for what comes later: mails and webhooks of tries that have not ended. Returns how many ended."""
    running = ExitPathProbe.objects.filter(ended_at=None).order_by("started_at")[:50]
    return in_turn({str(row.pk): partial(_settle, row, now) for row in running})


def _settle(row: ExitPathProbe, now: datetime) -> bool:
    if row.canary is None:
        if row.lease_until >= now:
            return False
        _end(row, [Step("finished", UNMEASURED, 0.0, "The prober did not come back.")])
        return True
    if row.decision_id is None and not _is_read(row, row.canary, now):
        return row.ended_at is not None
    later = [step for step in (_mail(row, now), _webhooks(row, now)) if step]
    if len(later) < 2:
        return False
    _end(row, [*_steps_of(row), *later])
    return True


def _watched() -> list[ExitPathWatch]:
    watched = ExitPathWatch.objects.filter(is_active=True, probe_every_minutes__gt=0, exit_path__is_active=True)
    return list(watched.filter(exit_path__in=at_hand()))


def _is_due(watch: ExitPathWatch, now: datetime) -> bool:
    last = ExitPathProbe.objects.filter(exit_path=watch.exit_path_id).order_by("-started_at").first()
    every = timedelta(minutes=watch.probe_every_minutes) - timedelta(seconds=10)  # beat is not punctual to the second
    return last is None or (last.ended_at is not None and last.started_at <= now - every)


def _press(row: ExitPathProbe, canary: Canary) -> ExitPathProbe:
    before = _newest(canary)
    steps = [_answer(row.exit_path_id, canary)]
    if steps[0].verdict == UNMEASURED:
        return _end(row, steps)
    if DOORS[row.exit_path_id].is_read_later:
        return _await_reading(row, canary, steps)
    started = time.monotonic()
    is_out = not canary.is_in
    words = f"{canary.purpose}/{canary.channel} is {'opted out' if is_out else 'still contactable'}"
    steps.append(Step(FLIPPED, MET if is_out else BREACHED, _since(started), words))
    row.canary = canary.subject_id
    newest = _newest(canary)
    if newest == before or not is_out:
        return _end(row, steps)
    row.decision_id, row.steps = newest, [asdict(step) for step in steps]
    row.save(update_fields=["canary", "decision_id", "steps"])
    return row


def _answer(path: str, canary: Canary) -> Step:
    started = time.monotonic()
    try:
        answer = DOORS[path].open(canary)
    except OSError as error:
        return Step("answered", BREACHED, _since(started), f"No answer: {type(error).__name__}")
    except canaries.NotReady as error:  # it was not called
        return Step("answered", UNMEASURED, _since(started), str(error)[:300])
    seconds = _since(started)
    if answer.is_good and seconds > SLOWEST:
        return Step("answered", BREACHED, seconds, f"{answer.words}, after more than {SLOWEST:g} s")
    return Step("answered", MET if answer.is_good else BREACHED, seconds, answer.words)


def _await_reading(row: ExitPathProbe, canary: Canary, steps: list[Step]) -> ExitPathProbe:
    """What the door took is a worker's to read. What it refused cannot come of it."""
    row.canary = canary.subject_id
    if steps[0].verdict == BREACHED:
        return _end(row, steps)
    row.steps = [asdict(step) for step in steps]
    row.save(update_fields=["canary", "steps"])
    return row


def _is_read(row: ExitPathProbe, canary: UUID, now: datetime) -> bool:
    """Whether the canary is out by what it sent. Where that takes too long, the try ends here."""
    channel = canaries.channel_of(row.exit_path_id)
    newest = Decision.objects.filter(subject=canary).order_by("-pk").first()
    is_out = not may_contact(canary, canaries.PURPOSE, channel)
    if newest and newest.choice == Choice.OPT_OUT and newest.exit_path == row.exit_path_id and is_out:
        seconds = round(max(0.0, (newest.received_at - row.started_at).total_seconds()), 3)
        words = f"{canaries.PURPOSE}/{channel} is opted out, by what a worker read"
        row.steps = [*row.steps, asdict(Step(FLIPPED, MET, seconds, words))]
        row.decision_id = newest.pk
        row.save(update_fields=["decision_id", "steps"])
        return True
    if now - row.started_at >= READ_WITHIN:
        words = f"It was taken, and {canaries.PURPOSE}/{channel} is still contactable after {READ_WITHIN}"
        waited = round((now - row.started_at).total_seconds(), 3)
        _end(row, [*_steps_of(row), Step(FLIPPED, BREACHED, waited, words)])
    return False


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _newest(canary: Canary) -> int:
    found = Decision.objects.filter(subject=canary.subject_id).order_by("-pk").values_list("pk", flat=True).first()
    return found or 0


def _mail(row: ExitPathProbe, now: datetime) -> Step | None:
    """The confirmation, rendered and taken by the relay; None while there is time."""
    message = Message.objects.filter(decision_id=row.decision_id).order_by("created_at").first()
    waited = round((now - row.started_at).total_seconds(), 3)
    if message and message.state == State.ACCEPTED:
        taken = ((message.settled_at or now) - row.started_at).total_seconds()
        return Step(MAIL, MET, round(taken, 3), "Rendered, and accepted by the relay")
    if message and message.state == State.SUPPRESSED:
        return Step(MAIL, UNMEASURED, waited, message.last_error or "It was not to be sent.")
    if message and message.state in GAVE_UP:
        return Step(MAIL, BREACHED, waited, f"{message.get_state_display()}: {message.last_error}"[:300])
    if now - row.started_at < MAIL_WITHIN:
        return None
    state = message.get_state_display() if message else "not even owed"
    return Step(MAIL, BREACHED, waited, f"Not accepted within {MAIL_WITHIN}: {state}")


def _webhooks(row: ExitPathProbe, now: datetime) -> Step | None:
    """Each service that is told of this choice took it. Where none is, there is nothing to measure."""
    waited = round((now - row.started_at).total_seconds(), 3)
    owed, taken = fanout.told_of(row.decision_id or 0)
    if owed and owed == taken:
        return Step(TOLD, MET, waited, f"Taken by {taken} of {owed} services.")
    services = Endpoint.objects.filter(state=Endpoint.State.ACTIVE, about=Endpoint.About.CHOICES)
    if now - row.started_at < MAIL_WITHIN and services.exists():
        return None
    if owed:
        return Step(TOLD, BREACHED, waited, f"Taken by {taken} of {owed} services within {MAIL_WITHIN}.")
    return Step(TOLD, UNMEASURED, waited, "No service is told of this choice.")


def _steps_of(row: ExitPathProbe) -> list[Step]:
    return [Step(**step) for step in row.steps]


def _end(row: ExitPathProbe, steps: list[Step]) -> ExitPathProbe:
    """Write the verdict down, and tell what broke, or works again."""
    row.verdict = verdict_of(steps)
    row.steps, row.ended_at = [asdict(step) for step in steps], timezone.now()
    with transaction.atomic():
        row.save(update_fields=["canary", "decision_id", "steps", "verdict", "ended_at"])
        if row.verdict == BREACHED:
            _tell_broken(row, steps)
        elif row.verdict in ExitPathProbe.WORKS:
            _tell_works_again(row)
    return row


def verdict_of(steps: Sequence[Step]) -> str:
    """Broken where a step is. Works where the person is out; whether they hear of it too is said beside that."""
    verdicts = {step.name: step.verdict for step in steps}
    if BREACHED in verdicts.values():
        return BREACHED
    if verdicts.get(FLIPPED) != MET:
        return UNMEASURED
    return MET if verdicts.get(MAIL) == MET else Verdict.NO_MAIL.value


def _tell_broken(row: ExitPathProbe, steps: list[Step]) -> None:
    path: ExitPath = row.exit_path
    broken = "; ".join(f"{step.name}: {step.words}" for step in steps if step.verdict == BREACHED)
    inputs: dict[str, Any] = {"probe": str(row.pk), "steps": row.steps, "words": f"{broken}. Call the {path.owner}"}
    alarm = Alarm(
        detector=Alarm.Detector.PROBE,
        key=f"probe:{row.pk}",
        title=f"Way out {path} is broken"[:200],
        exit_path=path.pk,
        bucket=row.started_at,
        count=1,
        inputs=inputs,
    )
    raise_alarm(alarm, began=_worked_last(row), severity=Incident.Severity.SEV2)


def _worked_last(row: ExitPathProbe) -> datetime:
    """It broke at some moment after it was last seen to work: people who tried since then are the incident's."""
    before = ExitPathProbe.objects.filter(
        exit_path=row.exit_path_id, verdict__in=ExitPathProbe.WORKS, started_at__lt=row.started_at
    )
    last = before.order_by("-started_at").values_list("started_at", flat=True).first()
    return max(last, row.started_at - timedelta(hours=24)) if last else row.started_at


def _tell_works_again(row: ExitPathProbe) -> None:
    before = ExitPathProbe.objects.filter(exit_path=row.exit_path_id, started_at__lt=row.started_at)
    previous = before.exclude(verdict=Verdict.UNMEASURED).order_by("-started_at").first()
    if previous is None or previous.verdict != Verdict.BREACHED:
        return
    alarm = Alarm.objects.filter(key=f"probe:{previous.pk}").select_related("incident").first()
    if alarm and alarm.incident and alarm.incident.survivor.is_open:
        text = f"{row.exit_path} works again, tried end to end. The incident stays open until somebody closes it."
        timeline.append(alarm.incident.survivor, Kind.ALERT, text, source=Source.SYSTEM, actor=BY)
