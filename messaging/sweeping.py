"""What nobody was nudged about, and what a worker left behind: found by looking, every few seconds."""

from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Max, Q
from django.db.models.functions import Now

from consent.models import Subject
from messaging.delivery import MAX_ATTEMPTS, pause_after
from messaging.models import DeliveryAttempt, Message
from messaging.services import note

log = structlog.get_logger(__name__)

DOUBT_WINDOW = timedelta(minutes=15)  # for evidence to arrive, before a confirmation is sent again
AT_ONCE = 200
ERASED_SINCE = timedelta(days=30)  # longer than any message waits; older ones were forgotten long ago
State, Phase = Message.State, DeliveryAttempt.Phase


def sweep() -> int:
    """Set free what was abandoned, expire what is too late, resend what stayed in doubt, forget the erased; returns
    how many messages changed.
    """
    return recover() + expire() + resend_doubtful() + forget()


@transaction.atomic
def recover() -> int:
    """A lease that ended: before the point of no return it is safe to try again, after it nobody knows."""
    abandoned = Message.objects.abandoned(Now()).select_for_update(skip_locked=True)[:AT_ONCE]
    for message in abandoned:
        attempt = message.attempts.latest("number")
        if attempt.phase == Phase.INTENT:
            state, why = State.RETRY_WAIT, "The worker went away before anything was sent."
            if message.attempts_made >= MAX_ATTEMPTS:
                state = State.FAILED
        else:
            state, why = State.IN_DOUBT, "The worker went away while the message was handed over."
            log.error("message_in_doubt", message=str(message.pk), error=why)
        DeliveryAttempt.objects.filter(pk=attempt.pk).update(outcome=state, reply_text=why, ended_at=Now())
        Message.objects.filter(pk=message.pk).update(
            state=state,
            lease=None,
            lease_until=None,
            last_error=why,
            not_before=Now() + pause_after(message.attempts_made),
        )
    return len(abandoned)


def expire() -> int:
    """Too late, and certainly not sent."""
    late = Message.objects.filter(state__in=[*Message.WAITING, State.HELD], expires_at__lte=Now()).exclude(
        attempts__phase=Phase.PONR
    )
    return late.update(state=State.EXPIRED, settled_at=Now(), last_error="Its time had passed before it could be sent.")


@transaction.atomic
def resend_doubtful() -> int:
    """Where a gap is worse than a copy, a doubt that nothing resolved is sent again: once, marked, the same bytes."""
    doubtful = (
        Message.objects.select_for_update(skip_locked=True)
        .filter(state=State.IN_DOUBT, on_doubt=Message.OnDoubt.RESEND, possible_duplicate=False)
        .filter(pk__in=_in_doubt_since(DOUBT_WINDOW))[:AT_ONCE]
    )
    for message in doubtful:
        Message.objects.filter(pk=message.pk).update(state=State.RETRY_WAIT, possible_duplicate=True, not_before=Now())
        note(message, "sweep", "resent", {"by": "system:sweep", "reason": "Nothing was heard within the doubt window."})
    return len(doubtful)


def forget() -> int:
    """Of a person who was erased no address and no text stays once a message is settled; its hash and its story do."""
    erased = Subject.objects.filter(erased_at__gt=Now() - ERASED_SINCE)
    settled = Message.objects.filter(subject_id__in=erased.values("pk"), settled_at__isnull=False)
    return settled.filter(Q(sealed_recipient__isnull=False) | Q(raw__isnull=False) | ~Q(context={})).update(
        sealed_recipient=None, raw=None, context={}
    )


def _in_doubt_since(window: timedelta) -> Any:
    ended = (
        DeliveryAttempt.objects.filter(message__state=State.IN_DOUBT).values("message").annotate(last=Max("ended_at"))
    )
    return ended.filter(last__lte=Now() - window).values("message")
