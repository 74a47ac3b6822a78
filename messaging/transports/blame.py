"""Whom a refusal speaks of: this recipient and this message, or us, and so everybody that we write to.

What a relay or a provider says of a recipient is its last word about them. What it says of us (it does not relay for
us, it does not know our password, it blocks our address) would be said of everybody: the message keeps its chance, by
the next transport or once somebody has mended it.
"""

import re

from messaging.transports.replies import NotSent, Refused, Reply, Temporary

ENHANCED = re.compile(r"(?<![\d.])[245]\.(\d{1,3}\.\d{1,3})(?![\d.]*\d)")
# Closing (RFC 5321 4.2.3), authentication and TLS (RFC 4954 6, RFC 3207 4), a host that takes no mail (RFC 7504).
OURS_BY_CODE = frozenset({421, 454, 521, 530, 534, 535, 538})
# A command or an order of commands that the relay does not like (RFC 5321 4.2.2), unless it names the recipient.
OURS_AS_SPOKEN = frozenset({502, 503, 504, 555})
# Of the registry of enhanced status codes (RFC 3463, RFC 5248): a sender, a relay that is set up wrongly, credentials,
# encryption, and what proves who we are (DKIM, SPF, reverse DNS, a flood of ours).
OURS_BY_STATUS = frozenset(
    {"1.7", "1.8", "3.2", "3.5", *(f"7.{n}" for n in range(8, 15)), *(f"7.{n}" for n in range(20, 30))}
)
# A mailbox or the domain it is at, a list, an owner who has changed (RFC 7293).
THEIRS_BY_STATUS = frozenset(
    {"1.1", "1.2", "1.3", "1.4", "1.6", "1.9", "1.10", "2.1", "2.2", "2.3", "2.4", "7.2", "7.17", "7.18", "7.19"}
)
# A recipient who takes mail from few, as Exchange says it: its words are else those about us.
THEIRS = re.compile(r"RESOLVER\.", re.IGNORECASE)
OURS = re.compile(
    r"relay\w*[ :-]+(?:access )?(?:is |are )?(?:denied|not |prohibited|refused|disallowed)"
    r"|(?:not|unable to|cannot|refus\w+ to|no|\w+n't) relay|(?:allowed|my list of) rcpthosts"
    r"|authenticat\w+ (?:is |are )?(?:required|failed|needed|first|invalid|information)|(?:must|not|need to|please) "
    r"(?:be )?(?:log ?ged in|log ?in|authenticat\w+)|unauthenticated|credentials|starttls|\bsmtp auth|\bauth first"
    r"|client (?:host|ip|was|does)|helo (?:command|name)|sender (?:address|domain|identity|id|signature|verif\w+)\b"
    r"|sender.{0,60}(?:rejected|refused|blocked|denied|not (?:allowed|verified|authori[sz]ed|permitted))"
    r"|from address does not|send(?:ing)? ?as\b|(?:not|un)[ -]?verified"
    r"|your (?:ip|host|server|network|domain)|\bip (?:address|you)|banned sending|reverse dns|\bptr\b|reputation"
    r"|(?:black|block|deny) ?-?list|\brbl\b|dnsbl|spamhaus|spamcop|barracuda|sorbs|blocked using"
    r"|\bspf\b|\bdkim\b|\bdmarc\b"
    r"|sending (?:is |has been )?(?:quota|limit|rate|suspended|paused|disabled)|(?:daily|hourly) .{0,30}(?:quota|limit)"
    r"|throttl|maximum (?:sending|credits)|not (?:allowed|permitted|authori[sz]ed) to send\b(?! (?:\w+ )?to\b)"
    r"|traffic not accepted|local configuration error",
    re.IGNORECASE,
)
# Where a host only says that security forbids it: what shows that it means one recipient, or one content.
ABOUT_ONE = re.compile(
    r"recipient|mailbox|\busers?\b|addressee|\bgroup\b|mailing list|spam|virus|malware|content|attachment|restricted|"
    r"message (?:was )?(?:rejected|refused|blocked) (?:as|due|because|by)",
    re.IGNORECASE,
)


def refusal(reply: Reply) -> NotSent:
    """What a reply to RCPT, to DATA or to the end of a message says, where it is no acceptance."""
    if speaks_of_us(reply):
        return Temporary(reply, blames_transport=True)
    if (reply.code or 0) // 100 == 5:
        return Refused(reply)
    return Temporary(reply)


def speaks_of_us(reply: Reply) -> bool:
    """The most certain sign first. A reply that tells nothing is one about its recipient, as SMTP would have it."""
    found = ENHANCED.search(reply.text)
    status = found[1] if found else ""
    if reply.code in OURS_BY_CODE or status in OURS_BY_STATUS:
        return True
    if status in THEIRS_BY_STATUS or THEIRS.search(reply.text):
        return False
    if OURS.search(reply.text):
        return True
    names_one = bool(ABOUT_ONE.search(reply.text))
    if reply.code in OURS_AS_SPOKEN:
        return not names_one
    is_final = (reply.code or 0) // 100 == 5  # a passing one is mostly a greylist, which asks everybody to come back
    return is_final and status.startswith("7.") and not names_one
