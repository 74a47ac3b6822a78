"""A person lets sending go again, once the database holds all that the journals have."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent import opt_out_journal, restoring
from consent.models import GuardChange
from consent.services import actor_of, guard_level, set_guard
from incidents import timeline
from incidents.models import Restore
from incidents.restores import heads
from incidents.restores.report import as_row, obstacles
from incidents.restores.watching import BY
from incidents.timeline import Kind, Source
from messaging.holding import let_go as release
from messaging.models import SendHold


def let_go(restore: Restore, *, reason: str, by: User) -> Restore:
    """Compare once more, release what this restore held back, and give the guard back the level that it had; what a
    person held, or set, meanwhile stays. Messages that may have gone out twice stay held, each on its own page.

    Raises ValidationError in words where something is missing still.
    """
    if not reason.strip():
        raise ValidationError("Say what you looked at.")
    try:
        journal, compared = opt_out_journal.name(), restoring.compare()
    except OSError as error:
        raise ValidationError(f"This host's journal cannot be read: {error.strerror}. See SPOOL_DIR.") from error
    with transaction.atomic():
        row = Restore.objects.select_for_update().get(pk=restore.pk)
        if row.state == Restore.State.LET_GO:
            raise ValidationError(f"{row.let_go_by} let it go already.")
        row.journals[journal] = as_row(compared)
        if refused := list(obstacles(row)):
            raise ValidationError(refused)
        if heads.read().counter_is_behind:
            raise ValidationError(
                "The server's transaction counter is behind the log: readers would see no new choice. Set it forward "
                "with pg_resetwal first."
            )
        row.state, row.let_go_at = Restore.State.LET_GO, timezone.now()
        row.let_go_by, row.let_go_reason = actor_of(by), reason.strip()[:200]
        row.save()
        _release(row, by)
        text = f"Sending goes on. {row.let_go_reason}"
        timeline.append(row.incident.survivor, Kind.SEND, text, source=Source.UI, actor=actor_of(by))
    return row


def _release(row: Restore, by: User) -> None:
    for hold in SendHold.objects.filter(pk__in=row.holds, released_at=None):
        release(hold, reason=row.let_go_reason, by=by)
    newest = GuardChange.objects.order_by("-pk").first()
    is_ours = newest is not None and newest.changed_by == BY
    if is_ours and guard_level() == GuardChange.Level.FREEZE and row.guard_before != GuardChange.Level.FREEZE:
        set_guard(row.guard_before, reason=row.let_go_reason, by=by)
