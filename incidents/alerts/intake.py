"""Taking a delivery in: known sender, size, kind, pace, signature; then kept as it came. Parsing comes later.

What is refused is kept too, with its reason. Trouble of ours raises: the door answers 503 to it, never 4xx.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from incidents.alerts import limits
from incidents.alerts.posted import Posted, digest_of, headers_of
from incidents.alerts.signatures import SIGNERS, VERIFIERS, BadSignature, Sent, Terms
from incidents.alerts.sources import secrets_of
from incidents.models import AlertDelivery, AlertSource

Outcome, Signature = AlertDelivery.Outcome, AlertDelivery.Signature

TOO_LARGE, WRONG_TYPE, OVER_LIMIT, BAD_SIGNATURE = "too_large", "unsupported_media_type", "too_many", "bad_signature"
REASONS = {
    TOO_LARGE: "The body is larger than 256 KiB. Let the sender put less into one message, such as fewer alerts.",
    WRONG_TYPE: "Send application/json.",
    OVER_LIMIT: "More deliveries a minute than this source may send. What is turned away is counted and announced.",
}
# In a storm this is asked with every delivery, and the ORM would spend more on the question than on all that follows.
FIND = "SELECT * FROM incidents_alertsource WHERE token_digest = %s AND mode <> %s"
UNPACKED_WANTED = "Send the body without a Content-Encoding: what is packed is not opened."
EVENTS_WANTED = "Send a CloudEvent: application/cloudevents+json, a batch of them, or ce- headers."


class UnknownToken(Exception):
    """No source that is switched on has this token."""


@dataclass(frozen=True, slots=True)
class Taken:
    """`refusal` is one of the four codes, or empty: then the delivery is kept, to be read."""

    delivery: AlertDelivery | None
    refusal: str = ""
    detail: str = ""


def take(posted: Posted) -> Taken:
    """Keep it; in the order of what costs least to find out. What comes from disk was answered: no limit holds it.

    Raises UnknownToken.
    """
    source = find(posted.token_digest)
    if source is None:
        raise UnknownToken
    if not posted.key and limits.is_over(source, posted.at):
        return _over_limit(source, posted)
    if posted.is_too_large:
        return _refuse(source, posted, TOO_LARGE, REASONS[TOO_LARGE])
    if posted.is_packed:
        return _refuse(source, posted, WRONG_TYPE, UNPACKED_WANTED)
    if not posted.is_of_a_kind_for(source):
        is_event = source.kind == AlertSource.Kind.CLOUDEVENTS
        return _refuse(source, posted, WRONG_TYPE, EVENTS_WANTED if is_event else REASONS[WRONG_TYPE])
    try:
        verify(source, posted)
    except BadSignature as error:
        return _refuse(source, posted, BAD_SIGNATURE, str(error))
    is_signed = source.signature != AlertSource.Signature.NONE
    return Taken(_once(source, posted, Signature.VALID if is_signed else Signature.NONE))


def store(token: str, body: bytes, content_type: str) -> AlertDelivery | None:
    """Keep a body that came with nothing else worth keeping. None where it is refused or nobody has the token."""
    try:
        return take(posted_as(token, body, headers_of({"CONTENT_TYPE": content_type}))).delivery
    except UnknownToken:
        return None


def posted_as(token: str, body: bytes, headers: dict[str, str], at: datetime | None = None) -> Posted:
    return Posted(digest_of(token), body, sha256(body).digest(), len(body), headers, at or timezone.now())


def find(token_digest: bytes) -> AlertSource | None:
    """Who has the token, unless it is switched off: then nobody is there, as for a stranger."""
    return next(iter(AlertSource.objects.raw(FIND, [token_digest, AlertSource.Mode.OFF])), None)


def verify(source: AlertSource, posted: Posted) -> None:
    """Raises BadSignature. A source without a scheme is let in by its token."""
    if verifier := VERIFIERS.get(source.signature):
        verifier(Sent(posted.body, posted.headers, posted.at), secrets_of(source), terms_of(source))


def signed(source: AlertSource, body: bytes) -> dict[str, str]:
    """The headers that its sender would put beside this body, by the newest secret; none without one."""
    signer, known = SIGNERS.get(source.signature), secrets_of(source)
    return signer(body, known[0], terms_of(source), timezone.now()) if signer and known else {}


def terms_of(source: AlertSource) -> Terms:
    return Terms(source.signature_header, source.timestamp_header, source.tolerance)


def _once(source: AlertSource, posted: Posted, signature: str) -> AlertDelivery:
    """A repeat of an event that is here already is counted on it; the sender is told the same number again."""
    event_id = posted.event_id(source)
    delivery = _row(source, posted, signature=signature, sender_event_id=event_id, raw_body=posted.body)
    if not event_id:
        delivery.save(force_insert=True)  # one statement: in a storm each further one counts
        return delivery
    if known := _again(source, event_id):
        return known
    try:
        with transaction.atomic():
            delivery.save(force_insert=True)
    except IntegrityError:
        known = _again(source, event_id)  # another attempt was quicker
        if known is None:
            raise
        return known
    return delivery


def _again(source: AlertSource, event_id: str) -> AlertDelivery | None:
    same = AlertDelivery.objects.filter(source=source, sender_event_id=event_id)
    return same.get() if same.update(occurrence=F("occurrence") + 1) else None


def _over_limit(source: AlertSource, posted: Posted) -> Taken:
    """Counted; the first of a quarter of an hour is kept as well, so that the list of deliveries says that it began."""
    if limits.count(source, posted) > 1:
        return Taken(None, OVER_LIMIT, REASONS[OVER_LIMIT])
    return _refuse(source, posted, OVER_LIMIT, REASONS[OVER_LIMIT], keep_body=False)


def _refuse(source: AlertSource, posted: Posted, code: str, reason: str, *, keep_body: bool = True) -> Taken:
    """The sender's id is not kept in its column: nobody knows yet who sent it, and it must not stand in the way."""
    delivery = _row(
        source,
        posted,
        signature=Signature.INVALID if code == BAD_SIGNATURE else Signature.NONE,
        raw_body=b"" if posted.is_too_large or not keep_body else posted.body,
        outcome=Outcome.REFUSED,
        reason=reason[:300],
        parsed_at=timezone.now(),
    )
    delivery.save(force_insert=True)
    return Taken(delivery, code, reason)


def refuse_stranger(posted: Posted) -> AlertDelivery:
    """A delivery from disk whose token nobody has: its digest and size are kept, and nothing that was in it."""
    return AlertDelivery.objects.create(
        body_digest=posted.digest,
        size=posted.size,
        outcome=Outcome.REFUSED,
        reason="It came while the database was away, and no source that is on has its token.",
        received_at=posted.at,
        parsed_at=timezone.now(),
        was_spooled=True,
    )


def _row(source: AlertSource, posted: Posted, **facts: object) -> AlertDelivery:
    return AlertDelivery(
        source=source,
        body_digest=posted.digest,
        size=posted.size,
        content_type=posted.media_type[:100],
        headers=posted.kept_headers(source),
        received_at=posted.at,
        was_spooled=bool(posted.key),
        **facts,
    )
