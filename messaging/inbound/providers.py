"""Providers' webhooks by anymail's views: they know each format and each signature; we store first and read later."""

import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from io import BytesIO
from typing import Any
from warnings import catch_warnings, simplefilter

from anymail import urls
from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.signals import AnymailInboundEvent, AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks.amazon_ses import AmazonSESBaseWebhookView
from anymail.webhooks.base import AnymailCoreWebhookView
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.utils import timezone
from prometheus_client import Counter

from messaging import signing
from messaging.events import Kind, NewEvent, find_message
from messaging.inbound.consequences import digest_of
from messaging.inbound.wordings import Class, Reason, Verdict, judge

# What a post is read by. Authorization and signatures are checked at the door and not kept.
KEPT_HEADERS = ("svix-id", "webhook-id", "x-amz-sns-message-type", "x-amz-sns-message-id")
UNSTABLE = frozenset({"sendgrid"})  # its event ids change when an event is told again
SELF_SIGNED = frozenset({"mailgun", "resend", "postal", "mandrill", "mailtrap", "unisender_go"})
# Tracked in mails only by pixels and rewritten links, which ours have none of.
NOT_OURS = frozenset({EventType.OPENED, EventType.CLICKED, EventType.SUBSCRIBED, EventType.INBOUND, EventType.UNKNOWN})
KINDS = {
    EventType.QUEUED: Kind.QUEUED,
    EventType.SENT: Kind.SENT,
    EventType.DEFERRED: Kind.DEFERRED,
    EventType.DELIVERED: Kind.DELIVERED,
    EventType.REJECTED: Kind.REFUSED,
    EventType.FAILED: Kind.REFUSED,
    EventType.COMPLAINED: Kind.COMPLAINED,
    EventType.UNSUBSCRIBED: Kind.UNSUBSCRIBED,
    EventType.AUTORESPONDED: Kind.AUTORESPONDED,
}
ignored = Counter(
    "holdfast_provider_events_ignored_total", "Provider events about opens, clicks and the like.", ["kind"]
)


class Refused(Exception):
    """The post does not prove that it comes from the provider, or is none of its posts."""


class NotConfigured(Exception):
    """Our own trouble: the provider is to be heard, and nothing was set to know it by."""


def request_of(body: bytes, content_type: str, headers: Mapping[str, str]) -> WSGIRequest:
    """The post as it came, whatever became of its socket."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/hooks/mail/inbound_mime/",
        "wsgi.input": BytesIO(body),
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "https",
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    request = WSGIRequest(environ)
    request._body = body  # bounded at the door, not by the limit of forms
    return request


def check(provider: str, kind: str, request: WSGIRequest) -> None:
    """Raises Refused, or NotConfigured."""
    view = known_by(provider, kind)
    if provider == "resend" and (secret := _resend_secret(kind)):
        try:
            signing.verify([secret], request.headers, request.body, now=time.time(), prefix="svix")
        except signing.NotSigned as error:
            raise Refused(str(error)) from error
    try:
        view.run_validators(request)
    except AnymailWebhookValidationFailure as error:
        raise Refused(str(error)) from error
    except (ValueError, KeyError, TypeError, LookupError) as error:
        raise Refused("It is not built like a post of this provider.") from error
    except Exception as error:  # anymail's own words for a body that it cannot read
        raise Refused(f"It cannot be checked: {str(error)[:150]}") from error


def known_by(provider: str, kind: str) -> AnymailCoreWebhookView:
    """The view, once something tells the provider from a stranger. Raises NotConfigured."""
    view = view_of(provider, kind)
    is_signed = bool(_resend_secret(kind)) if provider == "resend" else provider in SELF_SIGNED
    if not is_signed and not view.basic_auth:
        raise NotConfigured(f"Set ANYMAIL_WEBHOOK_SECRET=user:password: nothing else tells {provider} from a stranger.")
    return view


def parse(provider: str, kind: str, request: WSGIRequest) -> list[AnymailTrackingEvent | AnymailInboundEvent]:
    return list(view_of(provider, kind).parse_events(request))


def view_of(provider: str, kind: str) -> AnymailCoreWebhookView:
    """Raises NotConfigured where the provider is not in MAIL_PROVIDERS, has no such webhook, or lacks its secret."""
    name = "mandrill_webhook" if provider == "mandrill" else f"{provider}_{kind}_webhook"
    view = next((p.callback.view_class for p in urls.urlpatterns if p.name == name), None)
    if provider not in settings.MAIL_PROVIDERS or view is None:
        raise NotConfigured(f"{provider} is not in MAIL_PROVIDERS, or has no webhook for {kind}.")
    try:
        with catch_warnings():
            simplefilter("ignore")  # about a missing secret, which `check` does not let pass
            if issubclass(view, AmazonSESBaseWebhookView):
                return _without_amazon(view)
            if provider == "resend":
                secret = "signing_secret" if kind == "tracking" else "inbound_secret"
                return view(**{secret: None})
            return view()
    except Exception as error:  # ImproperlyConfigured, a missing library: said to the operator in its words
        raise NotConfigured(str(error)[:250]) from error


def _without_amazon(view: type[AmazonSESBaseWebhookView]) -> AnymailCoreWebhookView:
    """Notifications need no call to Amazon; a subscription is confirmed by a person, who sees its address."""

    class ByNotification(view):
        def __init__(self, **kwargs: Any) -> None:
            self.auto_confirm_enabled = False
            self.session_params: dict[str, Any] = {}
            self.client_params: dict[str, Any] = {}
            super(AmazonSESBaseWebhookView, self).__init__(**kwargs)

        def auto_confirm_sns_subscription(self, sns_message: Mapping[str, Any]) -> None:
            raise ValueError(f"Confirm this subscription: open {sns_message.get('SubscribeURL', 'its address')}")

    return ByNotification()


def _resend_secret(kind: str) -> str:
    name = "RESEND_SIGNING_SECRET" if kind == "tracking" else "RESEND_INBOUND_SECRET"
    return str(settings.ANYMAIL.get(name, ""))


def event_of(provider: str, event: AnymailTrackingEvent, heard_at: datetime) -> tuple[NewEvent, Verdict] | None:
    """None for what our mails do not ask for. K5: the provider's own id of the event, else all that it says."""
    if event.event_type in NOT_OURS:
        ignored.labels(event.event_type).inc()
        return None
    said = " ".join(filter(None, [event.mta_response, event.description]))
    verdict = _verdict(event, said)
    kind = KINDS.get(event.event_type) or (Kind.BOUNCED_HARD if verdict.kind is Class.PERMANENT else Kind.BOUNCED_SOFT)
    occurred_at = min(event.timestamp or heard_at, timezone.now())
    has_id = event.event_id and provider not in UNSTABLE
    told = [event.event_id] if has_id else [event.message_id, event.recipient, event.timestamp, said]
    found = NewEvent(
        source=provider,
        kind=kind,
        occurred_at=occurred_at,
        facts=[*told, event.event_type, event.recipient],
        message_id=find_message(ids=_quoted(event), provider_id=str(event.message_id or "")),
        recipient=digest_of(str(event.recipient or "")),
        provider_id=str(event.message_id or ""),
        payload={"reason": event.reject_reason or "", "reply": said[:500], "status": verdict.status},
    )
    return found, verdict


def _verdict(event: AnymailTrackingEvent, said: str) -> Verdict:
    verdict = judge(said, action="failed" if event.event_type == EventType.BOUNCED else "")
    if event.event_type != EventType.BOUNCED or verdict.status:
        return verdict
    if event.reject_reason in (RejectReason.BOUNCED, RejectReason.INVALID):
        return Verdict(Class.PERMANENT, Reason.MAILBOX if verdict.reason is Reason.UNKNOWN else verdict.reason)
    return verdict if said else Verdict(Class.TEMPORARY, Reason.UNKNOWN)


def _quoted(event: AnymailTrackingEvent) -> Iterable[str]:
    """Our own id, in the metadata that we gave or as the Message-ID anywhere in what the provider tells."""
    metadata = event.metadata if isinstance(event.metadata, dict) else {}
    named = [str(metadata[name]) for name in ("message", "message_id") if name in metadata]
    try:
        text = json.dumps(event.esp_event, default=str)[:200_000]
    except (TypeError, ValueError):
        text = str(event.esp_event)[:200_000]
    domain = re.escape(settings.MAIL_DOMAIN)
    return [*named, str(event.message_id or ""), *re.findall(rf"[0-9a-f-]{{36}}@{domain}", text)]
