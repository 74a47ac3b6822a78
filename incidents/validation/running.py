"""A run asks every invariant, keeps what each answered, and tells the open incidents where the verdict changed."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.core.exceptions import ValidationError
from django.db import Error, connection, transaction
from django.db.models import Q
from django.utils import timezone

from config.nudge import nudge
from incidents import timeline
from incidents.invariants import (
    INVARIANTS,
    OF_KEYS,
    QUESTIONS,
    Found,
    Invariant,
    Look,
    Verdict,
    everything,
    news,
    of_consents,
)
from incidents.invariants.found import MOST, unmeasured
from incidents.invariants.looking import sweep
from incidents.models import DetectionCursor, DriftRepair, Incident, TimelineEntry, ValidationCheck, ValidationRun
from incidents.models.incident import IncidentQuerySet
from incidents.timeline import Kind, Source
from incidents.validation import closing, drifting, guarding
from incidents.validation.telling import tell

log = structlog.get_logger(__name__)

Trigger, Outcome = ValidationRun.Trigger, ValidationRun.Verdict
CLAIM = "validation:run"
WHILE_OPEN, AT_REST = timedelta(seconds=30), timedelta(minutes=5)
SLICE = 20_000  # rows of each question that come round in a run
LONGEST = {"news": "20s", "keys": "20s", "all": "15min"}  # of one statement
TOLD = 20  # incidents


@dataclass(frozen=True, slots=True)
class Answer:
    invariant: Invariant
    found: Found
    milliseconds: int
    incident: Incident | None


def keep() -> int:
    """What workers call every few seconds: a run where it is time for one, and what follows from incidents at once."""
    done = guarding.follow() + closing.open_again()
    if _claimed(timezone.now()):
        is_open = _real_and_open().exists()
        run(Trigger.INCIDENT if is_open else Trigger.PERIODIC)
        done += 1
    return done


def soon() -> None:
    """Somebody waits for a run: the next look has one, whenever the last one was."""
    DetectionCursor.objects.filter(name=CLAIM).update(moment=None)
    transaction.on_commit(lambda: nudge("incidents.tasks.validate"), robust=True)


def interval() -> timedelta:
    """Of runs: half a minute while a real incident is open, else five."""
    return WHILE_OPEN if _real_and_open().exists() else AT_REST


def run(trigger: str = Trigger.PERSON, *, is_full: bool = False) -> ValidationRun:
    """Ask all of them, of what is new or of everything; none keeps another from being asked. First what drifted is put
    right: I4 tells what could not be."""
    started = timezone.now()
    head = _log_head()
    look = everything() if is_full else news()
    told = _first(is_full)
    answers = [_answer(invariant, look) for invariant in INVARIANTS.values()]
    told = next((one.incident for one in answers if one.incident), told)
    made = _keep(answers, trigger, "everything" if is_full else "news", started, head, told)
    guarding.follow()
    closing.open_again()
    _tell(made)
    return made


def of_keys(consents: Sequence[int], *, scope: str, trigger: str = Trigger.CHANGE_SET) -> ValidationRun:
    """About these consents alone, by number: I2, I4, I5 and I10, quick enough to ask after each batch of a change.

    `scope` names the change, e.g. "CS-12 batch 3". Nothing is put right, and no incident is opened: what is broken is
    the change's to take back. An empty list is inconclusive. Raises ValidationError for more than 10,000.
    """
    if len(consents) > 10_000:
        raise ValidationError("Ask about 10,000 consents at most at once.")
    started, head = timezone.now(), _log_head()
    look = of_consents(consents)
    answers = [_answer(INVARIANTS[code], look) for code in OF_KEYS]
    if not consents:
        answers = [Answer(one.invariant, unmeasured("No consent was named."), 0, None) for one in answers]
    return _keep(answers, trigger, scope, started, head)


def _first(is_full: bool) -> Incident | None:
    """Drift, and a slice of what comes round; returns the incident that this told. Where it fails, I4 says that the
    comparison is old."""
    told = None
    try:
        if drifting.mend_everything() if is_full else drifting.mend_news():
            told = DriftRepair.objects.latest("pk").incident
        if not is_full:
            told = _come_round() or told
    except (Error, OSError) as error:
        log.error("validation_without_comparison", error=str(error))
    return told


@transaction.atomic
def _come_round() -> Incident | None:
    return tell(sweep(QUESTIONS, SLICE))


def _answer(invariant: Invariant, look: Look) -> Answer:
    began, incident = time.monotonic(), None
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{LONGEST[look.scope]}'; SET LOCAL jit = off")
            found = invariant.ask(look)
            if look.scope != "keys":
                incident = tell(found.rows)
    except (Error, OSError, ValueError) as error:
        log.error("invariant_unmeasured", invariant=invariant.id, error=str(error))
        found = unmeasured(f"It could not be asked: {type(error).__name__}: {str(error).strip()}")
    return Answer(invariant, found, int((time.monotonic() - began) * 1000), incident)


@transaction.atomic
def _keep(
    answers: Sequence[Answer], trigger: str, scope: str, started: datetime, head: int, told: Incident | None = None
) -> ValidationRun:
    broken = [one.invariant.id for one in answers if one.found.verdict == Verdict.BREACHED]
    unknown = [one.invariant.id for one in answers if one.found.verdict == Verdict.UNMEASURED]
    in_doubt = [one for one in answers if one.found.verdict == Verdict.UNMEASURED and not one.found.is_idle]
    made = ValidationRun.objects.create(
        trigger=trigger,
        scope=scope[:100],
        verdict=Outcome.FAIL if broken else Outcome.INCONCLUSIVE if in_doubt else Outcome.PASS,
        broken=broken,
        unmeasured=unknown,
        log_tx=head,
        incident=told,
        started_at=started,
    )
    ValidationCheck.objects.bulk_create(_check(made, one) for one in answers)
    return made


def _check(made: ValidationRun, one: Answer) -> ValidationCheck:
    names = sorted(set(one.found.offenders))
    return ValidationCheck(
        run=made,
        invariant=one.invariant.id,
        verdict=one.found.verdict,
        expected=one.invariant.tolerance,
        observed=(one.found.observed or _observed(one.found))[:200],
        words=one.found.words[:500],
        looked_at=one.found.looked_at,
        count=one.found.count,
        offenders=[name[:200] for name in names[:MOST]],
        offenders_digest=hashlib.sha256("\n".join(names).encode()).digest(),
        duration_ms=one.milliseconds,
    )


def _observed(found: Found) -> str:
    return "nobody can tell" if found.verdict == Verdict.UNMEASURED else f"{found.count:,} found"


def _tell(made: ValidationRun) -> None:
    """A line on each open incident whose last one says something else; none about a run in which all was well."""
    now_is = f"broken: {', '.join(made.broken)}" if made.broken else str(made.get_verdict_display())
    incidents = list(_real_and_open().order_by("-pk")[:TOLD])
    lines = TimelineEntry.objects.filter(incident__in=incidents, actor=closing.BY, kind=Kind.DETECTOR).exclude(new="")
    before = dict(lines.order_by("incident_id", "-seq").distinct("incident_id").values_list("incident_id", "new"))
    for incident in incidents:
        was = before.get(incident.pk, "")
        if now_is == was or (not was and not made.broken):
            continue
        text = f"Validation: {now_is}." + (f" Before: {was}." if was else "")
        timeline.append(
            incident, Kind.DETECTOR, text, source=Source.SYSTEM, actor=closing.BY, old=was[:200], new=now_is[:200],
            evidence=f"validation run {made.pk}",
        )  # fmt: skip


def _claimed(now: datetime) -> bool:
    """Whose turn it is; the others see that somebody was faster. One who dies leaves the next turn to somebody else."""
    DetectionCursor.objects.get_or_create(name=CLAIM)
    is_due = Q(moment=None) | Q(moment__lt=now - interval())
    return bool(DetectionCursor.objects.filter(is_due, name=CLAIM).update(moment=now))


def _real_and_open() -> IncidentQuerySet:
    return Incident.objects.open().filter(mode=Incident.Mode.REAL)


def _log_head() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint - 1")
        return int(cursor.fetchone()[0])
