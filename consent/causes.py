"""Why somebody decided: a cause, how sure it is, and the codes of what it rests on. Plain arithmetic over known facts.

A door says what it saw (`said`); whoever reads the log later sees more, and looks again (`assess`). What a person's own
act says by itself stands: a complaint, a keyword, a signal, a request, an import. Only "the person's choice" is looked
into further, because behind it may stand a gateway, a script, or an alert that made the person leave. It is telemetry:
a press that is valid was honoured long before, and no suspicion takes it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, pstdev

from consent.models import Cause

RULES = 1  # the version of what follows, kept beside each assessment

# Points of a press by a machine (notes of operators: Office 365, Mautic, healthchecks.io, MillionSend). One sign alone
# is what a quick person or a mail provider's own server looks like; SUSPECT takes two, or the link nobody sees.
SUSPECT = 3
SIGNS = {
    "hidden_link_fetched": 3,
    "links_fetched_together": 2,
    "many_at_one_domain": 2,
    "agent_bot": 2,
    "soon_after_acceptance": 1,
    "pressed_at_once": 1,
}
TOGETHER = 2.0  # seconds within which a gateway fetches every link of a message
SOON = 60.0  # seconds after the relay's acceptance; gateways look tens of seconds after it
AT_ONCE = 1.0  # seconds between the first look at a page and its button
MANY_AT_DOMAIN = 10  # presses by one domain's recipients within a minute
MANY_BY_CLIENT = 60  # choices by one service key's account within a minute
REGULAR = 0.25  # standard deviation of the gaps ÷ their mean; people come at random, which is about 1


@dataclass(frozen=True, slots=True)
class Assessment:
    cause: str
    confidence: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a decision. Seconds are None where nobody measured them; that is no sign of anything.

    `cause`, `confidence` and `reasons` are what its door said.
    """

    cause: str
    confidence: int = 100
    reasons: Sequence[str] = ()
    exit_path: str = ""
    actor: str = ""
    is_by_link: bool = False  # a page or a header of a message
    used_notice: bool = False  # the link stood in a notice about an incident
    had_notice: bool = False  # such a notice was sent to them before
    is_inside_incident: bool = False  # that was declared, and is about this
    since_acceptance: float | None = None
    since_first_fetch: float | None = None
    links_together: int = 0  # different links of the message, fetched within TOGETHER
    hidden_link: bool = False
    at_domain: int = 0  # presses by recipients of the same domain in that minute
    by_client: int = 0  # choices by the same service in that minute
    gaps: Sequence[float] = ()  # seconds between those


def said(*reasons: str, agent: str = "") -> tuple[str, ...]:
    """The codes that a door gives a decision: how it came, and what kind of program spoke."""
    return (*reasons, f"agent_{agent}") if agent else reasons


def assess(facts: Facts) -> Assessment:
    """The likeliest cause. A machine's marks come first, then a notice, then what the door said."""
    known = tuple(facts.reasons)
    if facts.cause != Cause.SUBJECT_CHOICE:
        return Assessment(facts.cause, facts.confidence, known)
    signs = signs_of_a_machine(facts)
    points = sum(SIGNS[sign] for sign in signs)
    if points >= SUSPECT:
        return Assessment(Cause.SCANNER_SUSPECTED, min(95, 45 + 10 * points), _joined(known, signs))
    if script := signs_of_a_script(facts):
        return Assessment(Cause.AUTOMATED_SCRIPT, 80, _joined(known, script))
    if facts.used_notice:
        return Assessment(Cause.INCIDENT_NOTICE, 95, _joined(known, ["notice_used"]))
    if facts.had_notice:
        return Assessment(Cause.INCIDENT_NOTICE, 80, _joined(known, ["notice_sent_before"]))
    if facts.is_inside_incident:
        return Assessment(Cause.INCIDENT_NOTICE, 50, _joined(known, ["inside_incident"]))
    return Assessment(Cause.SUBJECT_CHOICE, min(facts.confidence, 90) if signs else facts.confidence, known)


def signs_of_a_machine(facts: Facts) -> list[str]:
    """Codes of what a mail scanner would have left behind; never a reason to doubt that the choice counts."""
    if not facts.is_by_link:
        return []
    after = facts.since_acceptance
    found = {
        "hidden_link_fetched": facts.hidden_link,
        "links_fetched_together": facts.links_together >= 2,
        "many_at_one_domain": facts.at_domain >= MANY_AT_DOMAIN,
        "agent_bot": "agent_bot" in facts.reasons,
        "soon_after_acceptance": after is not None and 0 <= after < SOON,
        "pressed_at_once": facts.since_first_fetch is not None and 0 <= facts.since_first_fetch < AT_ONCE,
    }
    return [sign for sign, is_there in found.items() if is_there]


def signs_of_a_script(facts: Facts) -> list[str]:
    """Many choices by one client, one like the other: at one moment, or ticking like a clock."""
    if not facts.actor.startswith("service:") or facts.by_client < MANY_BY_CLIENT or not facts.gaps:
        return []
    if sum(facts.gaps) <= AT_ONCE:
        return ["many_by_one_client", "same_moment"]
    middle = mean(facts.gaps)
    return ["many_by_one_client", "regular_gaps"] if pstdev(facts.gaps) <= REGULAR * middle else []


def is_unknown(cause: str, reasons: Sequence[str], exit_path: str) -> bool:
    """Nobody said more than that the person chose: no code, no way out. Incidents count these in SQL alike."""
    return cause == Cause.SUBJECT_CHOICE and not reasons and not exit_path


def _joined(known: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*known, *found]))
