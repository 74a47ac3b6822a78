"""The door for alerts: take the bytes, keep them, answer. Reading them is a task's work."""

import hashlib

import structlog
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from prometheus_client import Counter

from config.nudge import nudge
from config.problems import Refused, as_http, is_away, unavailable
from consent.spool import database_is_away, is_needed
from incidents.alerts import intake, spool
from incidents.alerts.limits import RETRY_AFTER
from incidents.alerts.posted import LARGEST, Posted, digest_of, headers_of
from incidents.models import AlertSource

log = structlog.get_logger(__name__)

LONGEST_READ = 4 * 1024 * 1024  # of a body that is refused anyway: its digest is worth that much and no more
CHUNK = 64 * 1024
STATUS = {intake.BAD_SIGNATURE: 401, intake.TOO_LARGE: 413, intake.WRONG_TYPE: 415, intake.OVER_LIMIT: 429}
refused = Counter("holdfast_alert_deliveries_refused_total", "Alert deliveries turned away at the door.", ["reason"])
spooled = Counter("holdfast_alert_deliveries_spooled_total", "Alert deliveries taken while the database was away.")


@csrf_exempt
@require_http_methods(["POST", "OPTIONS"])
def receive(request: HttpRequest, token: str) -> HttpResponse:
    """202 once the delivery is kept. Senders drop what is answered 4xx, so trouble of ours is a 503 or the spool."""
    if request.method == "OPTIONS":
        return _shake_hands(request, token)
    posted = _posted(request, token)
    if is_needed():
        return _spool(posted)
    try:
        taken = intake.take(posted)
    except intake.UnknownToken:
        return _refuse("unknown_token", 404, "There is nothing at this address.", code="not_found")
    except (DatabaseError, InterfaceError) as error:
        log.error("alert_not_stored", error=str(error))
        if not is_away(error):
            return as_http(unavailable())
        database_is_away()
        return _spool(posted)
    if taken.refusal or taken.delivery is None:
        headers = {"Retry-After": str(RETRY_AFTER)} if taken.refusal == intake.OVER_LIMIT else {}
        nudge("incidents.tasks.read_alerts")  # which announces what is over its limit
        return _refuse(taken.refusal, STATUS[taken.refusal], taken.detail, headers=headers)
    nudge("incidents.tasks.read_alerts")
    return JsonResponse({"delivery": taken.delivery.pk}, status=202)


def _posted(request: HttpRequest, token: str) -> Posted:
    """All of a body up to the limit; of a larger one only its digest and size, as far as it is worth reading."""
    body, digest, size = bytearray(), hashlib.sha256(), 0
    while size <= LONGEST_READ and (chunk := request.read(CHUNK)):
        digest.update(chunk)
        size += len(chunk)
        if size <= LARGEST:
            body += chunk
    kept = bytes(body) if size <= LARGEST else b""
    return Posted(digest_of(token), kept, digest.digest(), size, headers_of(request.META), timezone.now())


def _spool(posted: Posted) -> HttpResponse:
    """Taken to disk: who sent it, and whether it is signed, is found out when the database is back."""
    if posted.is_too_large:
        return _refuse(intake.TOO_LARGE, 413, intake.REASONS[intake.TOO_LARGE])
    try:
        key = spool.put(posted)
    except OSError as error:
        log.error("alert_not_spooled", error=str(error))
        return as_http(unavailable())
    spooled.inc()
    note = "The database is away. The delivery is on disk, and is checked and read once it is back."
    return JsonResponse({"delivery": key, "note": note}, status=202)


def _shake_hands(request: HttpRequest, token: str) -> HttpResponse:
    """The handshake of CloudEvents' webhooks (http-webhook.md 4): who holds the token agrees to be sent to."""
    allowed = {"Allow": "POST, OPTIONS"}
    try:
        source = intake.find(digest_of(token))
    except (DatabaseError, InterfaceError) as error:
        log.error("handshake_failed", error=str(error))
        return as_http(unavailable())
    if source is None:
        return _refuse("unknown_token", 404, "There is nothing at this address.", code="not_found")
    origin = request.headers.get("WebHook-Request-Origin", "")
    if source.kind == AlertSource.Kind.CLOUDEVENTS and origin:
        allowed |= {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": str(source.rate_limit)}
    return HttpResponse(status=200, headers=allowed)


def _refuse(
    reason: str, status: int, detail: str, *, code: str = "", headers: dict[str, str] | None = None
) -> HttpResponse:
    refused.labels(reason).inc()
    log.warning("alert_refused", reason=reason)
    return as_http(Refused(status, code or reason, detail, headers=headers or {}))
