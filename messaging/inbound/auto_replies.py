"""Mails that a program answered with: RFC 3834, and what programs do that do not know it. Asked after bounces."""

import re

from messaging.inbound.parsing import Mail, content_type

SUBJECTS = re.compile(
    (
        r"^(?:\W|(?:re|aw|antw|rv|tr|fwd?|sv|vs): ?)*(?:"
        r"auto(?:matic|mated|matische|matisch|matique|matick[áé]|matiskt?|maattinen)?\W{0,2}"
        r"(?:re(?:ply|sponse|spuesta|sponder)|antwort|antwoord|réponse|odpověď|svar|vastaus)\b|"
        r"r[ée]ponse automatique|respuesta autom[áa]tica|risposta automatica|resposta autom[áa]tica|"
        r"odpowied[źz] automatyczna|otomatik yan.t|автоматический ответ|автоответ|"
        r"自動応答|自動返信|自动(?:答复|回复)|"
        r"auto:|out of (?:the )?office|away (?:from|until)|on (?:vacation|holiday|leave)\b|"
        r"vacation (?:reply|notice|message)|"
        r"abwesen(?:d|heit)|nicht im (?:büro|haus)|(?:im )?urlaub(?:s(?:notiz|meldung|abwesenheit))?\s*(?:$|:|bis|vom)|"
        r"absen(?:ce|t) du bureau|(?:message|avis|notification) d['’]absence|en congés?\s*(?:$|:|jusqu)|"
        r"fuera de (?:la )?oficina|ausente? de (?:la oficina|o escritório)|fuori ufficio|fora do escritório|"
        r"afwezig(?:heid)?\b|frånvaro|i(?:'| a)m (?:away|out)\b)|"
        r"\bis (?:currently )?(?:out of (?:the )?office|away until|on (?:vacation|leave))|"
        r"\((?:auto(?:matic|mated)?[ -]?(?:reply|response))\)\s*$"
    ),
    re.IGNORECASE,
)
HEADERS = (
    "X-Autoreply", "X-Autorespond", "X-Auto-Reply-From", "X-Mail-Autoreply", "X-Apple-Action", "X-Vacation",
    "X-FC-MachineGenerated",
)  # fmt: skip
RECEIPT = "disposition-notification"  # RFC 8098: somebody opened it, or deleted it unread


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
    return calls_itself_one(mail) or is_receipt(mail)


def calls_itself_one(mail: Mail) -> bool:
    return bool(SUBJECTS.search(mail.header("Subject")))


def is_receipt(mail: Mail) -> bool:
    return RECEIPT in mail.header("Content-Type").lower() or any(RECEIPT in content_type(part) for part in mail.parts)
