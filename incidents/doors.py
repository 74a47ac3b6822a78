"""The doors that canaries try: each is what a person, their mail program, their browser or a service really calls."""

import json
import smtplib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from functools import partial
from typing import Any

import requests
from django.conf import settings
from django.utils import timezone

from consent import exit_paths, tokens
from incidents import canaries
from incidents.canaries import Canary
from messaging import signing, verp
from messaging.composing import message_id
from messaging.inbound.opting_out import KEYWORD, MAILTO, REPLY

PATIENCE = 20.0  # seconds for an answer; a slow one is broken anyway


@dataclass(frozen=True, slots=True)
class Answer:
    """What a door said to a canary."""

    is_good: bool
    words: str


@dataclass(frozen=True, slots=True)
class Door:
    """`open` raises OSError where nobody answers. `missing` says what this installation lacks to have the door at all,
    empty where it has it. `is_read_later`: what comes in is kept and answered, and a worker reads it afterwards.
    """

    open: Callable[[Canary], Answer]
    missing: Callable[[], str] = str
    is_read_later: bool = False


def at_hand() -> list[str]:
    """The ways out that this installation has a door for."""
    return [path for path, door in DOORS.items() if not door.missing()]


def _one_click(canary: Canary) -> Answer:
    return _page("POST", f"/u/{_token(canary)}/", data={"List-Unsubscribe": "One-Click"})


def _preference_page(canary: Canary) -> Answer:
    return _page("POST", f"/preferences/{_token(canary)}/", data={"action": "stop"})


def _gpc(canary: Canary) -> Answer:
    return _page("GET", f"/preferences/{_token(canary)}/", headers={"Sec-GPC": "1"})


def _api(canary: Canary) -> Answer:
    body = {
        "subject": {"id": str(canary.subject_id)},
        "purpose": canary.purpose,
        "channel": canary.channel,
        "choice": "opt_out",
        "cause": "subject_choice",
        "exit_path": exit_paths.API,
    }
    return _page("POST", "/api/v1/decisions/", json=body, headers={"Authorization": f"Bearer {canaries.api_key()}"})


def _mailto(canary: Canary) -> Answer:
    """As a mail program does it: to the address in List-Unsubscribe of a mail that the canary got."""
    message = canaries.last_mail(canary)
    return _hand_in(_letter(canary, verp.unsubscribe_address(message), "unsubscribe", ""))


def _reply(canary: Canary) -> Answer:
    message = canaries.last_mail(canary)
    letter = _letter(canary, verp.reply_address(message), "Re:", "STOP\r\n")
    letter["In-Reply-To"] = message_id(message)
    return _hand_in(letter)


def _text_message(canary: Canary) -> Answer:
    """As the gateway passes it on, signed with its secret."""
    gateway, secret = next(iter(settings.TEXT_GATEWAYS.items()))
    number = f"canary-{canary.attempt}"
    to_us = {"id": number, "from": canaries.phone().value, "to": "canary", "text": "STOP"}
    body = json.dumps(to_us).encode()
    moment = int(time.time())
    headers = {
        signing.ID: number,
        signing.TIMESTAMP: str(moment),
        signing.SIGNATURE: signing.sign(secret.partition("|")[0], number, moment, body),
        "Content-Type": "application/json",
    }
    return _page("POST", f"/hooks/sms/{gateway}/", data=body, headers=headers)


def _no_mailto() -> str:
    return _no_mail() or ("" if settings.MAIL_UNSUBSCRIBE else "MAIL_UNSUBSCRIBE is empty: no mailto: is offered.")


def _no_replies() -> str:
    return _no_mail() or ("" if settings.MAIL_REPLIES else "MAIL_REPLIES is empty: replies go to MAIL_FROM.")


def _no_mail() -> str:
    return "" if settings.CANARY_MAIL_AT else "CANARY_MAIL_AT is empty: nobody knows where to hand in a mail."


def _no_texts() -> str:
    if not settings.TEXT_GATEWAYS:
        return "TEXT_GATEWAYS is empty: no gateway passes text messages on."
    return "" if settings.CANARY_PHONE else "CANARY_PHONE is empty: the canary has no number to write from."


DOORS: Mapping[str, Door] = {
    exit_paths.ONE_CLICK: Door(_one_click),
    exit_paths.PREFERENCE_PAGE: Door(_preference_page),
    exit_paths.GPC: Door(_gpc),
    exit_paths.API: Door(_api),
    MAILTO: Door(_mailto, _no_mailto, is_read_later=True),
    REPLY: Door(_reply, _no_replies, is_read_later=True),
    KEYWORD: Door(_text_message, _no_texts, is_read_later=True),
}


def _token(canary: Canary) -> str:
    """A fresh one each time, as each message has its own: a link's second press is another thing than its first."""
    return tokens.issue(tokens.Token(canary.subject_id, canary.purpose, canary.channel, canary.attempt))


def _page(method: str, path: str, **request: Any) -> Answer:
    response = requests.request(
        method, f"{settings.PUBLIC_URL}{path}", timeout=PATIENCE, allow_redirects=False, **request
    )
    return Answer(200 <= response.status_code < 300, f"Answered {response.status_code}")


def _letter(canary: Canary, to: str, subject: str, text: str) -> EmailMessage:
    letter = EmailMessage(policy=SMTP)
    letter["From"] = canaries.address(canary.name) or f"canary@{settings.MAIL_DOMAIN}"
    letter["To"], letter["Subject"], letter["Date"] = to, subject, format_datetime(timezone.now())
    letter["Message-ID"] = make_msgid(domain=settings.MAIL_DOMAIN)  # no two are the same mail
    letter.set_content(text)
    return letter


def _hand_in(letter: EmailMessage) -> Answer:
    """To the receiver of mail, which speaks SMTP, or LMTP where it knows no HELO."""
    try:
        return _spoken(smtplib.SMTP, letter)
    except smtplib.SMTPHeloError:
        return _spoken(smtplib.LMTP, letter)


def _spoken(protocol: type[smtplib.SMTP], letter: EmailMessage) -> Answer:
    host, _, port = settings.CANARY_MAIL_AT.rpartition(":")
    with protocol(host.strip("[]"), int(port), timeout=PATIENCE) as server:
        server.ehlo_or_helo_if_needed()
        for say in (
            partial(server.mail, letter["From"]),
            partial(server.rcpt, letter["To"]),
            partial(server.data, letter.as_bytes()),
        ):
            code, _ = say()
            if code >= 400:
                break
    return Answer(code < 400, f"Answered {code}")
