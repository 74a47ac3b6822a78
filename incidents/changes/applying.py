"""Applying a set: one batch, one transaction, one consent `Batch`; each is judged before the next is written.

A row is written only if its consent still is what the plan was made on. Whatever came meanwhile is left out and
counted: a person's own choice survives by itself. A worker that dies has written a batch and its record, or neither.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from config.deeds import words
from config.models import User
from config.nudge import nudge
from consent.bulk import Selected, write_batch
from consent.services import actor_of, open_batch, transaction_time
from incidents.changes.allowing import locked
from incidents.changes.deciding import mark_stale
from incidents.changes.judging import BREACHED, MET, Verdict, after, of_batch, total_of, verdict
from incidents.changes.operations import on_choices, on_configuration
from incidents.changes.policy import policy_of
from incidents.changes.rolling_back import begin_of_set
from incidents.changes.staleness import is_as_approved, stale_because
from incidents.changes.telling import ACTOR, LONGEST, move, raise_incident, tell
from incidents.changing import why
from incidents.models import ChangeBatch, ChangeSet

log = structlog.get_logger(__name__)
State, OfBatch = ChangeSet.State, ChangeBatch.State

# The next rows of one choice: opt-outs pass at every level of the guard, and are not held up by opt-ins beside them.
NEXT = """
    SELECT min(position), max(position) FROM incidents_plannedwrite
     WHERE change_set_id = %s AND effect = 'changes' AND position BETWEEN %s AND %s
     GROUP BY choice ORDER BY 1 LIMIT 1
"""
UNMOVED = """
    SELECT p.subject_id, p.purpose, p.channel, p.choice, p.decided_at FROM incidents_plannedwrite p
      JOIN consent_subject s ON s.id = p.subject_id AND s.merged_into_id IS NULL
      LEFT JOIN consent_consent c
        ON c.subject_id = p.subject_id AND c.purpose = p.purpose AND c.channel = p.channel
     WHERE p.change_set_id = %s AND p.position BETWEEN %s AND %s AND p.outcome IS NULL
       AND coalesce(c.version, 0) = p.version
"""
# Written is what stands by a decision of this batch. Whatever a person chose in the very moment stands instead.
OUTCOMES = """
    UPDATE incidents_plannedwrite p SET batch = %s, outcome = o.outcome FROM (
      SELECT w.id, CASE WHEN d.id IS NOT NULL THEN 'written'
                        WHEN coalesce(c.version, 0) <> w.version THEN 'moved' ELSE 'refused' END AS outcome
        FROM incidents_plannedwrite w
        LEFT JOIN consent_consent c
          ON c.subject_id = w.subject_id AND c.purpose = w.purpose AND c.channel = w.channel
        LEFT JOIN consent_decision d ON d.id = c.decision_id AND d.batch_id = %s
       WHERE w.change_set_id = %s AND w.position BETWEEN %s AND %s AND w.outcome IS NULL) o
     WHERE o.id = p.id RETURNING p.outcome
"""
LOG_HEAD = "SELECT coalesce(max(history_id), 0) FROM consent_historicalconsent"


@transaction.atomic
def apply(change: ChangeSet, *, by: User | str) -> ChangeSet:
    """Begin to write: workers carry it on. Where its plan does not hold any more it becomes stale instead.

    Raises ValidationError where it was not approved, or where the staged rows are not those that were approved.
    """
    change = begin(locked(change, "apply", by), by)
    transaction.on_commit(lambda: nudge("incidents.tasks.apply_changes"), robust=True)
    return change


def begin(change: ChangeSet, by: User | str) -> ChangeSet:
    """Locked by the caller."""
    if stale := stale_because(change):
        return mark_stale(change, stale, by)
    if not is_as_approved(change):
        raise ValidationError("The staged rows are not those that were approved: edit the set and plan it anew.")
    change.scheduled_for, change.scheduled_by = None, ""
    change.started_at, change.started_by = timezone.now(), actor_of(by)
    change.next_at = transaction_time()
    loud = " WITHOUT APPROVALS, in an emergency." if change.is_bypassed else ""
    try:
        with transaction.atomic():
            move(change, State.APPLYING, f"is being applied.{loud}", by=by)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") != "HF014":
            raise
        raise ValidationError("This plan was not approved by enough people, or somebody declined it.") from error
    return change


@transaction.atomic
def pause(change: ChangeSet, *, reason: str, by: User | str) -> ChangeSet:
    """No further batch. What was written stays. Raises ValidationError."""
    return stand_still(locked(change, "pause", by), why(reason), by)


@transaction.atomic
def resume(change: ChangeSet, *, reason: str, by: User | str) -> ChangeSet:
    """Go on where it stopped: what was written is not written again. Raises ValidationError."""
    change = locked(change, "resume", by)
    change.paused_at, change.paused_by, change.paused_reason = None, "", ""
    change.batches.filter(state=OfBatch.INCONCLUSIVE).update(state=OfBatch.WRITTEN)  # and is judged again
    change.next_at = transaction_time()
    move(change, State.APPLYING, f"goes on. {why(reason)}", by=by)
    transaction.on_commit(lambda: nudge("incidents.tasks.apply_changes"), robust=True)
    return change


def stand_still(change: ChangeSet, reason: str, by: User | str = ACTOR) -> ChangeSet:
    """Locked by the caller."""
    change.paused_at, change.paused_by, change.paused_reason = timezone.now(), actor_of(by), reason[:LONGEST]
    change.next_at = change.lease = change.lease_until = None
    move(change, State.PAUSED, f"paused after {written(change):,} of {change.change_count:,}. {reason}", by=by)
    return change


def written(change: ChangeSet) -> int:
    return sum(change.batches.values_list("written_count", flat=True))


def step(change: ChangeSet, now: datetime) -> None:
    """One thing that is due: a batch is judged, the next one written, or the whole looked at. Locked by the caller."""
    last = change.batches.order_by("-number").first()
    if last is not None and last.state == OfBatch.WRITTEN:
        _judge(change, last, now)
    elif not _write_next(change, last, now):
        _watch(change, now)


def _judge(change: ChangeSet, batch: ChangeBatch, now: datetime) -> None:
    told = verdict(change, of_batch(batch))
    batch.state = {MET: OfBatch.PASSED, BREACHED: OfBatch.FAILED}.get(told.verdict, OfBatch.INCONCLUSIVE)
    batch.words, batch.judged_at = [text[:500] for text in told.words], now
    batch.save(update_fields=["state", "words", "judged_at"])
    if _may_go_on(change, told, f"{batch}".capitalize()):
        later(change, now + policy_of(change).interval)


def _watch(change: ChangeSet, now: datetime) -> None:
    """All is written: looked at as often as the policy says, a slice at a time, then it is over."""
    policy = policy_of(change)
    if change.state != State.VALIDATING:
        change.looks, change.looked_to, change.next_at = 0, 0, now
        words_ = f"all is written, {_figures(change)}; looked at {policy.count} times more."
        move(change, State.VALIDATING, words_, by=ACTOR)
        return
    if change.looks >= policy.count:
        change.applied_at, change.next_at, change.lease, change.lease_until = now, None, None, None
        move(change, State.APPLIED, f"applied, {_figures(change)}.", by=ACTOR)
        return
    part = after(change, change.looked_to)
    if _may_go_on(change, verdict(change, part), f"All of it, from {part.first:,} to {part.last:,}"):
        is_whole = part.last >= total_of(change)
        looks, looked_to = (change.looks + 1, 0) if is_whole else (change.looks, part.last)
        ChangeSet.objects.filter(pk=change.pk).update(looks=looks, looked_to=looked_to)
        later(change, now + policy.interval if is_whole else now)


def _may_go_on(change: ChangeSet, told: Verdict, what: str) -> bool:
    """A breach takes everything back, but for those that the policy bears, never one of I2; not knowing waits for a
    person."""
    if told.verdict == MET:
        return True
    said, policy = f"{what}: {told.verdict}. {' '.join(told.words)}", policy_of(change)
    if told.verdict == BREACHED:
        change.failures += 1
        raise_incident(change, f"{change.ref}, {said}")
        if change.failures > policy.failure_limit or not told.may_be_borne:
            begin_of_set(change, reason=said, by=ACTOR)
            return False
        ChangeSet.objects.filter(pk=change.pk).update(failures=change.failures)
        tell(change, f"goes on after breach {change.failures} of {policy.failure_limit} that it may have. {said}")
        return True
    if policy.inconclusive == "roll_back":
        begin_of_set(change, reason=said, by=ACTOR)
    else:
        stand_still(change, said)
    return False


def _write_next(change: ChangeSet, last: ChangeBatch | None, now: datetime) -> bool:
    """The next batch, if there is one. Where it is refused, the set stands still and says why."""
    number, first = (last.number + 1, last.last_position + 1) if last else (1, 1)
    span = _span(change, first)
    if span is None:
        return False
    try:
        with transaction.atomic():
            made = _write(change, number, *span) if change.writes_choices else _configure(change, number)
    except (InterfaceError, OperationalError):
        raise  # the database went away, or this was in another's way: it comes again
    except (ValidationError, DatabaseError) as error:
        reason = words(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        log.warning("change_batch_refused", change_set=change.ref, batch=number, reason=reason)
        stand_still(change, f"Batch {number} was refused, and nothing of it was written. {reason}")
        return True
    log.info("change_batch_written", change_set=change.ref, batch=number, written=made.written_count)
    later(change, now)
    return True


def _span(change: ChangeSet, first: int) -> Sequence[int] | None:
    if not change.writes_choices:
        return (first, first) if first <= len(change.operations) else None
    found = _one(NEXT, [change.pk, first, min(first + change.batch_size - 1, change.change_count)])
    return found if found and found[0] is not None else None


def _write(change: ChangeSet, number: int, first: int, last: int) -> ChangeBatch:
    head = _one(LOG_HEAD, [])[0]
    cause = on_choices(change)[0][0].cause
    batch = open_batch(f"change set {change.kind}"[:30], reason=f"{change.ref}: {change.title}"[:200], by=ACTOR)
    write_batch(batch, Selected(UNMOVED, [change.pk, first, last]), cause=cause, by=f"system:{change.ref}")
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, [number, batch.pk, change.pk, first, last])
        outcomes = [outcome for (outcome,) in cursor.fetchall()]
    return ChangeBatch.objects.create(
        change_set=change, number=number, first_position=first, last_position=last, batch=batch, log_before=head,
        written_count=outcomes.count("written"), moved_count=outcomes.count("moved"),
        refused_count=outcomes.count("refused"),
    )  # fmt: skip


def _configure(change: ChangeSet, number: int) -> ChangeBatch:
    operation, args = on_configuration(change)[number - 1]
    undo = operation.apply(args, f"{change.ref}: {change.reason}", f"system:{change.ref}")
    return ChangeBatch.objects.create(
        change_set=change, number=number, first_position=number, last_position=number, undo=undo, written_count=1
    )


def later(change: ChangeSet, at: datetime) -> None:
    """A batch is no version of the set: its history keeps what people and verdicts did."""
    change.next_at = at
    ChangeSet.objects.filter(pk=change.pk).update(next_at=at)


def _figures(change: ChangeSet) -> str:
    counts = change.batches.values_list("written_count", "moved_count", "refused_count")
    done, moved, refused = map(sum, zip(*counts, strict=True)) if counts else (0, 0, 0)
    text = f"{done:,} written"
    if moved:
        text += f", {moved:,} left out because something came meanwhile"
    return text + (f", {refused:,} left out because an opt-out covers them" if refused else "")


def _one(query: str, parameters: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()
