"""Many messages of one notice at once: held, let go, withdrawn. Two statements each, and a line in every story."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from django.db import connection
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.models import DeliveryEvent, Notice

HOLD = """
    UPDATE messaging_message SET state = 'held', held_with_notice = true
     WHERE notice_id = %s AND state IN ('pending', 'ready', 'retry_wait') RETURNING id
"""
RELEASE = """
    UPDATE messaging_message SET state = 'retry_wait', not_before = clock_timestamp()
     WHERE notice_id = %s AND state = 'held' AND held_with_notice RETURNING id
"""
# As DeliveryAttempt.objects.maybe_sent() says it. What may have been sent is never called withdrawn.
MAYBE_SENT = """
    EXISTS (SELECT FROM messaging_deliveryattempt a WHERE a.message_id = m.id
               AND (a.outcome = 'in_doubt' OR a.outcome = '' AND a.phase = 'ponr'))
"""
CANCEL = f"""
    UPDATE messaging_message m SET settled_at = clock_timestamp(),
           state = CASE WHEN {MAYBE_SENT} THEN 'closed_unknown' ELSE 'cancelled' END
     WHERE notice_id = %s AND state IN ('pending', 'ready', 'retry_wait', 'held') RETURNING id
"""
# Also for a notice whose class reaches erased people when they ask for it: nobody asked for this one.
ERASED = f"""
    UPDATE messaging_message m
       SET state = CASE WHEN {MAYBE_SENT} THEN 'closed_unknown' ELSE 'suppressed' END, settled_at = clock_timestamp(),
           last_error = 'This person was erased: nobody is written to.'
      FROM consent_subject s JOIN consent_subject root ON root.id = coalesce(s.merged_into_id, s.id)
     WHERE m.notice_id IS NOT NULL AND m.state IN ('pending', 'ready', 'retry_wait', 'held')
       AND s.id = m.subject_id AND root.erased_at IS NOT NULL
"""


def hold_all(notice: Notice, *, reason: str, by: User | str) -> int:
    """Keep back what waits; returns how many."""
    return _change(HOLD, notice, "held", reason, by)


def release_all(notice: Notice, *, reason: str, by: User | str) -> int:
    """Let go what was held with the notice; what staff held one by one stays."""
    return _change(RELEASE, notice, "released", reason, by)


def cancel_all(notice: Notice, *, reason: str, by: User | str) -> int:
    """Withdraw what did not leave; what may have been sent is closed as unknown."""
    return _change(CANCEL, notice, "cancelled", reason, by)


def suppress_erased() -> int:
    """Write to nobody who was erased while a notice to them waited; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(ERASED)
        return cursor.rowcount


def _change(sql: str, notice: Notice, kind: str, reason: str, by: User | str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, [notice.pk])
        changed = [message_id for (message_id,) in cursor.fetchall()]
    _note_all(changed, kind, f"{notice.ref}: {reason}", actor_of(by))
    return len(changed)


def _note_all(message_ids: Sequence[UUID], kind: str, reason: str, actor: str) -> None:
    now = timezone.now()
    DeliveryEvent.objects.bulk_create(
        DeliveryEvent(
            message_id=message_id,
            source="notice",
            event_key=hashlib.sha256(f"{message_id} {kind} {now.isoformat()}".encode()).digest(),
            kind=kind,
            occurred_at=now,
            payload={"by": actor, "reason": reason},
        )
        for message_id in message_ids
    )
