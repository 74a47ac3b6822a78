"""A doubt about a message that the law asks for: one person proposes what becomes of it, and another agrees."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.models import DoubtRuling, Message
from messaging.services import change, note

State, Verdict = Message.State, DoubtRuling.Verdict


@transaction.atomic
def propose(message: Message, verdict: str, *, reason: str, by: User | str) -> DoubtRuling:
    """The first of two. What was closed as unknown may be proposed to be sent again. Raises ValidationError where there
    is no doubt, or a proposal already.
    """
    if not reason.strip():
        raise ValidationError("Say what you know, and why this is right.")
    message = Message.objects.select_for_update().get(pk=message.pk)
    if message.state not in _decided_from(verdict):
        raise ValidationError(f"It is not in doubt. It is {message.get_state_display()}.")
    if standing := message.rulings.filter(is_open=True).first():
        raise ValidationError(f"{standing} already. Agree with it, or withdraw it first.")
    ruling = DoubtRuling.objects.create(
        message=message, verdict=verdict, reason=reason.strip(), proposed_by=actor_of(by)
    )
    note(message, "staff", "proposed", {"by": actor_of(by), "reason": f"{ruling.get_verdict_display()}. {reason}"})
    return ruling


@transaction.atomic
def agree(ruling: DoubtRuling, *, reason: str, by: User | str) -> DoubtRuling:
    """The second, who cannot be the first: then it is done. Raises ValidationError."""
    if not reason.strip():
        raise ValidationError("Say why you agree.")
    ruling = _standing(ruling)
    if ruling.proposed_by == actor_of(by):
        raise ValidationError("You proposed this: somebody else decides with you.")
    ruling.is_open, ruling.agreed_at, ruling.agreed_by = None, Now(), actor_of(by)  # by the clock of the attempts
    ruling.agreed_reason = reason.strip()
    ruling.save()
    ruling.refresh_from_db(fields=["agreed_at"])
    why = f"{ruling.reason} ({ruling.proposed_by}); {reason.strip()}"
    come_from, refusal = _decided_from(ruling.verdict), "It is not in doubt."
    if ruling.verdict == Verdict.RESEND:
        change(ruling.message, come_from, State.RETRY_WAIT, "resent", refusal, why, by)
    else:
        change(ruling.message, come_from, State.CLOSED_UNKNOWN, "closed_unknown", refusal, why, by)
    return ruling


@transaction.atomic
def withdraw(ruling: DoubtRuling, *, reason: str, by: User | str) -> DoubtRuling:
    """By whoever proposed it, or by who does not agree. The message stays in doubt."""
    if not reason.strip():
        raise ValidationError("Say why.")
    ruling = _standing(ruling)
    ruling.is_open, ruling.withdrawn_at, ruling.withdrawn_by = None, timezone.now(), actor_of(by)
    ruling.save()
    note(ruling.message, "staff", "withdrawn", {"by": actor_of(by), "reason": reason.strip()})
    return ruling


def _decided_from(verdict: str) -> list[str]:
    """The states in which there is something to decide."""
    return Message.DOUBTFUL if verdict == Verdict.RESEND else [State.IN_DOUBT]


def _standing(ruling: DoubtRuling) -> DoubtRuling:
    found = DoubtRuling.objects.select_for_update(of=("self",)).select_related("message").get(pk=ruling.pk)
    if not found.is_open:
        raise ValidationError("This was decided already.")
    return found
