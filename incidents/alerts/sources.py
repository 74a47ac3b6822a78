"""What may be done with a source of alerts: issue, renew, change, silence, and change the secrets it signs with."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.keys import Seal
from config.models import User
from config.text import CONTROL
from consent.services import actor_of
from incidents.alerts.posted import digest_of
from incidents.alerts.signatures import PREFIX, webhook_key
from incidents.models import AlertGroup, AlertSecret, AlertSource

LONGEST_SILENCE = timedelta(days=30)
STALE = timedelta(hours=24)
MOST_SECRETS, SHORTEST_SECRET = 5, 8
SEAL = Seal("alert-secret")
WATCHED = ("mode", "heartbeat_timeout")  # a change of these begins the wait for a sign of life anew


@transaction.atomic
def issue_source(
    name: str, *, by: User | str, kind: str = AlertSource.Kind.ALERTMANAGER, **facts: Any
) -> tuple[AlertSource, str]:
    """A new source and the token in its address, which is shown once and never again. Raises ValidationError."""
    token = secrets.token_urlsafe(32)
    facts.setdefault("signature", AlertSource.USUAL.get(kind, AlertSource.Signature.NONE))
    source = AlertSource(name=name, kind=kind, token_digest=digest_of(token), **facts)
    source.full_clean()
    source.save_as(actor_of(by), "Created")
    return source, token


@transaction.atomic
def renew_token(source: AlertSource, *, reason: str, by: User | str) -> str:
    """A new token; the old address stops working at once."""
    source = AlertSource.objects.select_for_update(no_key=True).get(pk=source.pk)
    token = secrets.token_urlsafe(32)
    source.token_digest = digest_of(token)
    source.save_as(actor_of(by), reason)
    return token


@transaction.atomic
def change(source: AlertSource, *, reason: str, by: User | str, **facts: Any) -> AlertSource:
    """Set fields of it, such as its mode. What lacks a signature from then on says so. Raises ValidationError."""
    before = AlertSource.objects.select_for_update(no_key=True).get(pk=source.pk)
    for name, value in facts.items():
        setattr(source, name, value)
    # What readers and silences write meanwhile is theirs.
    for name in ("last_seen_at", "silenced_until", "silenced_by", "silence_reason", "token_digest"):
        setattr(source, name, getattr(before, name))
    if any(getattr(before, name) != getattr(source, name) for name in WATCHED):
        source.watched_since = timezone.now()
    if before.mode != source.mode:
        # What was only watched for long, by senders that never say that it is over, is no news of today.
        long_ago = timezone.now() - STALE
        AlertGroup.objects.unopened().filter(source=source, last_at__lt=long_ago).update(is_open=None)
    source.full_clean()
    source.save_as(actor_of(by), reason)
    return source


@transaction.atomic
def silence(source: AlertSource, *, until: datetime, reason: str, by: User | str) -> AlertSource:
    """Its alerts are kept and open nothing until then; what still fires at the end opens its incident.

    Raises ValidationError: a silence has an end, thirty days ahead at most.
    """
    now = timezone.now()
    if not now < until <= now + LONGEST_SILENCE:
        raise ValidationError({"until": "A silence ends in the future, within thirty days."})
    if not reason.strip():
        raise ValidationError({"reason": "Say why nobody needs to hear it."})
    source = AlertSource.objects.select_for_update(no_key=True).get(pk=source.pk)
    source.silenced_until, source.silenced_by, source.silence_reason = until, actor_of(by), reason.strip()
    source.full_clean()
    source.save_as(actor_of(by), reason)
    return source


@transaction.atomic
def end_silence(source: AlertSource, *, reason: str, by: User | str) -> AlertSource:
    """Raises ValidationError where nothing is silenced."""
    source = AlertSource.objects.select_for_update(no_key=True).get(pk=source.pk)
    if not source.is_silenced(timezone.now()):
        raise ValidationError("It is not silenced.")
    source.silenced_until, source.silenced_by, source.silence_reason = None, "", ""
    source.watched_since = timezone.now()
    source.save_as(actor_of(by), reason)
    return source


@transaction.atomic
def add_secret(source: AlertSource, text: str = "", *, by: User | str) -> tuple[AlertSecret, str]:
    """One more secret that it may sign with, and its text, which is shown once. Empty: one is made here.

    The older ones hold on until they are retired, so the sender can be changed at leisure. Raises ValidationError.
    """
    AlertSource.objects.select_for_update(no_key=True).get(pk=source.pk)
    text = text.strip() or _made(source)
    _check(source, text)
    if source.secrets.filter(retired_at=None).count() >= MOST_SECRETS:
        raise ValidationError(f"It has {MOST_SECRETS} secrets. Retire one that no sender uses any more.")
    sealed = SEAL.close(text, str(source.pk))
    return AlertSecret.objects.create(source=source, sealed=sealed, created_by=actor_of(by)), text


@transaction.atomic
def retire_secret(secret: AlertSecret, *, by: User | str) -> AlertSecret:
    """It opens nothing from now on, and is emptied. Raises ValidationError when it is retired already."""
    secret = AlertSecret.objects.select_for_update().get(pk=secret.pk)
    if secret.retired_at:
        raise ValidationError("It is retired already.")
    secret.sealed, secret.retired_at, secret.retired_by = b"", timezone.now(), actor_of(by)
    secret.save()
    return secret


def secrets_of(source: AlertSource) -> Sequence[str]:
    """The active ones, newest first."""
    sealed = source.secrets.filter(retired_at=None).order_by("-pk").values_list("sealed", flat=True)
    return [SEAL.open(one, str(source.pk)) for one in sealed]


def _made(source: AlertSource) -> str:
    if source.signature == AlertSource.Signature.STANDARD_WEBHOOKS:
        return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()
    return secrets.token_urlsafe(32)


def _check(source: AlertSource, text: str) -> None:
    if source.signature == AlertSource.Signature.NONE:
        raise ValidationError("It does not sign what it sends: choose its signature first.")
    if CONTROL.search(text) or not SHORTEST_SECRET <= len(text) <= 500:
        raise ValidationError({"secret": f"A secret has {SHORTEST_SECRET} to 500 characters on one line."})
    if source.signature == AlertSource.Signature.STANDARD_WEBHOOKS:
        try:
            webhook_key(text)
        except ValueError as error:
            raise ValidationError({"secret": "Copy the whole secret: whsec_ and at least 24 characters."}) from error
