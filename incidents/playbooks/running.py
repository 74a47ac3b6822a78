"""From a run that is due to where it waits or ends: claimed under a lease by the database's clock, a step at a time.

A step that writes rows is committed with what it wrote. A call to somebody else is made between two transactions: the
first says that it is being made, the second how it ended. Whoever finds the first without the second, and a lease that
has ended, does not know; it is not made again by itself unless its step says that this is safe.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from consent.services import transaction_time
from incidents.models import PlaybookRun, StepRun
from incidents.playbooks import steps
from incidents.playbooks.actions import REGISTRY
from incidents.playbooks.relying import in_force
from incidents.playbooks.telling import State, Step, current, end, leave, stop
from incidents.playbooks.undoing import undo_next

AT_ONCE = 100  # runs that one call looks at
LONGEST = 20  # seconds after which it begins nothing more: a call of 25 still ends within the task's minute
LEASE = timedelta(minutes=2)

CLAIM = """
    UPDATE incidents_playbookrun
       SET lease = gen_random_uuid(), lease_until = clock_timestamp() + interval '2 minutes'
     WHERE id = (
       SELECT id FROM incidents_playbookrun
        WHERE ended_at IS NULL AND state IN ('running', 'undoing') AND next_at <= clock_timestamp()
          AND coalesce(lease_until, '-infinity') <= clock_timestamp()
        ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, lease
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    run_id: int
    lease: UUID


def run_due() -> int:
    """Whatever is due, as far as it goes now; returns how many runs were looked at."""
    until = time.monotonic() + LONGEST
    count = end_with_incidents()
    while count < AT_ONCE and time.monotonic() < until and (claimed := claim()):
        count += 1
        go_on(claimed, until)
    return count


def end_with_incidents() -> int:
    """Runs that outlive their incident, also those that wait for days or were stopped; returns how many."""
    return sum(_end_with(pk) for pk in _outliving().values_list("pk", flat=True)[:AT_ONCE])


@transaction.atomic
def _end_with(run_id: int) -> bool:
    found = _outliving().filter(pk=run_id).select_related("incident", "playbook")
    run = found.select_for_update(of=("self",), skip_locked=True).first()
    if run is None:
        return False
    _outlive(run, transaction_time())
    return True


def _outliving() -> QuerySet[PlaybookRun]:
    """Those that no worker is at just now."""
    return PlaybookRun.objects.outliving().filter(Q(lease_until=None) | Q(lease_until__lt=Now()))


def _outlive(run: PlaybookRun, now: datetime) -> None:
    """Where something of it is in force a person decides about that; otherwise it is over."""
    ended = f"{run.incident.ref} is {run.incident.get_status_display()}"
    standing = ", ".join(step.title for step in in_force(run))
    if standing:
        leave(run, Step.FAILED, f"{ended}.", now)
        run.outlived_at = now
        stop(run, now, f"{ended}. Still in force: {standing}. Take it back, or cancel.")
    else:
        leave(run, Step.SKIPPED, f"{ended}.", now)
        end(run, State.CANCELLED, now, f"Cancelled: {ended}.")


def claim() -> Claimed | None:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM)
        row = cursor.fetchone()
    return Claimed(*row) if row else None


def go_on(claimed: Claimed, until: float = float("inf")) -> None:
    """Step after step, until it waits, ends, is somebody else's, or the time is up (`until`, by the monotonic clock):
    what is begun by then is still done. A worker that dies leaves a lease that ends."""
    while _once(claimed) and (time.monotonic() < until or _has_begun(claimed)):
        pass
    PlaybookRun.objects.filter(pk=claimed.run_id, lease=claimed.lease).update(lease=None, lease_until=None)


def _has_begun(claimed: Claimed) -> bool:
    return StepRun.objects.filter(run=claimed.run_id, lease=claimed.lease, state=Step.RUNNING).exists()


def _once(claimed: Claimed) -> bool:
    """One look. Returns whether another one is due at once."""
    with transaction.atomic():
        run = ours(claimed)
        if run is None:
            return False
        now = transaction_time()
        step = None
        if run.state == State.UNDOING:
            undo_next(run, now)
        elif run.position >= len(run.steps):
            end(run, State.SUCCEEDED, now, "All steps are done.")
        elif not run.incident.is_open:
            _outlive(run, now)
        else:
            step = current(run)
            if steps.look(run, step, now):
                PlaybookRun.objects.filter(pk=run.pk).update(lease_until=Now() + LEASE)  # the call has all of it
            else:
                step = None
        is_due = run.state in PlaybookRun.AT_WORK and run.next_at is not None and run.next_at <= now
    if step is not None:
        _call(claimed, run, step)
        return True
    return is_due


def _call(claimed: Claimed, run: PlaybookRun, step: StepRun) -> None:
    """Outside of a transaction; how it ended is written under the lease. Without it, the next one does not know."""
    answer = steps.call(run, step)
    with transaction.atomic():
        locked = ours(claimed)
        if locked is None:
            return
        found, now = current(locked), transaction_time()
        if found.pk != step.pk or found.state != Step.RUNNING:
            return
        if isinstance(answer, str):
            steps.failed(locked, found, answer, now)
        else:
            steps.answered(locked, found, REGISTRY[locked.step["action"]], answer, now)


def ours(claimed: Claimed) -> PlaybookRun | None:
    """Locked, while the claim stands."""
    found = PlaybookRun.objects.select_for_update(of=("self",)).select_related("incident", "playbook")
    return found.filter(pk=claimed.run_id, lease=claimed.lease, state__in=PlaybookRun.AT_WORK).first()
