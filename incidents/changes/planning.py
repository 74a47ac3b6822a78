"""What a change set would do, counted without doing it: one statement over all keys, whatever their number.

An explicit choice that stands against it makes a row `protected`: such rows are counted, shown, and never written.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, connection, transaction
from django.utils import timezone

from config.models import User
from consent.bulk import Selected
from consent.services import actor_of
from incidents.changes import staging
from incidents.changes.allowing import locked
from incidents.changes.configuration import OUT_ELSEWHERE
from incidents.changes.operations import LISTED, on_choices, on_configuration, problems_of
from incidents.changes.policy import approvals_needed, seconds_for
from incidents.changes.selecting import REGION
from incidents.changes.staleness import base, plan_digest
from incidents.changes.telling import save, tell
from incidents.models import ChangeSet, PlannedWrite
from messaging.models import Message
from messaging.propagation.fanout import WANTED

SAMPLES = 5  # of each effect

# One row per key: the last operation that names it rules, and whoever was merged is spoken for by the other subject.
# Written in the order of `position`: opt-outs first, since they pass at every level of the guard, then opt-ins.
PLAN = f"""
    INSERT INTO incidents_plannedwrite
      (change_set_id, position, subject_id, purpose, channel, choice, decided_at, version, before, before_explicit,
       region, effect)
    SELECT %s, row_number() OVER (ORDER BY effect, choice DESC, subject_id, purpose, channel), subject_id, purpose,
           channel, choice, decided_at, version, before, before_explicit, region, effect
      FROM (
        SELECT w.subject_id, w.purpose, w.channel, w.choice, w.decided_at, coalesce(c.version, 0) AS version,
               c.state AS before, coalesce(c.explicit, false) AS before_explicit, {REGION.format("s")} AS region,
               CASE WHEN c.explicit AND c.state <> w.choice THEN 'protected'
                    WHEN w.choice = 'opt_in' AND EXISTS (
                      SELECT FROM consent_consent o WHERE o.subject_id = w.subject_id AND o.explicit
                         AND o.state = 'opt_out' AND o.purpose IN (w.purpose, '*') AND o.channel IN (w.channel, '*'))
                      THEN 'protected'
                    WHEN c.state = w.choice THEN 'same'
                    WHEN c.state IS NOT NULL AND (w.decided_at < c.decided_at
                         OR (w.decided_at = c.decided_at AND w.choice = 'opt_in')) THEN 'same'
                    ELSE 'changes' END AS effect
          FROM (
            SELECT DISTINCT ON (1, 2, 3) coalesce(p.merged_into_id, p.id) AS subject_id, k.purpose, k.channel, k.choice,
                   k.decided_at
              FROM ({{wanted}}) AS k(number, subject_id, purpose, channel, choice, decided_at)
              JOIN consent_subject p ON p.id = k.subject_id
             ORDER BY 1, 2, 3, k.number DESC, k.decided_at DESC NULLS FIRST, k.choice DESC) w
          JOIN consent_subject s ON s.id = w.subject_id
          LEFT JOIN consent_consent c
            ON c.subject_id = w.subject_id AND c.purpose = w.purpose AND c.channel = w.channel) planned
"""
COUNTS = """
    SELECT count(*) FILTER (WHERE effect = 'changes'), count(*) FILTER (WHERE effect = 'same'),
           count(*) FILTER (WHERE effect = 'protected'),
           count(*) FILTER (WHERE effect = 'protected' AND choice = 'opt_in')
      FROM incidents_plannedwrite WHERE change_set_id = %s
"""
MATRIX = """
    SELECT purpose, region, state, CASE effect WHEN 'changes' THEN wanted ELSE state END, count(*) FROM (
      SELECT purpose, region, effect, CASE choice WHEN 'opt_in' THEN 'opted in' ELSE 'opted out' END AS wanted,
             CASE WHEN effect = 'protected' AND choice = 'opt_in' THEN 'opted out by themselves'
                  WHEN before IS NULL THEN 'never asked'
                  ELSE (CASE before WHEN 'opt_in' THEN 'opted in' ELSE 'opted out' END)
                       || (CASE WHEN before_explicit THEN ' by themselves' ELSE '' END) END AS state
        FROM incidents_plannedwrite WHERE change_set_id = %s) told
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
SAMPLE = """
    SELECT position, subject_id::text, purpose, channel, choice, before, before_explicit, region, effect FROM (
      SELECT *, row_number() OVER (PARTITION BY effect, choice ORDER BY position) AS nth
        FROM incidents_plannedwrite WHERE change_set_id = %s) rows WHERE nth <= %s ORDER BY position
"""
WEBHOOKS = f"""
    SELECT coalesce(sum(k.count), 0) FROM (
      SELECT purpose, channel, count(*) FROM incidents_plannedwrite
       WHERE change_set_id = %s AND effect = 'changes' GROUP BY 1, 2) k
      JOIN messaging_endpoint e ON {WANTED.format("k")}
"""
COLUMNS = ("position", "subject", "purpose", "channel", "choice", "before", "before_explicit", "region", "effect")


@transaction.atomic
def plan(change: ChangeSet, *, by: User | str) -> ChangeSet:
    """Count what it would do to whom, on the state of now; a plan that was made before is replaced.

    Returns it with its figures. Raises ValidationError with everything that is wrong with its operations.
    """
    change = locked(change, "plan", by)
    if problems := problems_of(change.operations, change.selector):
        raise ValidationError(problems)
    if change.state == ChangeSet.State.STALE:
        change.state, change.revision = ChangeSet.State.DRAFT, change.revision + 1
        forget(change)
        save(change, by, "Planned again")
    PlannedWrite.objects.filter(change_set=change).delete()
    change.base_revision = base()
    try:
        _fill(change)
    except DataError as error:
        raise ValidationError(f"The database cannot read it: {str(error).splitlines()[0]}") from error
    change.required_approvals = approvals_needed(change)
    change.forecast = forecast(change)
    change.plan_digest = plan_digest(change)
    change.planned_at, change.planned_by = timezone.now(), actor_of(by)
    save(change, by, "Planned")
    tell(change, f"planned. {told(change)}", by=by)
    return change


def forget(change: ChangeSet) -> None:
    """A plan that does not hold is not shown as if it did, and what was let through with it is not any more."""
    change.planned_at, change.planned_by, change.plan_digest, change.base_revision = None, "", None, {}
    change.change_count = change.same_count = change.protected_count = change.protected_touched = 0
    change.matrix, change.sample, change.configuration, change.forecast = [], [], [], {}
    change.submitted_at, change.submitted_by = None, ""
    change.bypassed_at, change.bypassed_by, change.bypass_reason, change.second_person = None, "", "", ""
    change.bypass_digest, change.seconded_at, change.seconded_by, change.review_due_at = None, None, "", None
    change.reviewed_at, change.reviewed_by, change.review_result = None, "", ""


def told(change: ChangeSet) -> str:
    """The plan in one sentence."""
    if not change.writes_choices:
        reached = sum(row["count"] for row in change.matrix)
        left = sum(row["count"] for row in change.matrix if row["before"].endswith(OUT_ELSEWHERE))
        words = f"{len(change.configuration)} changes of configuration; {reached:,} people would be answered otherwise"
        return f"{words}, of whom {left:,} {OUT_ELSEWHERE}." if left else f"{words}."
    words = f"{change.change_count:,} keys change, {change.same_count:,} are so already"
    if change.protected_count:
        words += f", {change.protected_count:,} are people's own choices and stay"
    return f"{words}."


def _fill(change: ChangeSet) -> None:
    if change.writes_choices:
        staging.check(change)
        if any(told["operation"] in LISTED for told in change.operations) and not change.rows.exists():
            raise ValidationError("The list names nobody: bring its rows.")
        wanted = _wanted(change)
        with connection.cursor() as cursor:
            cursor.execute(PLAN.replace("{wanted}", wanted.sql), [change.pk, *wanted.parameters])
            cursor.execute(COUNTS, [change.pk])
            counts = cursor.fetchone()
        change.change_count, change.same_count, change.protected_count, change.protected_touched = counts
        if not sum(counts):
            raise ValidationError("It is about nobody: no key is selected.")
        change.matrix, change.sample = _matrix(change), _sample(change)
        return
    change.configuration, change.matrix = [], []
    for operation, args in on_configuration(change):
        before, after = operation.before(args), operation.wanted(args)
        row = {"title": operation.title, "args": dict(args), "before": before, "after": after}
        change.configuration.append(row | {"changes_regime": operation.changes_regime(args) and before != after})
        change.matrix += operation.impact(args)
    if all(row["before"] == row["after"] for row in change.configuration):
        raise ValidationError("It changes nothing: all of it stands already.")


def _wanted(change: ChangeSet) -> Selected:
    parts: list[str] = []
    parameters: list[Any] = []
    for number, (operation, args) in enumerate(on_choices(change)):
        wanted = operation.wanted(change, args)
        parts.append(f"SELECT {number}, q.* FROM ({wanted.sql}) q")
        parameters += wanted.parameters
    return Selected(" UNION ALL ".join(parts), parameters)


def _matrix(change: ChangeSet) -> list[dict[str, Any]]:
    return [
        {"purpose": purpose, "region": region, "before": before, "after": after, "count": count}
        for purpose, region, before, after, count in _rows(MATRIX, [change.pk])
    ]


def _sample(change: ChangeSet) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in _rows(SAMPLE, [change.pk, SAMPLES])]


def forecast(change: ChangeSet) -> dict[str, int]:
    """What it sets going: no confirmation, since nobody chose; services that follow changes; messages that wait for a
    text. `seconds`: how long it takes about."""
    templates = [args["template"] for _, args in on_configuration(change) if "template" in args]
    waiting = Message.objects.filter(template_key__in=templates, state=Message.State.RENDER_FAILED).count()
    webhooks = int(_rows(WEBHOOKS, [change.pk])[0][0]) if change.writes_choices else 0
    return {"messages": waiting if templates else 0, "webhooks": webhooks, "seconds": seconds_for(change)}


def _rows(query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
