"""Carrying on: whatever is due is claimed under a lease by the database's clock, a batch or a portion at a time.

Each is one transaction with its record. Whoever dies in it has done nothing; whoever comes after the lease goes on.
"""

import time
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from config.deeds import words
from config.models import User
from consent.services import transaction_time
from incidents.changes import applying, rolling_back
from incidents.changes.allowing import APPLIES
from incidents.changes.deciding import mark_stale
from incidents.changes.telling import ACTOR
from incidents.models import ChangeSet, Rollback

log = structlog.get_logger(__name__)
AT_ONCE = 20  # sets or rollbacks that one call carries on
BETWEEN_LOOKS = 0.1  # seconds
STEPS = 10_000  # of one of them, before others have their turn
State = ChangeSet.State

CLAIM = """
    UPDATE {table} SET lease = gen_random_uuid(), lease_until = clock_timestamp() + interval '2 minutes'
     WHERE id = (
       SELECT id FROM {table}
        WHERE (%(id)s::bigint IS NULL OR id = %(id)s) AND next_at <= clock_timestamp()
          AND coalesce(lease_until, '-infinity') <= clock_timestamp()
        ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, lease
"""
RENEW = "UPDATE {table} SET lease_until = clock_timestamp() + interval '2 minutes' WHERE id = %s AND lease = %s"
SETS, ROLLBACKS = ChangeSet._meta.db_table, Rollback._meta.db_table


@dataclass(frozen=True, slots=True)
class Claimed:
    table: str
    id: int
    lease: UUID


def run_due() -> int:
    """Rollbacks first, since harm is being done; then what is applied or has its time. Returns how many there were."""
    count = 0
    for table in (ROLLBACKS, SETS):
        while count < AT_ONCE and (claimed := claim(table)):
            count += 1
            go_on(claimed)
    return count


def claim(table: str, id: int | None = None) -> Claimed | None:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(table=table), {"id": id})
        row = cursor.fetchone()
    return Claimed(table, *row) if row else None


def go_on(claimed: Claimed, most: int = STEPS) -> None:
    """Step after step, until it waits, ends, or is somebody else's."""
    once = _once_of_rollback if claimed.table == ROLLBACKS else _once_of_set
    for _ in range(most):
        if not once(claimed):
            break
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {claimed.table} SET lease = NULL, lease_until = NULL WHERE id = %s AND lease = %s",
            [claimed.id, claimed.lease],
        )


def carry_through(change: ChangeSet) -> ChangeSet:
    """Here and now, for a script that waits for it: until it is applied, stands still, or is taken back."""
    while True:
        change = ChangeSet.objects.select_related("incident").get(pk=change.pk)
        if change.state in ChangeSet.AT_WORK:
            claimed = claim(SETS, change.pk)
        elif change.state == State.ROLLING_BACK:
            claimed = claim(ROLLBACKS, change.rollbacks.filter(state=Rollback.State.RUNNING).get().pk)
        else:
            return change
        if claimed:
            go_on(claimed)
        else:
            time.sleep(BETWEEN_LOOKS)  # it waits between two batches, or a worker is at it


@transaction.atomic
def _once_of_set(claimed: Claimed) -> bool:
    """One batch, verdict or look. Returns whether another is due at once."""
    found = ChangeSet.objects.select_for_update(of=("self",)).select_related("incident")
    change = found.filter(pk=claimed.id, lease=claimed.lease, next_at__isnull=False).first()
    if change is None:
        return False
    _renew(claimed)
    now = transaction_time()
    if change.state == State.SCHEDULED:
        if change.next_at is not None and change.next_at <= now:
            _its_time_has_come(change)
    else:
        applying.step(change, now)
    return change.next_at is not None and change.next_at <= now


@transaction.atomic
def _once_of_rollback(claimed: Claimed) -> bool:
    found = Rollback.objects.select_for_update(of=("self",)).select_related("incident", "change_set__incident")
    rollback = found.filter(pk=claimed.id, lease=claimed.lease, state=Rollback.State.RUNNING).first()
    if rollback is None:
        return False
    _renew(claimed)
    return not rolling_back.step(rollback, transaction_time())


def _its_time_has_come(change: ChangeSet) -> None:
    """Whoever gave it its time must still be there and may still do it: an account that was closed applies nothing."""
    try:
        with transaction.atomic():
            if _has_left(change.scheduled_by):
                raise ValidationError(f"{change.scheduled_by}, who scheduled it, may not apply it any more.")
            applying.begin(change, change.scheduled_by)
    except ValidationError as error:
        change.refresh_from_db()
        mark_stale(change, words(error), ACTOR)
        log.warning("scheduled_change_not_applied", change_set=change.ref, reason=words(error))


def _has_left(actor: str) -> bool:
    kind, _, name = actor.partition(":")
    if kind not in ("user", "service"):
        return False
    person = User.objects.filter(username=name, is_active=True, is_service=kind == "service").first()
    return person is None or not person.has_perm(APPLIES)


def _renew(claimed: Claimed) -> None:
    with connection.cursor() as cursor:
        cursor.execute(RENEW.format(table=claimed.table), [claimed.id, claimed.lease])
