"""A mail provider that is spoken to by HTTP, through django-anymail's backend for it."""

import threading
from collections.abc import Callable
from email import message_from_bytes
from email import policy as policies
from importlib import import_module
from typing import Any

import requests
from anymail.exceptions import AnymailAPIError, AnymailError, AnymailRequestsAPIError
from django.core.mail import EmailMultiAlternatives

from messaging.transports import http
from messaging.transports.replies import Envelope, NotSent, Permanent, Reply, Temporary, patient

# Those that promise to make one message of two with the same key (for a day).
IDEMPOTENT = {"resend": "Idempotency-Key"}
# Named again by the provider from what it is given otherwise, or its own business.
OWN_FIELDS = frozenset(
    {"from", "to", "subject", "mime-version", "content-type", "content-transfer-encoding", "date", "content-language"}
)
REFUSED = frozenset({"invalid", "rejected", "failed"})  # of anymail's normalised states


class Provider:
    """One provider with its credentials. A thread keeps its session from one message to the next."""

    after = 0.0
    tells_when_long = False

    def __init__(self, name: str, provider: str, options: dict[str, str]) -> None:
        self.name = name
        self.provider = provider
        self.options = options
        self.is_idempotent = provider in IDEMPOTENT
        self.kept = threading.local()
        self.backend_class = import_module(f"anymail.backends.{provider}").EmailBackend
        self.backend_class(**options)  # raises ImproperlyConfigured, with the name of what is missing

    def send(
        self, envelope: Envelope, before_end: Callable[[], None], takes_long: Callable[[], None] = patient
    ) -> Reply:
        backend, adapter = self._backend()
        adapter.before_end = before_end
        mail = mail_of(envelope)
        if self.is_idempotent:
            mail.extra_headers[IDEMPOTENT[self.provider]] = str(envelope.message_id)
        try:
            with http.told():
                self._hand_over(backend, mail)
        except NotSent as error:
            if error.reply.code is None:
                self.kept.backend = None  # a session that broke is not used again
            raise
        status = next(iter(mail.anymail_status.recipients.values()))
        if status.status in REFUSED:
            raise Permanent(Reply(_code(mail), f"The provider says: {status.status}."))
        return Reply(_code(mail), f"The provider says: {status.status}.", str(status.message_id or ""))

    def _hand_over(self, backend: Any, mail: Any) -> None:
        try:
            backend.send_messages([mail])
        except requests.RequestException as error:
            if isinstance(error, AnymailRequestsAPIError) and error.response is not None:
                raise http.refusal(error.response.status_code, error.response.text[:500]) from error
            raise
        except AnymailAPIError as error:
            raise http.refusal(getattr(error, "status_code", None) or 500, str(error)[:500]) from error
        except AnymailError as error:  # it was not even asked: the message does not fit this provider
            raise Temporary(Reply(text=f"The provider cannot take it: {error}"[:500]), blames_transport=True) from error

    def _backend(self) -> tuple[Any, http.LastMoment]:
        if getattr(self.kept, "backend", None) is None:
            self.kept.adapter = http.LastMoment()
            self.kept.backend = self.backend_class(ignore_recipient_status=True, **self.options)
            made = http.session(self.kept.adapter)
            self.kept.backend.session = made
            self.kept.backend.open()  # has its session already; where it makes one of another kind, that stands
        return self.kept.backend, self.kept.adapter


def mail_of(envelope: Envelope) -> Any:
    """What the provider is told: the parts of the frozen bytes, and our id as its metadata."""
    parsed = message_from_bytes(envelope.raw, policy=policies.default)
    text, html = parsed.get_body(["plain"]), parsed.get_body(["html"])
    mail: Any = EmailMultiAlternatives(
        subject=str(parsed["Subject"]),
        body=text.get_content() if text else "",
        from_email=str(parsed["From"]),
        to=[envelope.recipient],
        headers={name: str(value) for name, value in parsed.items() if name.lower() not in OWN_FIELDS},
    )
    if html:
        mail.attach_alternative(html.get_content(), "text/html")
    mail.metadata = {"message": str(envelope.message_id)}
    return mail


def _code(mail: Any) -> int | None:
    return getattr(mail.anymail_status.esp_response, "status_code", None)
