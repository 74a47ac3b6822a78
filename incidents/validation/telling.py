"""What an invariant found becomes alarms and the one incident of its kind; I2 and I3 close the gate besides."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import transaction

from incidents.detection.raising import digest_of, raise_alarm
from incidents.invariants import INVARIANTS, ZERO, Row, news
from incidents.models import Alarm, Incident
from incidents.validation import closing
from incidents.vocabulary import IncidentType

Severity = Incident.Severity
TYPES: dict[str, str] = {
    "I1": IncidentType.LOST,
    "I2": IncidentType.RESUBSCRIBED,
    "I3": IncidentType.NOT_HONOURED,
    "I5": IncidentType.DRIFT,
    "I6": IncidentType.CONFIRMATION,
    "I10": IncidentType.DRIFT,
    "I10.session": IncidentType.DRIFT,
}
# The others are people's choices.
SEVERITIES: dict[str, str] = {"I6": Severity.SEV2, "I12": Severity.SEV2, "I10.session": Severity.SEV3}
BATCH = 1_000


def look() -> int:
    """One look at what is new by all that may never be broken, not even once; returns how many breaches are new."""
    return sum(_look(code) for code in ZERO)


@transaction.atomic
def _look(code: str) -> int:
    rows = INVARIANTS[code].ask(news()).rows
    tell(rows)
    return len(rows)


def tell(rows: Iterable[Row]) -> Incident | None:
    """Raise what was not told yet: an alarm each, one line on the timeline of the incident of its kind. Returns the
    last incident; None without news. In the caller's transaction, so that a cursor moves with what it found."""
    by_code: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_code[row.key.partition(":")[0]].append(row)
    told = [_tell(code, some) for code, some in sorted(by_code.items())]
    return next((incident for incident in reversed(told) if incident), None)


def _tell(code: str, rows: Sequence[Row]) -> Incident | None:
    first = _alarm(code, rows[0])
    if len(rows) > 1:
        first.count = len(rows)
        first.inputs["words"] = f"{len(rows):,} times, the first: {rows[0].words}"
    is_new = raise_alarm(
        first, began=rows[0].at, severity=SEVERITIES.get(code, Severity.SEV1), type=TYPES.get(code, "")
    )
    if not is_new or first.incident is None:
        return None
    others = [_alarm(code, row, first.incident) for row in rows[1:]]
    Alarm.objects.bulk_create(others, batch_size=BATCH, ignore_conflicts=True)
    if code in closing.CLOSED_BY:
        closing.close(first.incident, f"{code} is broken: {first.title.lower()}")
    return first.incident


def _alarm(code: str, row: Row, incident: Incident | None = None) -> Alarm:
    inputs = {"rule": code, "words": row.words}
    return Alarm(
        detector=Alarm.Detector.ZERO,
        key=row.key[:200],
        title=row.title,
        bucket=row.at,
        count=1,
        inputs=inputs,
        inputs_digest=digest_of(inputs),
        incident=incident,
    )
