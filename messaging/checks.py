"""What would keep every message from being sent, said at start-up with its cure."""

from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from messaging.inbound import providers, signatures


@register
def mail_settings(**_: Any) -> list[CheckMessage]:
    url = settings.EMAIL_URL
    problems: list[CheckMessage] = []
    if not str(url.get("EMAIL_BACKEND", "")).endswith("smtp.EmailBackend") or not url.get("EMAIL_HOST"):
        problems.append(
            Error(
                "EMAIL_URL does not name an SMTP relay, so no message can be sent.",
                hint="Set EMAIL_URL=smtp+tls://user:password@relay.example:587 (STARTTLS) or smtp+ssl://…:465.",
                id="messaging.E001",
            )
        )
    if "@" not in parseaddr(settings.MAIL_FROM)[1]:
        problems.append(
            Error(
                "MAIL_FROM holds no e-mail address.",
                hint='Set MAIL_FROM="Your Company <privacy@your-domain.example>".',
                id="messaging.E002",
            )
        )
    return problems


@register
def providers_are_known_by_something(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for provider in settings.MAIL_PROVIDERS:
        try:
            providers.known_by(provider, "tracking")
        except providers.NotConfigured as error:
            problems.append(Error(f"Posts of {provider} cannot be heard.", hint=str(error), id="messaging.E003"))
    for gateway, secrets in settings.TEXT_GATEWAYS.items():
        try:
            signatures.sign("check", 0, b"", secrets.partition("|")[0])
        except ValueError as error:
            problems.append(Error(f"Posts of {gateway} cannot be heard.", hint=str(error), id="messaging.E004"))
    return problems


@register(deploy=True)
def relay_is_encrypted(**_: Any) -> list[CheckMessage]:
    url = settings.EMAIL_URL
    is_local = url.get("EMAIL_HOST") in ("localhost", "127.0.0.1", "::1")
    if is_local or url.get("EMAIL_USE_TLS") or url.get("EMAIL_USE_SSL"):
        return []
    return [
        Warning(
            "Messages travel to the relay unencrypted.",
            hint="Use smtp+tls:// or smtp+ssl:// in EMAIL_URL, or a relay on this machine.",
            id="messaging.W001",
        )
    ]
