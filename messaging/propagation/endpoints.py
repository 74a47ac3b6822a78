"""What may be done with an endpoint: made, changed, paused, disabled, retired; and its secrets."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from config.keys import Seal
from config.models import User
from consent.models import Channel, Purpose
from consent.services import actor_of
from messaging.models import Endpoint, EndpointHealth, EndpointSecret
from messaging.propagation.addresses import place_of, refuse_private_literal
from messaging.signing import new_secret

SEAL = Seal("webhook-secret-seal")
OVERLAP = timedelta(days=1)  # for a service to learn its new secret
LONGEST_OVERLAP = timedelta(days=30)
MAY_CHANGE = ("url", "owner", "purposes", "channels", "with_user_ids")
State = Endpoint.State


@transaction.atomic
def create(name: str, *, url: str, owner: str, by: User | str, **facts: Any) -> tuple[Endpoint, str]:
    """A new endpoint and its secret, which is shown once. It is told of what changes from now on.

    `facts`: about, purposes, channels, with_user_ids. Raises ValidationError.
    """
    actor = actor_of(by)
    endpoint = Endpoint(name=name, url=url, owner=owner, created_by=actor, state_changed_by=actor, **facts)
    _check(endpoint)
    endpoint.save_as(actor, "Created")
    EndpointHealth.objects.create(endpoint=endpoint)
    return endpoint, _new_secret(endpoint, actor)


@transaction.atomic
def change(endpoint: Endpoint, facts: Mapping[str, Any], *, reason: str, by: User | str) -> Endpoint:
    """Another address, owner or choice of what it is told. Raises ValidationError."""
    locked = _locked(endpoint, reason)
    if locked.state == State.RETIRED:
        raise ValidationError("It is retired. Make a new endpoint instead.")
    if unknown := set(facts) - set(MAY_CHANGE):
        raise ValidationError(f"It cannot be changed: {', '.join(sorted(unknown))}.")
    for field, value in facts.items():
        setattr(locked, field, value)
    _check(locked)
    locked.save_as(actor_of(by), reason)
    return locked


def pause(endpoint: Endpoint, *, reason: str, by: User | str) -> Endpoint:
    """Call it no more for a while; what is owed meanwhile is kept. Raises ValidationError where it is not active."""
    return _move(endpoint, [State.ACTIVE], State.PAUSED, reason, by)


def resume(endpoint: Endpoint, *, reason: str, by: User | str) -> Endpoint:
    """Call it again, at once and from the oldest on. Raises ValidationError where it is active or retired."""
    resumed = _move(endpoint, [State.PAUSED, State.DISABLED], State.ACTIVE, reason, by)
    EndpointHealth.objects.filter(endpoint=resumed).update(open_until=None, failures_in_a_row=0)
    return resumed


def disable(endpoint: Endpoint, *, reason: str, by: User | str) -> Endpoint:
    """It said that it is gone. What is owed is kept, for when somebody resumes it."""
    return _move(endpoint, [State.ACTIVE, State.PAUSED], State.DISABLED, reason, by)


def retire(endpoint: Endpoint, *, reason: str, by: User | str) -> Endpoint:
    """Nothing is owed to it any more, for good."""
    return _move(endpoint, [State.ACTIVE, State.PAUSED, State.DISABLED], State.RETIRED, reason, by)


@transaction.atomic
def rotate(endpoint: Endpoint, *, reason: str, by: User | str, overlap: timedelta = OVERLAP) -> str:
    """A new secret, shown once; the one before signs beside it until the overlap ends. Older ones end now.

    Raises ValidationError for an overlap outside of 0 to 30 days.
    """
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise ValidationError("Both secrets are good for 0 to 30 days.")
    locked = _locked(endpoint, reason)
    now = timezone.now()
    locked.secrets.filter(ends_at__gt=now).update(ends_at=now)
    locked.secrets.filter(ends_at=None).update(ends_at=now + overlap)
    locked.save_as(actor_of(by), f"New secret: {reason}")
    return _new_secret(locked, actor_of(by))


def secrets_of(endpoint: Endpoint) -> list[str]:
    """Those that sign now, the newest first."""
    good = endpoint.secrets.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now())).order_by("-pk")
    return [SEAL.open(secret.sealed, _bound_to(endpoint.pk)) for secret in good]


def _new_secret(endpoint: Endpoint, actor: str) -> str:
    text = new_secret()
    sealed = SEAL.close(text, bound_to=_bound_to(endpoint.pk))
    EndpointSecret.objects.create(endpoint=endpoint, sealed=sealed, created_by=actor)
    return text


def _bound_to(endpoint_id: int) -> str:
    return f"endpoint/{endpoint_id}"


def _check(endpoint: Endpoint) -> None:
    endpoint.purposes, endpoint.channels = sorted(set(endpoint.purposes)), sorted(set(endpoint.channels))
    endpoint.full_clean()
    _, host, port = place_of(endpoint.url)
    refuse_private_literal(host, port)
    known = set(Purpose.objects.filter(code__in=endpoint.purposes).values_list("code", flat=True))
    if unknown := set(endpoint.purposes) - known:
        raise ValidationError({"purposes": f"No such purpose: {', '.join(sorted(unknown))}."})
    if unknown := set(endpoint.channels) - set(Channel.values):
        raise ValidationError({"channels": f"No such channel: {', '.join(sorted(unknown))}."})


def _locked(endpoint: Endpoint, reason: str) -> Endpoint:
    if not reason.strip():
        raise ValidationError("Say why.")
    return Endpoint.objects.select_for_update().get(pk=endpoint.pk)


@transaction.atomic
def _move(endpoint: Endpoint, come_from: list[str], to: str, reason: str, by: User | str) -> Endpoint:
    locked = _locked(endpoint, reason)
    if locked.state not in come_from:
        raise ValidationError(f"It is {locked.get_state_display()}.")
    locked.state, locked.state_changed_at, locked.state_changed_by = to, timezone.now(), actor_of(by)
    locked.state_reason = "" if to == State.ACTIVE else reason[:200]
    locked.save_as(actor_of(by), reason)
    return locked
