"""Taking back: decisions that nobody chose are voided, and each key is projected again from what stands then.

Nothing is deleted and no list of old values is kept: each person gets back their own last choice, and what they choose
while this runs survives. A predicate finds what a set wrote, or what a session wrote that declared nothing. It goes on
in portions in key order, may be killed at any point, and run again it changes nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from config.deeds import words
from config.models import User
from config.nudge import nudge
from consent.services import actor_of, transaction_time, void
from incidents.changes.allowing import locked
from incidents.changes.operations import on_configuration
from incidents.changes.telling import ACTOR, LONGEST, line, move, tell
from incidents.changing import why
from incidents.models import ChangeSet, Incident, Rollback, RollbackItem

log = structlog.get_logger(__name__)
State = Rollback.State
PORTION = 1_000  # keys of one transaction
SHORT = 200  # characters of a reason that the log keeps
SAMPLE = 50

HEAD = "SELECT coalesce(max(history_id), 0) FROM consent_historicalconsent"
DECLARE = """
    INSERT INTO incidents_rollbackitem (rollback_id, decision_id, subject_id, purpose, channel, choice, is_done)
    SELECT %(rollback)s, d.id, d.subject_id, d.purpose, d.channel, d.choice, false FROM consent_decision d
     WHERE {which} AND NOT d.explicit AND NOT EXISTS (SELECT FROM consent_decisionvoid v WHERE v.decision_id = d.id)
     ORDER BY d.subject_id, d.purpose, d.channel, d.id
    ON CONFLICT (rollback_id, decision_id) DO NOTHING
"""
OF_SET = "d.batch_id IN (SELECT b.batch_id FROM incidents_changebatch b WHERE b.change_set_id = %(change_set)s)"

# In the order in which everybody locks keys.
KEYS = """
    SELECT id, decision_id FROM incidents_rollbackitem WHERE rollback_id = %s AND NOT is_done
     ORDER BY subject_id, purpose, channel, id LIMIT %s
"""
# A portion of items, and look-ups by key for each: whatever the planner believes about rows that are new.
NEXT = """
    SELECT id, decision_id, subject_id, purpose, channel FROM incidents_rollbackitem
     WHERE rollback_id = %(rollback)s AND id > %(after)s ORDER BY id LIMIT %(limit)s
"""
AGAIN = f"""
    WITH next AS MATERIALIZED ({NEXT})
    SELECT (SELECT max(id) FROM next), consent_reproject(array(
      SELECT c.id FROM next i CROSS JOIN LATERAL (
        SELECT k.id FROM consent_consent k
         WHERE k.subject_id = i.subject_id AND k.purpose = i.purpose AND k.channel = i.channel OFFSET 0) c))
"""
WEAKENED = f"""
    WITH next AS MATERIALIZED ({NEXT})
    SELECT count(DISTINCT h.history_id) FROM next i
     CROSS JOIN LATERAL (
       SELECT k.id FROM consent_consent k
        WHERE k.subject_id = i.subject_id AND k.purpose = i.purpose AND k.channel = i.channel OFFSET 0) c
     CROSS JOIN LATERAL (SELECT * FROM consent_historicalconsent v WHERE v.id = c.id OFFSET 0) h
     CROSS JOIN LATERAL (SELECT v.explicit, v.state FROM consent_historicalconsent v
                          WHERE v.id = h.id AND v.version = h.version - 1 OFFSET 0) b
      LEFT JOIN consent_decision d ON d.id = h.decision_id
     WHERE h.history_id > %(since)s AND b.explicit AND b.state = 'opt_out' AND h.state IS DISTINCT FROM 'opt_out'
       AND (d.id IS NULL OR NOT d.explicit OR d.choice <> 'opt_in' OR d.reversal_id IS NULL)
"""
# Jobs that read the bad state may have written more: shown to people, and not touched.
LATER = f"""
    WITH next AS MATERIALIZED ({NEXT})
    SELECT DISTINCT d.id FROM next i
     CROSS JOIN LATERAL (SELECT w.id FROM consent_decision w
                          WHERE w.subject_id = i.subject_id AND w.id > i.decision_id AND NOT w.explicit OFFSET 0) d
     WHERE NOT EXISTS (SELECT FROM incidents_rollbackitem o
                        WHERE o.rollback_id = %(rollback)s AND o.decision_id = d.id OFFSET 0)
       AND NOT EXISTS (SELECT FROM consent_decisionvoid v WHERE v.decision_id = d.id OFFSET 0)
     ORDER BY 1
"""


@transaction.atomic
def roll_back(change: ChangeSet, *, reason: str, by: User | str) -> Rollback:
    """Take back all that the set wrote, now or later: workers carry it on. Raises ValidationError.

    One at work is stopped by anybody. Where taking back one that was applied makes people contactable again, it waits
    for `undeclared.confirm` by a second person, whoever asks.
    """
    change = locked(change, "roll_back", by)
    made = _of_set(change, why(reason), by)
    if _takes_two(change, made, by):
        tell(
            change, f"is to be taken back: {made.item_count:,} decisions. A second person confirms it. {reason}", by=by
        )
        return made
    return go_back(change, made, by=by)


def _takes_two(change: ChangeSet, made: Rollback, by: User | str) -> bool:
    if change.state != ChangeSet.State.APPLIED or actor_of(by).startswith("system:"):
        return False
    rules = [row for row in change.configuration if row.get("changes_regime")]
    return made.opt_out_count > 0 or any(row["before"]["regime"] != row["after"]["regime"] == "opt_in" for row in rules)


def begin_of_set(change: ChangeSet, *, reason: str, by: User | str) -> Rollback:
    """Its keys are declared and the set stops; locked by the caller."""
    return go_back(change, _of_set(change, reason, by), by=by)


def _of_set(change: ChangeSet, reason: str, by: User | str) -> Rollback:
    made = Rollback.objects.create(
        change_set=change, incident=change.incident, predicate={"change_set": change.ref}, reason=reason[:LONGEST],
        state=State.WAITING, started_by=actor_of(by), log_before=log_head(),
    )  # fmt: skip
    declare(made, OF_SET, {"change_set": change.pk})
    return made


def go_back(change: ChangeSet, made: Rollback, *, by: User | str) -> Rollback:
    """The set stops, and what was declared is voided. Both are locked by the caller."""
    reason = made.reason
    change.paused_at, change.paused_by, change.paused_reason = None, "", ""
    change.rollback_reason, change.next_at, change.lease, change.lease_until = reason[:LONGEST], None, None, None
    text = f"is taken back: {made.item_count:,} decisions. {reason}"
    move(change, ChangeSet.State.ROLLING_BACK, text, by=by, reason=reason)
    start(made)
    return made


def step(rollback: Rollback, now: datetime) -> bool:
    """One portion, or the end of it. Locked by the caller, in its transaction. Returns whether it is over."""
    rows = _rows(KEYS, [rollback.pk, PORTION])
    if rows:
        ids, decisions = zip(*rows, strict=True)
        # What a set wrote is taken back by this product where it is stopped at work; else two people answer for it.
        by = rollback.started_by if rollback.change_set is None or rollback.confirmed_by else ACTOR
        reason = f"{rollback}: {rollback.reason}"[:SHORT]
        voided = void(decisions, reason=reason, by=by, confirmed_by=rollback.confirmed_by)
        RollbackItem.objects.filter(pk__in=ids).update(is_done=True)
        rollback.voided_count += voided
        rollback.next_at = now
        rollback.save(update_fields=["voided_count", "next_at"])
        return False
    if _look_again(rollback) or _configuration_back(rollback):
        rollback.next_at = now
        rollback.save(update_fields=["next_at"])
        return False
    _end(rollback, now)
    return True


def _look_again(rollback: Rollback) -> bool:
    """All is voided. A portion at a time: the same once more, which changes nothing where all is back; whether any
    explicit opt-out was weakened; and what else was written about these people."""
    facts = {
        "rollback": rollback.pk, "after": rollback.checked_to, "limit": PORTION, "since": rollback.log_before,
    }  # fmt: skip
    last, changed = _rows(AGAIN, facts)[0]
    if last is None:
        return False
    later = [number for (number,) in _rows(LATER, facts)]
    rollback.checked_to = last
    rollback.rewritten_again = (rollback.rewritten_again or 0) + changed
    rollback.weakened_count = (rollback.weakened_count or 0) + _one(WEAKENED, facts)
    rollback.later_count = (rollback.later_count or 0) + len(later)
    rollback.later_sample = sorted({*rollback.later_sample, *later})[:SAMPLE]
    rollback.save()
    return True


def _end(rollback: Rollback, now: datetime) -> None:
    for name in ("rewritten_again", "weakened_count", "later_count"):
        setattr(rollback, name, getattr(rollback, name) or 0)
    rollback.state, rollback.next_at, rollback.ended_at, rollback.ended_by = State.DONE, None, now, ACTOR
    rollback.lease = rollback.lease_until = None
    rollback.save()
    text = (
        f"taken back: {rollback.voided_count:,} decisions voided. A second run changed {rollback.rewritten_again:,} "
        f"keys; {rollback.weakened_count:,} explicit opt-outs were weakened."
    )
    if rollback.later_count:
        text += f" {rollback.later_count:,} later writes about these people, that nobody chose, are for you to look at."
    if rollback.change_set is None:
        tell_of(rollback, text, ACTOR)
    else:
        _end_of_set(rollback.change_set, text, now, rollback.started_by)


def _end_of_set(change: ChangeSet, text: str, now: datetime, by: str) -> None:
    change = ChangeSet.objects.select_for_update(of=("self",)).select_related("incident").get(pk=change.pk)
    change.batches.filter(rolled_back_at=None).update(rolled_back_at=now)
    change.rolled_back_at, change.rolled_back_by = now, by
    move(change, ChangeSet.State.ROLLED_BACK, text, by=ACTOR)
    for incident in Incident.objects.open().filter(caused_by_change_set=change.ref):
        if incident.pk != change.incident_id:
            line(incident, f"{change.ref} {text}")


def _configuration_back(rollback: Rollback) -> bool:
    """The last operation of configuration that stands is undone; where that fails, it is told and left to people."""
    change = rollback.change_set
    if change is None:
        return False
    batch = change.batches.filter(rolled_back_at=None, batch=None).order_by("-number").first()
    if batch is None:
        return False
    operation, args = on_configuration(change)[batch.number - 1]
    try:
        with transaction.atomic():
            said = operation.undo(args, batch.undo, f"{change.ref} is taken back", f"system:{change.ref}")
    except (InterfaceError, OperationalError):
        raise
    except ValidationError as error:
        said = f"{operation.title} could not be taken back: {words(error)} Somebody must do it by hand."
    batch.rolled_back_at = timezone.now()
    batch.words = [*batch.words, said[:500]]
    batch.save(update_fields=["rolled_back_at", "words"])
    tell(change, said)
    return True


def declare(rollback: Rollback, which: str, facts: Mapping[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(DECLARE.format(which=which), {**facts, "rollback": rollback.pk})
    counts = RollbackItem.objects.filter(rollback=rollback)
    rollback.item_count, rollback.opt_out_count = counts.count(), counts.filter(choice="opt_out").count()
    rollback.save(update_fields=["item_count", "opt_out_count", "explicit_count"])


def start(rollback: Rollback) -> None:
    rollback.state, rollback.next_at = State.RUNNING, transaction_time()
    rollback.save()
    _nudge()


def tell_of(rollback: Rollback, text: str, by: User | str) -> None:
    if rollback.incident is not None:
        line(rollback.incident, f"{str(rollback).capitalize()}: {text}", by=by)


def _nudge() -> None:
    transaction.on_commit(lambda: nudge("incidents.tasks.apply_changes"), robust=True)


def log_head() -> int:
    """The newest version of any consent: what comes later came meanwhile."""
    return int(_one(HEAD, {}))


def _rows(query: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _one(query: str, parameters: Any) -> Any:
    return _rows(query, parameters)[0][0]
