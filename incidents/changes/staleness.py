"""What a plan was made on, and whether that still holds: the log, the configuration, and its age."""

import hashlib
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from config.deeds import words
from consent.models import ExitPath, Purpose
from incidents.changes.operations import on_configuration
from incidents.changes.policy import PLAN_HOLDS
from incidents.models import ChangeSet

HEAD = """
    SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint, coalesce(max(history_id), 0)
      FROM consent_historicalconsent
"""
# Only what came into the log since is looked at. What a person chose survives by itself, and is counted when it is met;
# what anything else wrote says that somebody works on the same people, and that the plan is about a state that is gone.
MOVED = """
    SELECT count(*) FROM (
      SELECT 1 FROM consent_historicalconsent h
       CROSS JOIN LATERAL (
         SELECT FROM incidents_plannedwrite p
          WHERE p.change_set_id = %(change)s AND p.subject_id = h.subject_id AND p.purpose = h.purpose
            AND p.channel = h.channel AND p.outcome IS NULL AND h.version > p.version OFFSET 0) p
       WHERE h.tx >= %(tx)s AND NOT h.explicit LIMIT 1000) moved
"""
# As the plan was read: in parts, so that a million rows are never one value.
DIGEST = """
    SELECT sha256(string_agg(part, ''::bytea ORDER BY number)) FROM (
      SELECT (position - 1) / 10000 AS number,
             sha256(string_agg(record_send(ROW(position, subject_id, purpose::text, channel::text, choice::text,
               decided_at, version, before::text, before_explicit, region::text, effect::text)), ''::bytea
               ORDER BY position)) AS part
        FROM incidents_plannedwrite WHERE change_set_id = %s GROUP BY 1) parts
"""
NOT_CONFIGURED = {"last_used_at"}  # of a way out: what happens to it, not what somebody set


def base() -> dict[str, Any]:
    """Where the log stands, and the configuration's digest. Read before the plan is, in the same transaction."""
    with connection.cursor() as cursor:
        cursor.execute(HEAD)
        tx, head = cursor.fetchone()
    return {"tx": tx, "history": head, "configuration": configuration_digest()}


def configuration_digest() -> str:
    """SHA-256, as hex, of every purpose and way out."""
    told = {
        model._meta.label: list(model._default_manager.order_by("pk").values(*names))
        for model, names in ((model, _names(model)) for model in (Purpose, ExitPath))
    }
    return hashlib.sha256(canonical(told)).hexdigest()


def plan_digest(change: ChangeSet) -> bytes:
    """SHA-256 over the planned rows in order, and over all that says what is done with them."""
    with connection.cursor() as cursor:
        cursor.execute(DIGEST, [change.pk])
        rows = cursor.fetchone()[0]
    told = {
        "operations": change.operations, "selector": change.selector, "leaves_protected": change.leaves_protected,
        "batch_size": change.batch_size, "validation_policy": change.validation_policy,
        "configuration": change.configuration, "rows": bytes(rows).hex() if rows else "",
    }  # fmt: skip
    return hashlib.sha256(canonical(told)).digest()


def stale_because(change: ChangeSet) -> str:
    """Why the plan does not hold any more, in words; empty: it holds."""
    if change.planned_at is None:
        return "It was never planned."
    if timezone.now() - change.planned_at > PLAN_HOLDS:
        return f"It was planned more than {PLAN_HOLDS.total_seconds() / 3600:.0f} hours ago."
    if change.base_revision.get("configuration") != configuration_digest():
        return "Purposes or ways out were changed since it was planned."
    for (operation, args), told in zip(on_configuration(change), change.configuration, strict=True):
        try:
            operation.wanted(args)
            before = operation.before(args)
        except ValidationError as error:
            return f"{operation.title}: {words(error)}"
        if before != told["before"]:
            return f"{operation.title}: what stands now is not what it was planned on."
    if count := moved_by_others(change):
        return (
            f"{'More than 999' if count == 1000 else count} of its keys were changed since by something that no person "
            "chose: an import, a job or another set."
        )
    return ""


def moved_by_others(change: ChangeSet) -> int:
    """Planned keys that something other than a person's own choice has written since, counted to a thousand."""
    with connection.cursor() as cursor:
        cursor.execute(MOVED, {"change": change.pk, "tx": change.base_revision["tx"]})
        return int(cursor.fetchone()[0])


def is_as_approved(change: ChangeSet) -> bool:
    """Nobody wrote into the staged rows beside us."""
    return change.plan_digest is not None and bytes(change.plan_digest) == plan_digest(change)


def canonical(told: Any) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def _names(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields if field.attname not in NOT_CONFIGURED]
