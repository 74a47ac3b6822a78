"""Sending is held and let go: all of a lane, a class, a text, or one transport, at once and for what comes later."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.models import Message, MessageClass, SendHold, Template
from messaging.transports import configured

Scope = SendHold.Scope


@transaction.atomic
def hold_sending(scope: str, value: str, *, reason: str, by: User | str, until: datetime | None = None) -> SendHold:
    """Nothing that it is about is claimed from now on; what is on its way arrives. A transport that is held is passed
    by, and its messages take the next one. Whatever others hold, each ends only their own: one that `by` has already is
    returned where it lasts as long, and gives way to the new one where it does not. Raises ValidationError by field.
    """
    if value not in known_values(scope):
        raise ValidationError({"value": f"There is none of this name. Known: {', '.join(known_values(scope))}."})
    if until and until <= timezone.now():
        raise ValidationError({"until": "This lies in the past: the hold would end before it began."})
    actor = actor_of(by)
    own = SendHold.objects.select_for_update().filter(scope=scope, value=value, held_by=actor, released_at=None)
    if standing := own.first():
        if standing.until is None or (until and until <= standing.until):
            return standing
        if standing.until > timezone.now():
            _end(standing, "Held for longer.", actor, at=timezone.now())
        else:
            _end(standing, "It had ended by itself.", "system:clock", at=standing.until)
    hold = SendHold(scope=scope, value=value, reason=reason.strip(), held_by=actor, until=until)
    hold.full_clean(exclude=["released_at"])
    hold.save()
    return hold


@transaction.atomic
def let_go(hold: SendHold, *, reason: str, by: User | str) -> SendHold:
    """What it kept back is sent, unless somebody else holds it too. A second call changes nothing."""
    if not reason.strip():
        raise ValidationError("Say why sending goes on.")
    hold = SendHold.objects.select_for_update().get(pk=hold.pk)
    if hold.released_at is None:
        _end(hold, reason.strip(), actor_of(by), at=timezone.now())
    return hold


def held_besides(hold: SendHold) -> list[str]:
    """Who else holds the same now."""
    same = SendHold.objects.active(timezone.now()).filter(scope=hold.scope, value=hold.value)
    return list(same.exclude(pk=hold.pk).order_by("held_by").values_list("held_by", flat=True))


def known_values(scope: str) -> list[str]:
    """What a hold of this scope may name."""
    match scope:
        case Scope.LANE:
            return list(Message.Lane.values)
        case Scope.MESSAGE_CLASS:
            return list(MessageClass.values)
        case Scope.TEMPLATE:
            return list(Template.objects.order_by("key").values_list("key", flat=True))
        case Scope.TRANSPORT:
            return [transport.name for channel in configured.channels() for transport in configured.transports(channel)]
    raise ValidationError({"scope": f"Choose one of {', '.join(Scope.values)}."})


def _end(hold: SendHold, reason: str, by: str, *, at: datetime) -> None:
    hold.released_at, hold.released_by, hold.released_reason = at, by, reason
    hold.save(update_fields=["released_at", "released_by", "released_reason"])
