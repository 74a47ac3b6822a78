"""Did what was written keep the promises? Asked after each batch and, at the end, of everything, about its keys only.

Every check is asked, also after one has failed: one that broke says more together with the others. What could not be
asked is unmeasured, and no pass. `verdict` is the seam: whoever has more checks puts them into CHECKS.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DataError, IntegrityError, InternalError, OperationalError, connection, transaction

from consent.drift import closer
from incidents.changes.operations import on_configuration
from incidents.invariants import INVARIANTS
from incidents.invariants.questions import REVERSED
from incidents.models import ChangeBatch, ChangeSet

MET, BREACHED, UNMEASURED = "met", "breached", "unmeasured"
PATIENCE_MS = 30_000  # how long one check may take
AT_ONCE = 10_000  # keys of one statement
SLICE = 20_000  # rows that are asked about at once: a look at the whole goes through all of them, slice by slice


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says, in a sentence that names its invariant. `is_irrecoverable`: no policy may bear it."""

    verdict: str
    words: str
    is_irrecoverable: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`met` only where everything was asked and is met; `breached` where anything is. `may_be_borne`: by a policy that
    bears breaches; whoever opted out was not opted in."""

    verdict: str
    words: list[str]
    may_be_borne: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """Rows from `first` to `last` by their position, and versions of consents after `since`. `number`: of the batch."""

    first: int
    last: int
    since: int
    number: int | None = None


Check = Callable[[ChangeSet, Part], Finding]

# LATERAL with OFFSET 0: look-ups by key, whatever the planner believes about rows that were staged a moment ago.
PEOPLE = """
    SELECT DISTINCT p.subject_id FROM incidents_plannedwrite p
     WHERE p.change_set_id = %(change)s AND p.position BETWEEN %(first)s AND %(last)s
"""
# All keys of these people, not only those that were planned.
THEIRS = f"""
    SELECT c.id, w.subject_id, c.purpose, c.channel FROM ({PEOPLE} OFFSET 0) w
     CROSS JOIN LATERAL (SELECT * FROM consent_consent c WHERE c.subject_id = w.subject_id OFFSET 0) c
"""
# What validation calls a reversal, among the versions of some consents that were written since.
REVERSED_SINCE = f"""
    SELECT DISTINCT v.subject_id, v.purpose, v.channel
      FROM ({REVERSED.wrong.replace("{rows}", f"{REVERSED.of_consents} AND {REVERSED.number} > %(since)s")}) r(number)
      JOIN consent_historicalconsent v ON v.history_id = r.number
"""
# What was there, or was written: a key that was left out may never have been decided.
KEYS = """
    SELECT p.subject_id, p.purpose, p.channel FROM incidents_plannedwrite p
     WHERE p.change_set_id = %(change)s AND p.position BETWEEN %(first)s AND %(last)s
       AND (p.version > 0 OR p.outcome = 'written')
"""
BATCHES = """
    SELECT b.* FROM incidents_changebatch b
     WHERE b.change_set_id = %(change)s AND b.last_position BETWEEN %(first)s AND %(last)s
"""
UNGUARDED = f"""
    SELECT count(*) FROM ({BATCHES}) b JOIN consent_decision d ON d.batch_id = b.batch_id
      LEFT JOIN LATERAL (
        SELECT p.choice FROM incidents_plannedwrite p
         WHERE p.change_set_id = b.change_set_id AND p.subject_id = d.subject_id AND p.purpose = d.purpose
           AND p.channel = d.channel AND p.effect = 'changes' AND p.batch = b.number OFFSET 0) p ON true
     WHERE d.explicit OR p.choice IS DISTINCT FROM d.choice
"""
MISSING = f"""
    SELECT coalesce(sum(greatest(0, b.written_count - (
             SELECT count(*) FROM consent_decision d WHERE d.batch_id = b.batch_id))), 0) FROM ({BATCHES}) b
"""


def of_batch(batch: ChangeBatch) -> Part:
    return Part(batch.first_position, batch.last_position, batch.log_before, batch.number)


def after(change: ChangeSet, position: int) -> Part:
    """The next slice of all that it wrote; the last one ends with the set."""
    since = change.batches.order_by("number").values_list("log_before", flat=True).first()
    return Part(position + 1, min(position + SLICE, total_of(change)), since or 0)


def total_of(change: ChangeSet) -> int:
    """Rows, or operations, that it writes."""
    return change.change_count if change.writes_choices else len(change.operations)


def verdict(change: ChangeSet, part: Part) -> Verdict:
    checks = CHECKS if change.writes_choices else CONFIGURED
    findings = [_asked(check, change, part) for check in checks]
    words = [finding.words for finding in findings]
    if broken := [finding for finding in findings if finding.verdict == BREACHED]:
        return Verdict(BREACHED, words, not any(finding.is_irrecoverable for finding in broken))
    return Verdict(MET if all(finding.verdict == MET for finding in findings) else UNMEASURED, words)


def no_opt_out_weakened(change: ChangeSet, part: Part) -> Finding:
    """I2, as validation knows it: no version since reversed an opt-out of theirs, and each of them counts now."""
    reversed_: set[Any] = set()
    for theirs in _in_turns(_rows(THEIRS, change, part)):
        facts = {"consents": [number for number, *_ in theirs], "since": part.since}
        reversed_.update(_fetched(REVERSED_SINCE, facts))
        found = closer((subject, purpose, channel) for _, subject, purpose, channel in theirs)
        reversed_.update((one.subject_id, one.purpose, one.channel) for one in found if one.reverses)
    return _found(
        "I2", len(reversed_), "no opt-out was reversed without the person", "opt-outs were reversed without the person"
    )


def state_is_what_was_decided(change: ChangeSet, part: Part) -> Finding:
    """I4, as validation knows it: the log and the state agree."""
    count = sum(len(closer(keys)) for keys in _in_turns(_rows(KEYS, change, part)))
    return _found("I4", count, "the state is what the log says", "keys are not in the state that the log says")


def written_through_the_guard(change: ChangeSet, part: Part) -> Finding:
    """I10: all of its decisions are planned ones, that nobody chose, in its batch; and all that it wrote is there."""
    count = _count(UNGUARDED, change, part) + _count(MISSING, change, part)
    return _found("I10", count, "what was written is what was planned", "decisions are not as they were planned")


def configuration_stands(change: ChangeSet, part: Part) -> Finding:
    """What it set is still so. Where it is not, somebody else changed it: that is for people to look at."""
    for number, ((operation, args), told) in enumerate(
        zip(on_configuration(change), change.configuration, strict=True), 1
    ):
        if part.number in (None, number) and operation.now(args) != told["after"]:
            return Finding(
                UNMEASURED, f"{operation.title}: what stands is not what was set. Somebody changed it since."
            )
    return Finding(MET, "What was set stands.")


CHECKS: list[Check] = [no_opt_out_weakened, state_is_what_was_decided, written_through_the_guard]
CONFIGURED: list[Check] = [configuration_stands]


def _asked(check: Check, change: ChangeSet, part: Part) -> Finding:
    """An error of the database is an answer too: it could not be measured."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(PATIENCE_MS)])
            finding = check(change, part)
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', '0', true)")
            return finding
    except (OperationalError, DataError, IntegrityError, InternalError) as error:
        if connection.connection is None or connection.connection.closed:
            raise  # the database went away: nothing is judged, and somebody comes again
        return Finding(UNMEASURED, f"{check.__doc__} It could not be asked: {str(error).splitlines()[0]}"[:500])


def _count(query: str, change: ChangeSet, part: Part) -> int:
    return int(_rows(query, change, part)[0][0])


def _rows(query: str, change: ChangeSet, part: Part) -> list[tuple[Any, ...]]:
    return _fetched(query, {"change": change.pk, "first": part.first, "last": part.last, "since": part.since})


def _fetched(query: str, facts: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, facts)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _in_turns(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def _found(code: str, count: int, met: str, breached: str) -> Finding:
    if count:
        return Finding(BREACHED, f"{code}: {count:,} {breached}.", INVARIANTS[code].is_irrecoverable)
    return Finding(MET, f"{code}: {met}.")
