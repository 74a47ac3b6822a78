"""What `manage.py check` says before it is too late: a login that could break the promises, keys anybody knows."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from config.database import OWNER
from config.models import ServiceKey

SHORTEST_SECRET = 32


@register(Tags.security)
def secrets_are_secret(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in ("SECRET_KEY", "PRIVACY_KEY"):
        value: str = getattr(settings, name)
        if settings.DEBUG:
            continue
        if value.startswith("development-only-") or len(value) < SHORTEST_SECRET:
            hint = "python -c 'import secrets; print(secrets.token_urlsafe(48))' makes one."
            found.append(
                Error(
                    f"{name} can be guessed: use {SHORTEST_SECRET} or more random characters.", hint, id="config.E001"
                )
            )
    if not settings.DEBUG and settings.SECRET_KEY == settings.PRIVACY_KEY:
        hint = "SECRET_KEY can be replaced at any time; PRIVACY_KEY seals what people told us and has to stay."
        found.append(Error("SECRET_KEY and PRIVACY_KEY are the same.", hint, id="config.E002"))
    return found


@register(Tags.urls)
def public_address_is_safe(**_: Any) -> list[CheckMessage]:
    """Unsubscribe links carry a person's token: in clear text, whoever listens could use it."""
    address = urlsplit(settings.PUBLIC_URL)
    if address.scheme not in ("http", "https") or not address.hostname:
        hint = "For example https://privacy.example.com, without a path's last slash."
        return [Error(f"PUBLIC_URL is no web address: {settings.PUBLIC_URL!r}.", hint, id="config.E003")]
    if settings.SECURE and address.scheme != "https":
        hint = (
            "Give the https:// address that people use, or set SECURE=0 where there is no HTTPS (never in production)."
        )
        return [Error("PUBLIC_URL is not https, and links in mails carry tokens.", hint, id="config.E004")]
    return []


@register(Tags.compatibility)
def broker_is_redis(**_: Any) -> list[CheckMessage]:
    address = urlsplit(settings.REDIS_URL)
    place = {"unix": address.path, "redis": address.hostname, "rediss": address.hostname}.get(address.scheme)
    if place:
        return []
    hint = "For example redis://valkey.internal:6379/0, rediss://… with TLS, or unix:///run/valkey.sock?db=0."
    return [Error("REDIS_URL names no Redis or Valkey server.", hint, id="config.E005")]


@register(Tags.compatibility)
def zone_is_known(**_: Any) -> list[CheckMessage]:
    try:
        ZoneInfo(settings.DETECTION_TIME_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "For example Europe/Berlin or America/New_York."
        return [Error(f"DETECTION_TIME_ZONE: {settings.DETECTION_TIME_ZONE!r} is no zone.", hint, id="config.E009")]
    return []


@register(Tags.models)
def keys_expire(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """A key that lives for ever is found by somebody in the end: the column and its rule must stay."""
    field = ServiceKey._meta.get_field("expires_at")
    rules = {constraint.name for constraint in ServiceKey._meta.constraints}
    if field.null or "servicekey_expires_within_a_year" not in rules:
        hint = "Keep expires_at required, and the constraint servicekey_expires_within_a_year."
        return [Error("Service keys could live for ever.", hint, id="config.E006")]
    return []


LOGIN = f"""
    SELECT session_user, current_user, rolsuper, rolcreaterole, rolreplication, rolbypassrls,
           CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}')
                THEN pg_has_role(session_user, '{OWNER}', 'MEMBER') ELSE false END AS may_be_owner,
           EXISTS (SELECT FROM pg_class WHERE relowner = r.oid AND relkind IN ('r', 'p', 'S', 'v')) AS owns
    FROM pg_roles r WHERE rolname = session_user
"""


@register(Tags.database)
def login_cannot_break_promises(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Asks the database who we are: `manage.py check --database default`, and every start of the stack."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute(LOGIN)
                user, acting, superuser, creates_roles, replicates, bypasses, may_be_owner, owns = cursor.fetchone()
        except DatabaseError as error:
            hint = "Checks and the site need it; opt-outs are accepted all the same."
            found.append(Warning(f"The database could not be asked who we are: {error}", hint, id="config.W001"))
            continue
        hint = (
            "Let DATABASE_URL log in as holdfast_app ('manage.py provision' makes it): only migrations act as another."
        )
        if superuser or replicates or bypasses:
            found.append(
                Error(f"The site logs in as {user}, for whom no rule of the database holds.", hint, id="config.E007")
            )
        elif may_be_owner or owns or acting == OWNER or creates_roles:
            found.append(Error(f"The site logs in as {user}, who could take the rules away.", hint, id="config.E008"))
    return found
