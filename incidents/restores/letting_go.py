"""A person lets sending go again, once the database holds all that the journals have."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent import opt_out_journal, restoring
from consent.models import GuardChange
from consent.services import actor_of, set_guard
from incidents import timeline
from incidents.invariants.standing import BURNING
from incidents.lifecycle import contain
from incidents.models import Restore
from incidents.restores import heads
from incidents.restores.report import as_row, obstacles
from incidents.restores.watching import BY
from incidents.timeline import Kind, Source
from incidents.validation import guarding
from messaging.holding import let_go as release
from messaging.models import SendHold


def let_go(restore: Restore, *, reason: str, by: User) -> Restore:
    """Compare once more, release what this restore held back, and contain its incident. The guard gets back the level
    that others had set, unless another incident that burns asks for more; what a person held, or set, meanwhile stays.
    Messages that may have gone out twice stay held, each on its own page.

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
        if row.incident.status in BURNING:
            contain(row.incident, reason=row.let_go_reason, by=by)
        _relax(row)
        text = f"Sending goes on. {row.let_go_reason}"
        timeline.append(row.incident.survivor, Kind.SEND, text, source=Source.UI, actor=actor_of(by))
    return row


def _release(row: Restore, by: User) -> None:
    for hold in SendHold.objects.filter(pk__in=row.holds, released_at=None):
        release(hold, reason=row.let_go_reason, by=by)


def _relax(row: Restore) -> None:
    """Not in the person's name: what is set by hand would stand against every incident that burns already."""
    changes = GuardChange.objects.order_by("-pk")
    newest = changes.first()
    if newest is not None and newest.changed_by == BY:
        before = changes.exclude(changed_by__in=[BY, guarding.BY]).first()
        level = before.level if before else GuardChange.Level.OBSERVE
        if level != newest.level:
            set_guard(level, reason=row.let_go_reason, by=BY)
    guarding.follow()
