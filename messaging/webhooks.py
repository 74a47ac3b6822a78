"""The doors for providers: check who it is, keep the bytes, answer. Reading them is a task's work.

Trouble of ours is a 5xx: providers come again after that, and give up after a 4xx.
"""

import time

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST
from prometheus_client import Counter

from config.nudge import nudge
from config.problems import Refused, as_http, unavailable
from messaging import signing
from messaging.inbound import hooks, providers

log = structlog.get_logger(__name__)
LARGEST = 10 * 1024 * 1024
LARGEST_TEXT = 64 * 1024
refused = Counter("holdfast_hook_deliveries_refused_total", "Posts of providers turned away at the door.", ["reason"])


@csrf_exempt
@require_http_methods(["POST", "HEAD"])  # some providers try an address with HEAD when it is set up
def receive_mail(request: HttpRequest, provider: str, kind: str) -> HttpResponse:
    """200 once the post is kept."""
    if provider not in settings.MAIL_PROVIDERS:
        return _turn_away("unknown_provider", 404, "There is nothing at this address.", code="not_found")
    if request.method == "HEAD":
        return HttpResponse()
    body = request.read(LARGEST + 1)
    if len(body) > LARGEST:
        return _turn_away("too_large", 413, "The body is larger than 10 MiB.")
    headers = {name.lower(): value for name, value in request.headers.items()}
    post = providers.request_of(body, headers.get("content-type", ""), headers)
    try:
        providers.check(provider, kind, post)
    except providers.NotConfigured as error:
        log.error("provider_not_configured", provider=provider, error=str(error))
        return as_http(unavailable())
    except providers.Refused as error:
        return _refuse(provider, kind, body, headers, str(error))
    return _keep(provider, kind, body, headers)


@csrf_exempt
@require_POST
def receive_text(request: HttpRequest, provider: str) -> HttpResponse:
    """A text message to us, signed as Standard Webhooks say: `{"id", "from", "to", "text"}`."""
    secret = settings.TEXT_GATEWAYS.get(provider)
    if not secret:
        return _turn_away("unknown_provider", 404, "There is nothing at this address.", code="not_found")
    body = request.read(LARGEST_TEXT + 1)
    if len(body) > LARGEST_TEXT:
        return _turn_away("too_large", 413, "The body is larger than 64 KiB.")
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        signing.verify(secret.split("|"), headers, body, now=time.time())
    except signing.NotSigned as error:
        return _refuse(provider, "text", body, headers, str(error))
    except ValueError as error:
        log.error("provider_not_configured", provider=provider, error=str(error))
        return as_http(unavailable())
    return _keep(provider, "text", body, headers)


def _keep(provider: str, kind: str, body: bytes, headers: dict[str, str], refusal: str = "") -> HttpResponse:
    try:
        with transaction.atomic():
            delivery = hooks.keep(provider, kind, body, headers, refusal)
            if not refusal:
                transaction.on_commit(lambda: nudge("messaging.tasks.read_inbound"), robust=True)
    except (DatabaseError, InterfaceError) as error:
        log.error("hook_not_kept", provider=provider, error=str(error))
        return as_http(unavailable())
    return JsonResponse({"delivery": delivery.pk if delivery else None})


def _refuse(provider: str, kind: str, body: bytes, headers: dict[str, str], why: str) -> HttpResponse:
    """Kept with its reason. 401 names no more than that: Amazon sends its password only after such an answer."""
    kept = _keep(provider, kind, body, headers, refusal=why)
    if kept.status_code == 503:
        return kept
    response = _turn_away("not_authentic", 401, "This does not prove that it comes from the provider.")
    response["WWW-Authenticate"] = 'Basic realm="webhook"'
    return response


def _turn_away(reason: str, status: int, detail: str, code: str = "") -> HttpResponse:
    refused.labels(reason).inc()
    log.warning("hook_refused", reason=reason)
    return as_http(Refused(status, code or reason, detail))
