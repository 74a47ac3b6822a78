"""While the database takes none opt-outs are still taken: on disk, answered 202, recorded when it does again."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.db import DatabaseError, InterfaceError
from django.http import HttpResponse
from django.utils import timezone

from config.idempotency import Answer, Claim
from config.lean import answer, as_json
from config.problems import is_away, unavailable
from consent import receipts, spool
from consent.api import failing
from consent.api.showing import moment
from consent.services import NewDecision
from consent.spooled import Spooled

log = structlog.get_logger(__name__)


def take_instead(
    error: DatabaseError | InterfaceError, drafts: Sequence[NewDecision], claim: Claim | None, *, is_list: bool = False
) -> HttpResponse:
    """202 where only opt-outs are asked for, whatever ails the database: away, read-only, locked, or with a rule that
    somebody added. Else 503 while it is away, or the error itself."""
    if is_away(error):
        spool.database_is_away()
    if all(draft.is_opt_out for draft in drafts):
        log.error("opt_out_not_stored", error=str(error))
        return take(drafts, claim, is_list=is_list)
    raise unavailable() if is_away(error) else error from error.__cause__


def take(drafts: Sequence[NewDecision], claim: Claim | None, *, is_list: bool = False) -> HttpResponse:
    """On disk before the answer. The receipt says so: its ids begin with `spool:`, and nothing is in effect yet."""
    key, now = _key(claim), timezone.now()
    bodies = [_facts(f"{key}:{index}", draft, now) for index, draft in enumerate(drafts)]
    body: dict[str, Any]
    if is_list:
        body = {"decisions": bodies, "receipt": receipts.sign_all(bodies)}
    else:
        body = {**bodies[0], "receipt": receipts.sign(bodies[0])}
    try:
        spool.put(Spooled(key, drafts, claim, Answer(202, as_json(body))))
    except OSError as error:
        failing.keep_untaken(drafts, error)
        raise unavailable() from error
    return answer(body, 202)


def _key(claim: Claim | None) -> str:
    """The same request sent again while the database is away makes the same key, and so one choice."""
    if claim is None:
        return f"spool:{uuid4()}"
    text = b"\0".join([str(claim.account_id).encode(), claim.key.encode(), claim.fingerprint])
    return f"spool:{hashlib.sha256(text).hexdigest()}"


def _facts(number: str, draft: NewDecision, received_at: datetime) -> dict[str, Any]:
    """The person is named only where the caller did: who belongs to an address is not known now."""
    return {
        "id": number,
        "subject": str(draft.subject) if isinstance(draft.subject, UUID) else None,
        "purpose": draft.purpose,
        "channel": draft.channel,
        "choice": draft.choice,
        "decided_at": moment(draft.decided_at),
        "received_at": moment(received_at),
    }
