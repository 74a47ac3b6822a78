"""Writes that may be sent twice: the first answer is kept for a day under the caller's Idempotency-Key.

The claim, the work and its answer are one transaction: a crash leaves neither, so nothing is "running" for ever.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from config.models import IdempotencyRecord
from config.problems import Fault, Refused
from config.statements import blobs, plain, prepared, texts
from config.text import CONTROL

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotent-Replayed": "true"}
LONGEST = 200
KEPT = timedelta(days=1)

LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
FIND = """
    SELECT r.account_id, r.key, r.fingerprint, r.status, r.body FROM config_idempotencyrecord r
      JOIN unnest(%s::bigint[], %s::text[]) AS wanted(account_id, key) USING (account_id, key)
     WHERE r.created_at > now() - interval '1 day'
"""
# A record past its day is as good as none.
KEEP = """
    INSERT INTO config_idempotencyrecord AS r (account_id, key, fingerprint, status, body, created_at)
    SELECT *, now() FROM unnest(%s::bigint[], %s::text[], %s::bytea[], %s::int[], %s::bytea[])
    ON CONFLICT (account_id, key) DO UPDATE
      SET fingerprint = EXCLUDED.fingerprint, status = EXCLUDED.status, body = EXCLUDED.body,
          created_at = EXCLUDED.created_at
      WHERE r.created_at <= now() - interval '1 day'
    RETURNING r.id
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One account's key, and the SHA-256 of the request it was sent with."""

    account_id: int
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`body`: JSON, as it was sent."""

    status: int
    body: bytes
    is_replayed: bool = False


class Raced(Exception):
    """Another process kept an answer under the same key in the meantime: undo, and look again."""


def claim_of(request: HttpRequest, account_id: int) -> Claim | None:
    """The request's claim; None where it carries no key. Raises Refused for a key that cannot be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST or CONTROL.search(key):
        detail = f"An idempotency key has 1 to {LONGEST} characters and no control characters."
        raise Refused(400, "invalid", detail, [Fault(HEADER, "invalid", detail)])
    text = b"\0".join([(request.method or "").encode(), request.get_full_path().encode(), request.body])
    return Claim(account_id, key, hashlib.sha256(text).digest())


def running() -> Refused:
    detail = "The first request with this idempotency key is still running. Try again shortly."
    return Refused(409, "idempotency_running", detail, [Fault(HEADER, "running", detail)], {"Retry-After": "1"})


def reused() -> Refused:
    detail = "This idempotency key was used for another request. Use a new key for each request."
    return Refused(422, "idempotency_reused", detail, [Fault(HEADER, "reused", detail)])


def kept(claims: Sequence[Claim]) -> dict[Claim, Answer | Refused]:
    """What is known of those claims: the answer of the same request, or that the key was another's. One statement."""
    if not claims:
        return {}
    with prepared() as cursor:
        cursor.execute(FIND, [plain(c.account_id for c in claims), texts(c.key for c in claims)])
        rows = {(account_id, key): facts for account_id, key, *facts in cursor.fetchall()}
    found: dict[Claim, Answer | Refused] = {}
    for claim in claims:
        if facts := rows.get((claim.account_id, claim.key)):
            fingerprint, status, body = facts
            is_same = bytes(fingerprint) == claim.fingerprint
            found[claim] = Answer(status, bytes(body), is_replayed=True) if is_same else reused()
    return found


def keep(answers: Mapping[Claim, Answer]) -> None:
    """Keep answers, in the transaction of the work itself. Raises Raced where a key is taken. One statement."""
    if not answers:
        return
    ordered = sorted(answers.items(), key=lambda item: (item[0].account_id, item[0].key))
    with prepared() as cursor:
        cursor.execute(
            KEEP,
            [
                plain(c.account_id for c, _ in ordered),
                texts(c.key for c, _ in ordered),
                blobs(c.fingerprint for c, _ in ordered),
                plain(a.status for _, a in ordered),
                blobs(a.body for _, a in ordered),
            ],
        )
        if len(cursor.fetchall()) < len(ordered):
            raise Raced


def idempotent(handler: Callable[..., Response]) -> Callable[..., Response]:
    """For a view's `post`: what it does and the answer that it gives are one transaction, done once per key.

    Refusals undo everything and are not kept: the same key may be sent again with a mended body.
    """

    @wraps(handler)
    def once(view: Any, request: Any, *args: Any, **kwargs: Any) -> Response:
        claim = claim_of(request._request, request.user.pk)
        if claim is None:
            return handler(view, request, *args, **kwargs)
        with transaction.atomic():
            if kept_answer := begin(claim):
                return Response(json.loads(kept_answer.body), kept_answer.status, headers=REPLAYED)
            response = handler(view, request, *args, **kwargs)
            if response.status_code < 400:
                keep({claim: Answer(response.status_code, JSONRenderer().render(response.data))})
            return response

    return once


def begin(claim: Claim) -> Answer | None:
    """Hold the key until the transaction ends, however it ends; the answer that it got before, if it did.

    Raises Refused for a key of another request, or while the first one runs.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [f"idempotency/{claim.account_id}/{claim.key}"])
        if not cursor.fetchone()[0]:
            raise running()
    known = kept([claim]).get(claim)
    if isinstance(known, Refused):
        raise known
    return known


def forget_old() -> int:
    """Drop answers that are past their day; returns how many."""
    return IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]
