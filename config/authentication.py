"""Service keys at the door: who calls, and what they may do.

A verified key is kept in the process for seconds, so that a revoked one is refused within five.
"""

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Q
from django.utils import timezone
from rest_framework import authentication, exceptions, permissions

from config import refused_calls
from config.models import ServiceKey, User
from config.problems import Refused, is_away

log = structlog.get_logger(__name__)

SHAPE = re.compile(r"hf_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
CHALLENGE = 'Bearer realm="holdfast"'
KEPT = 3.5  # seconds
GRACE = 1.0  # seconds more for others while one thread reads the key again
KEPT_WITHOUT_DATABASE = 3600.0  # seconds: opt-outs are taken while the database is away, from callers known before
MOST_KEPT = 10_000
NOBODY = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified key: the service's account, and the scopes of this key. `request.auth` of a view."""

    key_id: int
    account: User
    scopes: frozenset[str]
    digest: bytes
    expires_at: datetime
    read_at: float

    @property
    def actor(self) -> str:
        return self.account.actor

    def needs(self, scope: str | None) -> None:
        """Raises Refused, naming the scope, where the key lacks it."""
        if scope is not None and scope not in self.scopes:
            refused_calls.count("missing_scope", self.actor)
            raise Refused(403, "missing_scope", f"This key lacks the scope '{scope}'. Issue one that has it.")


class Unauthorized(exceptions.APIException):
    """One text for unknown, expired and revoked keys: whoever guesses learns nothing."""

    status_code = 401
    default_code = "unauthorized"
    default_detail = "This key is not valid: it is unknown, expired or revoked. Ask for a new one."
    auth_header: ClassVar[str] = CHALLENGE


def not_valid() -> Unauthorized:
    refused_calls.count("unauthorized")
    return Unauthorized()


def no_key() -> Unauthorized:
    refused_calls.count("unauthorized")
    return Unauthorized("Send a service key: Authorization: Bearer hf_…")


_kept: dict[str, Caller] = {}
_reading = threading.Lock()


def caller_of(header: str) -> Caller | None:
    """Who sent this Authorization header; None without one. Raises Unauthorized, or the database's error if it is away
    and the key was not seen within the hour."""
    if not header:
        return None
    scheme, _, text = header.partition(" ")
    shape = SHAPE.fullmatch(text.strip())
    if scheme.lower() != "bearer" or shape is None:
        raise not_valid()
    lookup, digest = shape[1], ServiceKey.digest_of(text.strip())
    caller = _kept.get(lookup)
    age = time.monotonic() - caller.read_at if caller else KEPT + GRACE
    if age >= KEPT and (age >= KEPT + GRACE or _reading.acquire(blocking=False)):
        try:
            caller = _read(lookup, caller)
        finally:
            if age < KEPT + GRACE:
                _reading.release()
    is_right = hmac.compare_digest(caller.digest if caller else NOBODY, digest)
    if caller is None or not is_right or caller.expires_at <= timezone.now():
        raise not_valid()
    return caller


def _read(lookup: str, before: Caller | None) -> Caller | None:
    try:
        key = ServiceKey.objects.usable(timezone.now()).filter(lookup=lookup).select_related("account").first()
    except (OperationalError, InterfaceError) as error:
        if before and is_away(error) and time.monotonic() - before.read_at < KEPT_WITHOUT_DATABASE:
            return before
        raise
    if key is None:
        _kept.pop(lookup, None)
        return None
    _note_use(key)
    if len(_kept) >= MOST_KEPT:
        _kept.clear()
    _kept[lookup] = caller = Caller(
        key.pk, key.account, frozenset(key.scopes), bytes(key.digest), key.expires_at, time.monotonic()
    )
    return caller


def _note_use(key: ServiceKey) -> None:
    """At most once a minute, and never in the way of the call."""
    now = timezone.now()
    due = Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(minutes=1))
    if key.last_used_at is None or key.last_used_at < now - timedelta(minutes=1):
        try:
            ServiceKey.objects.filter(due, pk=key.pk).update(last_used_at=now)
        except (DatabaseError, InterfaceError) as error:
            log.warning("key_use_not_noted", error=str(error))


class ServiceKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer hf_…`. `request.user` is the service's account, `request.auth` the Caller."""

    def authenticate(self, request: Any) -> tuple[User, Caller] | None:
        caller = caller_of(request.headers.get("Authorization", ""))
        return (caller.account, caller) if caller else None

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


class HasScope(permissions.BasePermission):
    """The view names the scope each method needs: `scopes = {"GET": Scope.CHECK, "POST": Scope.CHECK}`."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if request.auth is None:
            raise no_key()
        request.auth.needs(scope_for(view.scopes, request.method))
        return True


def scope_for(scopes: Mapping[str, str], method: str) -> str | None:
    """None for a method that the view does not have: it answers 405."""
    return scopes.get("GET" if method == "HEAD" else method)
