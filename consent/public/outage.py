"""While the database takes nothing a no goes to disk, is answered as taken, and is recorded when it does again."""

import hashlib
from collections.abc import Sequence

import structlog
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError
from django.http import QueryDict

from config.idempotency import Answer
from config.problems import is_away
from consent import spool
from consent.models import ANY
from consent.models.purpose import code
from consent.public.choices import NO, YES
from consent.recording import NewDecision
from consent.spooled import Spooled
from consent.validation import CHANNELS

log = structlog.get_logger(__name__)

Scope = tuple[str, str]  # purpose, channel


def noted(error: Exception) -> bool:
    """Whether the database took nothing, for whatever reason: a no goes to disk then. Where it is away, others are
    spared the wait for the same error."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    log.error("opt_out_not_stored", error=str(error))
    if is_away(error):
        spool.database_is_away()
    return True


def take(token: str, drafts: Sequence[NewDecision]) -> None:
    """On disk when it returns; raises OSError where the disk takes nothing either.

    The same press within a second is one choice. A later one is a choice of its own: its person may have come back
    in between, and nobody can look now.
    """
    scopes = [(draft.purpose, draft.channel) for draft in drafts]
    wish = hashlib.sha256(f"{token} {scopes}".encode()).hexdigest()[:40]
    moment = int(drafts[0].decided_at.timestamp())
    spool.put(Spooled(f"spool:{wish}:{moment}", drafts, None, Answer(202, b"{}")))


def noes(posted: QueryDict) -> tuple[list[Scope], bool]:
    """What a form of the preference page says no to, and whether it also says a new yes, which has to wait."""
    if posted.get("action") == "stop":
        return [(ANY, ANY)], False
    touched = [
        (name.removeprefix("choice/"), value)
        for name, value in posted.items()
        if name.startswith("choice/") and value != posted.get(f"shown/{name.removeprefix('choice/')}")
    ]
    if posted.get("action") != "save":
        return [], False
    scopes = [_scope(name) for name, value in touched if value == NO]
    return [scope for scope in scopes if scope], any(value == YES for _, value in touched)


def _scope(name: str) -> Scope | None:
    purpose, _, channel = name.partition("/")
    try:
        code(purpose)
    except ValidationError:
        return None
    return (purpose, channel) if channel in CHANNELS else None
