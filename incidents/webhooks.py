"""The door for alerts: take the bytes, keep them, answer. Reading them is a task's work."""

import structlog
from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from prometheus_client import Counter

from config.nudge import nudge
from config.problems import Refused, as_http, unavailable
from incidents import alerts

log = structlog.get_logger(__name__)

LARGEST = 256 * 1024
refused = Counter("holdfast_alert_deliveries_refused_total", "Alert deliveries turned away at the door.", ["reason"])


@csrf_exempt
@require_POST
def receive(request: HttpRequest, token: str) -> HttpResponse:
    """202 once the delivery is kept. Alertmanager retries 5xx only, so trouble of ours is never a 4xx.

    An unknown token is answered last, and like one that was switched off.
    """
    body = request.read(LARGEST + 1)
    if len(body) > LARGEST:
        return _refuse("too_large", 413, "The body is larger than 256 KiB. Set max_alerts at the sender.")
    if request.content_type != "application/json":
        return _refuse("unsupported_media_type", 415, "Send application/json.")
    try:
        with transaction.atomic():
            delivery = alerts.store(token, body, request.content_type)
            transaction.on_commit(lambda: nudge("incidents.tasks.read_alerts"), robust=True)
    except (DatabaseError, InterfaceError) as error:
        log.error("alert_not_kept", error=str(error))
        return as_http(unavailable())
    if delivery is None:
        return _refuse("unknown_token", 404, "There is nothing at this address.", code="not_found")
    return JsonResponse({"delivery": delivery.pk}, status=202)


def _refuse(reason: str, status: int, detail: str, code: str = "") -> HttpResponse:
    refused.labels(reason).inc()
    log.warning("alert_refused", reason=reason)
    return as_http(Refused(status, code or reason, detail))
