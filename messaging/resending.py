"""Sending again what was not sent, many at a time: told first which go and why the others do not, then each through the
one door, `services.resend`, which keeps who and why in its story.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.functions import Now

from config.models import User
from consent.services import actor_of
from messaging import gate
from messaging.models import Message
from messaging.services import SENT_AGAIN, no_address, resend

log = structlog.get_logger(__name__)
AT_ONCE = 500
FOR_TWO = "In doubt, and the law asks for it: one person proposes what becomes of it, another agrees, each on its page."
MAYBE_SENT = "It may have been sent, and the person would get it twice: decide about it on its own page."
TOO_LATE = "Its time is over."


@dataclass(frozen=True, slots=True)
class Chosen:
    """What would go again, and what would not, by why."""

    goes: list[Message] = field(default_factory=list)
    refused: dict[str, list[Message]] = field(default_factory=dict)
    is_cut: bool = False  # more were chosen than go at once

    @property
    def kinds(self) -> list[tuple[str, str, int]]:
        """(class, state, how many) of what goes, the most first."""
        counted = Counter((one.get_message_class_display(), one.get_state_display()) for one in self.goes)
        return [(what, state, number) for (what, state), number in counted.most_common()]

    @property
    def refused_count(self) -> int:
        return sum(map(len, self.refused.values()))

    def refuse(self, message: Message, why: str) -> None:
        self.refused.setdefault(why, []).append(message)


def look(messages: QuerySet[Message]) -> Chosen:
    """Which of these may go again, AT_ONCE of them at most. Nothing changes; a fixed number of statements."""
    found = list(messages[: AT_ONCE + 1])
    chosen = Chosen(is_cut=len(found) > AT_ONCE)
    asked = []
    for message, why in _with_doubts(found[:AT_ONCE]):
        if why:
            chosen.refuse(message, why)
        else:
            asked.append(message)
    for message, why in zip(asked, gate.refusals_of(asked), strict=True):
        if why:
            chosen.refuse(message, why)
        else:
            chosen.goes.append(message)
    return chosen


def send_again(messages: QuerySet[Message], *, reason: str, by: User | str) -> Chosen:
    """Send those again that may go; each by itself, so that none takes others with it. Returns what became of each.
    Raises ValidationError without a reason.
    """
    if not reason.strip():
        raise ValidationError("Say why.")
    wanted = look(messages)
    done = Chosen(refused=wanted.refused, is_cut=wanted.is_cut)
    together = f"{reason.strip()} (one of {len(wanted.goes)} sent again together)"
    for message in wanted.goes:
        try:
            resend(message, reason=together, by=by)
            done.goes.append(message)
        except ValidationError as error:  # somebody else was quicker
            done.refuse(message, " ".join(error.messages))
    log.info("messages_sent_again", count=len(done.goes), refused=done.refused_count, by=actor_of(by))
    return done


def _with_doubts(messages: Sequence[Message]) -> list[tuple[Message, str]]:
    """Each with why it cannot go again whomever it is to; empty where only its recipient is left to ask about."""
    these = Message.objects.filter(pk__in=[message.pk for message in messages])
    maybe_sent = set(these.maybe_sent().values_list("pk", flat=True))
    late = set(these.filter(expires_at__lte=Now()).values_list("pk", flat=True))
    return [(message, _why_not(message, message.pk in maybe_sent, message.pk in late)) for message in messages]


def _why_not(message: Message, maybe_sent: bool, is_late: bool) -> str:
    if message.state not in SENT_AGAIN:
        return f"Only what was refused or given up is sent again. It is {message.get_state_display()}."
    if message.state in Message.DOUBTFUL and message.needs_two:
        return FOR_TWO
    if message.state in Message.DOUBTFUL or maybe_sent or message.possible_duplicate:
        return MAYBE_SENT
    if message.sealed_recipient is None:
        return no_address(message)
    return TOO_LATE if is_late else ""
