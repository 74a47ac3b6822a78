"""Mails that a program answered with: RFC 3834, and what programs do that do not know it. Asked after bounces."""

import re

from messaging.inbound.parsing import Mail

SUBJECTS = re.compile(
    (
        r"^\W*(?:auto(?:matic|mated|matische|matique)?[ -]?(?:re(?:ply|sponse|spuesta)|antwort|réponse)\b|"
        r"out of (?:the )?office|away (?:from|until)|on (?:vacation|holiday|leave)\b|vacation\b|abwesen|"
        r"nicht im büro|urlaub|absen(?:ce|t)\b|fuera de (?:la )?oficina|respuesta automática|"
        r"réponse automatique|autosvar|automatisch antwoord|自動応答|i(?:'| a)m (?:away|out))"
    ),
    re.IGNORECASE,
)
HEADERS = ("X-Autoreply", "X-Autorespond", "X-Auto-Reply-From", "X-Mail-Autoreply", "X-Apple-Action")


def is_automatic(mail: Mail) -> bool:
    """It says so, or comes from nobody."""
    return says_so(mail) or mail.header("Return-Path").replace(" ", "") == "<>"


def says_so(mail: Mail) -> bool:
    """`X-Auto-Response-Suppress` asks for no answer; people's mail programs do not set it, so it counts too."""
    submitted = mail.header("Auto-Submitted").partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if any(mail.header(name) for name in HEADERS) or mail.header("X-Auto-Response-Suppress"):
        return True
    if mail.header("Precedence").lower() in ("bulk", "auto_reply", "junk", "list"):
        return True
    if any(mail.header(name) for name in ("List-Id", "List-Unsubscribe", "List-Post")):
        return True
    return bool(SUBJECTS.search(mail.header("Subject")))
