"""Why a mail came back, from its status code and its words: for hosts that give no code, or one that says nothing."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Class(StrEnum):
    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"


class Reason(StrEnum):
    """What was wrong, as far as it decides whether the address is written to again."""

    MAILBOX = "no such mailbox"
    DOMAIN = "no such domain"
    DISABLED = "mailbox disabled"
    FULL = "mailbox full"
    SIZE = "too large"
    NETWORK = "not reached"
    CONTENT = "content refused"
    POLICY = "policy"
    SYSTEM = "trouble at the host"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Class
    reason: Reason
    status: str = ""


ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
# A reply code where a host would write one: not a year, a port or a part of an address.
CODE = re.compile(
    r"(?:^|[\s:#'\"<(;>=\]])(?:smtp;\s*)?([45][0-5]\d)(?=[\s\-#:,;.>)\]'\"]|$)(?![\d.]*\.\d+\.\d)"
    r"(?![ \-]\d{3,4}\b(?!\.))",
    re.MULTILINE,
)
# RFC 3463 and the registry of RFC 5248: what a subject and detail mean, whatever the class.
DETAILS: dict[str, Reason] = {
    "1.1": Reason.MAILBOX, "1.3": Reason.MAILBOX, "1.4": Reason.MAILBOX, "1.6": Reason.MAILBOX, "1.9": Reason.MAILBOX,
    "1.2": Reason.DOMAIN, "1.10": Reason.DOMAIN, "2.1": Reason.DISABLED, "2.2": Reason.FULL, "2.3": Reason.SIZE,
    "3.1": Reason.SYSTEM, "3.4": Reason.SIZE, "4.1": Reason.NETWORK, "4.2": Reason.NETWORK, "4.3": Reason.NETWORK,
    "4.4": Reason.NETWORK, "4.5": Reason.NETWORK, "4.6": Reason.NETWORK, "4.7": Reason.NETWORK, "1.7": Reason.POLICY,
    "1.8": Reason.POLICY,
}  # fmt: skip
SUBJECTS: dict[str, Reason] = {
    "3": Reason.SYSTEM, "4": Reason.NETWORK, "5": Reason.SYSTEM, "6": Reason.CONTENT, "7": Reason.POLICY,
}  # fmt: skip

# The first that matches counts, so what is about the sender and the content stands before what sounds like a mailbox.
WORDS: tuple[tuple[Class, Reason, re.Pattern[str]], ...] = tuple(
    (kind, reason, re.compile(words, re.IGNORECASE))
    for kind, reason, words in (
        (
            Class.TEMPORARY,
            Reason.NETWORK,
            (
                r"will (?:be retried|keep trying|continue (?:to )?try)|not been delivered yet|delivery (?:is |"
                r"has been )?(?:temporarily )?(?:delayed|deferred)|delay(?:ed)? delivery|"
                r"no action is required|do(?:es)? not need to resend|warning: (?:could not send|message)|"
                r"still being retried|nicht zugestellt werden, es wird weiter"
            ),
        ),
        (
            Class.PERMANENT,
            Reason.CONTENT,
            (
                r"spam|virus|malware|content (?:rejected|filter|denied)|message (?:rejected|refused) (?:due|"
                r"because|as)|blocked attachment|prohibited attachment|illegal attachment|message content"
            ),
        ),
        (
            Class.PERMANENT,
            Reason.POLICY,
            (
                r"black ?list|block ?list|\brbl\b|dnsbl|spamhaus|\bspf\b|\bdkim\b|\bdmarc\b|access denied|"
                r"relay(?:ing)? (?:access )?(?:denied|not (?:allowed|permitted))|not (?:allowed|permitted|"
                r"authori[sz]ed)|unable to relay|(?:sender|client host|ip address).{0,60}(?:rejected|refused|"
                r"blocked|denied)|policy|reputation|greylist|authentication required|reverse dns|"
                r"must be authenticated"
            ),
        ),
        (
            Class.TEMPORARY,
            Reason.FULL,
            (
                r"(?:mailbox|inbox|account|storage|user|disk|recipient).{0,40}(?:is )?(?:full|"
                r"over ?(?:its )?quota|exceed)|quota|not enough (?:space|storage)|"
                r"insufficient (?:system )?(?:storage|space)|over the (?:allowed|limit)|mailbox (?:size|limit)"
            ),
        ),
        (
            Class.PERMANENT,
            Reason.SIZE,
            r"(?:message|mail|size).{0,30}(?:too (?:big|large|long)|exceeds).{0,30}|size limit|too large",
        ),
        (
            Class.PERMANENT,
            Reason.DISABLED,
            (
                r"(?:mailbox|account|user|address|recipient).{0,40}(?:disabled|inactive|suspend|deactivat|"
                r"expired|locked|not active|unavailable|closed|no longer)|no longer (?:active|with|employed|"
                r"available|valid|in use)"
            ),
        ),
        (
            Class.PERMANENT,
            Reason.DOMAIN,
            (
                r"(?:host|domain)[^\n]{0,60}(?:unknown|not found|does ?n[o']t exist|non-?existent|no mx)|"
                r"unknown host|(?:could|can)(?: ?not|n't) (?:find|resolve)[^\n]{0,50}(?:host|domain|mx)|"
                r"unrout(?:e)?able|no such (?:host|domain)|bad (?:destination )?host|"
                r"name (?:service )?(?:error|not found)|null ?mx|mail for .{1,80} loops back"
            ),
        ),
        (
            Class.PERMANENT,
            Reason.MAILBOX,
            (
                r"(?:user|mailbox|recipient|address|account|alias|addressee|name)[^\n]{0,80}(?:unknown|"
                r"not (?:found|exist|known|a known|listed|valid|have|recogni[sz]ed|a valid)|(?:does|do|"
                r"did) ?n[o']t (?:exist|have|like|match)|invalid|n[o']t exist|rejected|undeliverable|"
                r"unavailable|non-?existent|incorrect|wasn.t found|couldn.t be found|no longer exists)|"
                r"(?:unknown|invalid|no such|bad|non-?existent|illegal|incorrect|"
                r"undeliverable) (?:local[ -]?part|virtual |or )?(?:user|mailbox|recipient|address|account|"
                r"alias|addressee|person|name)|no mailbox (?:here )?by that name|not our customer|"
                r"doesn.t have an? .{0,40}account|recipientnotfound|empfänger unbekannt|destinataire inconnu|"
                r"usuario desconocido|this address no longer|sorry, no mailbox"
            ),
        ),
        (
            Class.TEMPORARY,
            Reason.NETWORK,
            (
                r"connection (?:timed ?out|refused|reset|dropped|lost)|timed ?out|time-?out|"
                r"network (?:is )?unreachable|no route|temporar|try (?:again )?later|retry|deferred|"
                r"too many (?:connections|messages|hops|recipients)|lost connection|host (?:is )?(?:down|"
                r"unreachable)|could not (?:connect|be reached)|unable to connect|(?:was|"
                r"were) not able to establish|unable to contact|cannot be contacted|delivery time expired|"
                r"message expired|for (?:more than )?\d+ (?:hours|days)|queue(?:d)? (?:too long|lifetime)|"
                r"has been (?:frozen|in the queue)|retention time|service (?:unavailable|not available)|"
                r"system (?:busy|down)"
            ),
        ),
        (
            Class.PERMANENT,
            Reason.UNKNOWN,
            (
                r"permanent(?:ly)?|fatal error|given up|giving up|could ?n[o']t (?:be )?deliver|(?:could not|"
                r"cannot|can't|was not|not) be delivered|undeliver(?:able|ed)|delivery (?:has )?fail|"
                r"failed to deliver|unable to deliver|not able to deliver|returned to sender|was rejected|"
                r"delivery to the following .{0,40} failed|mail delivery failed|unzustellbar|non remis|did not reach|"
                r"(?:nicht|kann nicht) zugestellt|n['’]a pas pu (?:e|ê)tre (?:remis|d(?:é|e)livr)|"
                r"no se (?:pudo|ha podido|puede) entregar|送信できません|не может быть доставлено|"
                r"配信できません|wasn't able to deliver|was not delivered|refused|transaction failed|rejected"
            ),
        ),
    )
)


# That a mail did not arrive, or not yet; what only gives a reason (a policy, a full mailbox) is said elsewhere too.
FAILED = re.compile(
    "|".join(
        words.pattern
        for kind, reason, words in WORDS
        if reason in (Reason.MAILBOX, Reason.DOMAIN, Reason.UNKNOWN) or words is WORDS[0][2]
    ),
    re.IGNORECASE,
)


def judge(text: str, status: str = "", action: str = "") -> Verdict:
    """`status`: RFC 3463, as a report gives it; `action`: RFC 3464; `text`: what the host said."""
    given = ENHANCED.search(status)
    if action in ("delivered", "relayed", "expanded") or (given and given[1] == "2" and action != "failed"):
        return Verdict(Class.DELIVERED, Reason.UNKNOWN, given[0] if given else "")
    code = _best(given, text)
    worded = _worded(text)
    reason = _reason(code) if code else Reason.UNKNOWN
    if reason is Reason.UNKNOWN or (reason is Reason.SYSTEM and worded and worded[1] is not Reason.UNKNOWN):
        reason = worded[1] if worded else reason
    if reason is Reason.POLICY and worded and worded[1] is Reason.CONTENT:
        reason = Reason.CONTENT
    kind = _kind(code, text, action, worded)
    if kind is Class.PERMANENT and code and code[0] == "5.4.4":  # "unable to route": a name server's trouble passes
        kind = Class.TEMPORARY
    return Verdict(kind, reason, code[0] if code else "")


def _best(given: re.Match[str] | None, text: str) -> re.Match[str] | None:
    """The host's own words are more exact than a report's x.0.0; a report that says more than that is believed."""
    if given and (given[2], given[3]) != ("0", "0"):
        return given
    said = [code for code in ENHANCED.finditer(text) if code[1] in "45" and (not given or given[1] in ("2", code[1]))]
    exact = [code for code in said if (code[2], code[3]) != ("0", "0")]
    return next(iter([*exact, *([given] if given and given[1] in "45" else []), *said]), None)


def _reason(code: re.Match[str]) -> Reason:
    detail = f"{code[2]}.{code[3]}"
    return DETAILS.get(detail) or SUBJECTS.get(code[2], Reason.UNKNOWN)


def _worded(text: str) -> tuple[Class, Reason] | None:
    return next(((kind, reason) for kind, reason, words in WORDS if words.search(text)), None)


def _kind(code: re.Match[str] | None, text: str, action: str, worded: tuple[Class, Reason] | None) -> Class:
    if action == "delayed":
        return Class.TEMPORARY
    if code:
        return Class.PERMANENT if code[1] == "5" else Class.TEMPORARY
    if reply := CODE.search(text):
        return Class.PERMANENT if reply[1].startswith("5") else Class.TEMPORARY
    if worded:
        return worded[0]
    return Class.PERMANENT if action == "failed" else Class.UNKNOWN
