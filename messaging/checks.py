"""What would keep messages from being sent, said at start-up with its cure."""

import re
from email.utils import getaddresses, parseaddr
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from messaging import signing
from messaging.inbound import providers, receiving
from messaging.transports import configured

SETTINGS = {configured.EMAIL: "MAIL_TRANSPORTS", configured.SMS: "TEXT_TRANSPORTS"}

HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+", re.IGNORECASE)
LINKED = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
MAILBOX = re.compile(rf"[a-z0-9._-]{{1,20}}@{DOMAIN.pattern}", re.IGNORECASE)  # +id.mac is added: no name beside it


@register
def transports(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for channel, setting in SETTINGS.items():
        for entry in getattr(settings, setting):
            try:
                configured.transport_of(entry, channel)
            except ImproperlyConfigured as error:
                problems.append(Error(f"{setting}: {error}", hint=CURE, id="messaging.E001"))
    if twice := configured.named_twice():
        problems.append(
            Error(
                f"{' and '.join(SETTINGS.values())}: two transports are called {', '.join(twice)}.",
                hint="Give each its own name, also across both: attempts, health and holds are kept by it.",
                id="messaging.E003",
            )
        )
    if not any(entry.partition("=")[2].partition(":")[0] != "file" for entry in settings.MAIL_TRANSPORTS):
        hint = "Name a relay or a provider before the folder, which is a last resort."
        problems.append(Error("MAIL_TRANSPORTS names nothing that sends.", hint=hint, id="messaging.E004"))
    return problems


@register
def sender(**_: Any) -> list[CheckMessage]:
    if len(getaddresses([settings.MAIL_FROM])) == 1 and "@" in parseaddr(settings.MAIL_FROM)[1]:
        return []
    return [
        Error(
            "MAIL_FROM holds no e-mail address, or more than one.",
            hint='Set MAIL_FROM="Your Company <privacy@your-domain.example>".',
            id="messaging.E002",
        )
    ]


@register
def places_of_mail(**_: Any) -> list[CheckMessage]:
    """What addresses are made of, and where mail comes in: a wrong one would be found by whoever writes back."""
    rules = [
        ("MAIL_DOMAIN", DOMAIN, "shop.example"),
        ("MAIL_BOUNCES", DOMAIN, "bounces.shop.example, without a mailbox; or leave it empty"),
        ("MAIL_UNSUBSCRIBE", MAILBOX, "unsubscribe@shop.example; or leave it empty"),
        ("MAIL_REPLIES", MAILBOX, "reply@shop.example; or leave it empty"),
    ]
    wrong = [
        (name, like)
        for name, rule, like in rules
        if not rule.fullmatch(getattr(settings, name)) and (getattr(settings, name) or name == "MAIL_DOMAIN")
    ]
    wrong += [("MAIL_LINK_HOSTS", "help.shop.example")] * any(not LINKED.fullmatch(h) for h in settings.MAIL_LINK_HOSTS)
    wrong += [("RECEIVE_MAIL", "127.0.0.1:8026")] * (not _is_place(settings.RECEIVE_MAIL))
    return [
        Error(f"{name} cannot be used: {getattr(settings, name)!r}.", hint=f"Like {like}.", id="messaging.E009")
        for name, like in wrong
    ]


@register
def certificate_of_mail(**_: Any) -> list[CheckMessage]:
    try:
        receiving.encryption()
    except ImproperlyConfigured as error:
        hint = "Name PEM files that this process may read, the key without a passphrase; or leave both empty: no TLS."
        return [Error(str(error), hint=hint, id="messaging.E010")]
    return []


@register
def webhook_hosts(**_: Any) -> list[CheckMessage]:
    """A bare host would silently allow nothing, and `*` must not allow everything."""
    wrong = [entry for entry in settings.WEBHOOK_ALLOWED_HOSTS if not _is_place(entry)]
    if not wrong:
        return []
    return [
        Error(
            f"WEBHOOK_ALLOWED_HOSTS holds what is no host:port: {', '.join(wrong)}.",
            hint="For example WEBHOOK_ALLOWED_HOSTS=crm.internal:8443,[fd00::5]:443.",
            id="messaging.E005",
        )
    ]


@register
def providers_are_known_by_something(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for provider in settings.MAIL_PROVIDERS:
        try:
            providers.known_by(provider, "tracking")
        except providers.NotConfigured as error:
            problems.append(Error(f"Posts of {provider} cannot be heard.", hint=str(error), id="messaging.E006"))
    for gateway, secrets in settings.TEXT_GATEWAYS.items():
        try:
            signing.key_of(secrets.partition("|")[0])
        except ValueError as error:
            problems.append(Error(f"Posts of {gateway} cannot be heard.", hint=str(error), id="messaging.E007"))
    return problems


@register(deploy=True)
def transports_are_encrypted(**_: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"{entry.partition('=')[0]}: messages travel to it unencrypted.",
            hint="Use smtp+tls:// or smtp+ssl://, or a relay on this machine.",
            id="messaging.W001",
        )
        for entry in [*settings.MAIL_TRANSPORTS, *settings.TEXT_TRANSPORTS]
        if configured.is_unencrypted(entry)
    ]


@register(deploy=True)
def spool_takes_something(**_: Any) -> list[CheckMessage]:
    """By trying: a volume may be missing, somebody else's, or read-only, and a look at its mode tells none of these."""
    folder = Path(settings.SPOOL_DIR)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryFile(dir=folder):
            return []
    except OSError as error:
        return [
            Error(
                f"SPOOL_DIR={folder} takes nothing: {error.strerror}.",
                hint="Name a folder that the site's user may write to, that outlives the process, and that web and "
                "workers of this host share: opt-outs, alerts and answers of relays wait there for the database.",
                id="messaging.E008",
            )
        ]


def _is_place(entry: str) -> bool:
    found = HOST_AND_PORT.fullmatch(entry)
    return found is not None and 0 < int(found[2]) < 65_536


CURE = (
    "Entries are name=address, with blanks between them, in the order in which they are tried: "
    "relay=smtp+tls://user:password@relay.example:587 backup=anymail://postmark?server_token=… "
    "disk=file:///var/lib/holdfast/unsent?after=86400"
)
