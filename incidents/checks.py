"""What would keep the ways out from being tried wholly, said before it is deployed, with its cure."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register
def canaries_address(**_: Any) -> list[CheckMessage]:
    local, at, domain = settings.CANARY_EMAIL.rpartition("@")
    if not settings.CANARY_EMAIL or (local and at and domain):
        return []
    return [
        Error(
            "CANARY_EMAIL holds no e-mail address.",
            hint="Set CANARY_EMAIL=canary@your-domain.example, or leave it empty.",
            id="incidents.E001",
        )
    ]


@register(deploy=True)
def canaries_get_mail(**_: Any) -> list[CheckMessage]:
    if settings.CANARY_EMAIL or not settings.EXIT_PATH_PROBES:
        return []
    return [
        Warning(
            "CANARY_EMAIL is empty: the ways out are tried, and nobody sees whether the confirmation is sent.",
            hint="Set CANARY_EMAIL=canary@your-domain.example, a mailbox that takes canary+anything@ too.",
            id="incidents.W001",
        )
    ]
