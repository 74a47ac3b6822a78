"""What would keep every message from being sent, said at start-up with its cure."""

import re
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


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
def webhook_hosts(**_: Any) -> list[CheckMessage]:
    """A bare host would silently allow nothing, and `*` must not allow everything."""
    wrong = [entry for entry in settings.WEBHOOK_ALLOWED_HOSTS if not HOST_AND_PORT.fullmatch(entry)]
    if not wrong:
        return []
    return [
        Error(
            f"WEBHOOK_ALLOWED_HOSTS holds what is no host:port: {', '.join(wrong)}.",
            hint="For example WEBHOOK_ALLOWED_HOSTS=crm.internal:8443,[fd00::5]:443.",
            id="messaging.E003",
        )
    ]


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
