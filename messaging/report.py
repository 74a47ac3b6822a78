"""What became of a notice: how far it is, and for each recipient what can be proved, without addresses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Max, OuterRef, QuerySet, Subquery

from messaging.evidence import level_of
from messaging.models import DeliveryEvent, Message, Notice, NoticeRecipient, Outcome

CHUNK = 1000
COLUMNS = (
    "notice", "subject", "outcome", "left_out_because", "owed_at", "state", "sent_at", "evidence", "delivered_at",
    "bounced_at", "in_doubt", "possible_duplicate", "message",
)  # fmt: skip
# Everything after which nothing more of ours happens to a person of the cohort.
SETTLED = (
    Outcome.SENT, Outcome.DELIVERED, Outcome.BOUNCED, Outcome.FAILED, Outcome.SUPPRESSED, Outcome.WITHDRAWN,
    Outcome.UNKNOWN, Outcome.IN_DOUBT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """How many are where, by Outcome; those that are nowhere are not named."""

    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def to_write(self) -> int:
        return self.total - self.counts.get(Outcome.LEFT_OUT, 0)

    @property
    def settled(self) -> int:
        return sum(self.counts.get(outcome, 0) for outcome in SETTLED)

    @property
    def percent(self) -> int:
        """Rounded down: 100 only when all are."""
        return 100 * self.settled // self.to_write if self.to_write else 0

    def in_words(self) -> list[tuple[str, str, int]]:
        """(outcome, words, how many), in the order of a message's life."""
        return [(outcome.value, outcome.label, self.counts[outcome]) for outcome in Outcome if outcome in self.counts]


def progress_of(notice: Notice) -> Progress:
    """One statement."""
    return progress_of_all([notice])[notice.pk]


def progress_of_all(some: list[Notice]) -> dict[int, Progress]:
    """One statement for all of them."""
    rows = NoticeRecipient.objects.filter(notice__in=some).with_outcome().order_by()
    found = {notice.pk: Progress() for notice in some}
    for notice, outcome, count in rows.values_list("notice", "outcome").annotate(Count("pk")):
        found[notice].counts[outcome] = count
    return found


def exclusions_of(notice: Notice) -> list[tuple[str, int]]:
    """Why people of the cohort are left out, in words, and how many."""
    rows = notice.recipients.exclude(excluded="").order_by()
    counts = dict(rows.values_list("excluded").annotate(Count("pk")))
    return [(reason.label, counts[reason]) for reason in NoticeRecipient.Excluded if reason in counts]


def recipients_of(notice: Notice) -> QuerySet[Any]:
    """With their outcome, their message, and when delivery or a bounce was heard of."""
    events = DeliveryEvent.objects.filter(message=OuterRef("message")).order_by().values("message")
    return (
        NoticeRecipient.objects.filter(notice=notice)
        .with_outcome()
        .select_related("message")
        .defer("message__sealed_raw", "message__sealed_context", "message__sealed_recipient")
        .annotate(
            delivered_at=Subquery(events.filter(kind="delivered").values_list(Max("occurred_at"))),
            bounced_at=Subquery(events.filter(kind__startswith="bounce").values_list(Max("occurred_at"))),
        )
    )


def proof(recipient: Any) -> dict[str, Any]:
    """What is proved of one recipient. `recipient` comes from `recipients_of`; moments are datetimes or None."""
    message: Message | None = recipient.message
    return {
        "subject": recipient.subject_id,
        "outcome": recipient.outcome,
        "left_out_because": recipient.excluded,
        "owed_at": recipient.owed_at,
        "state": message.state if message else "",
        "sent_at": message.settled_at if message and message.state == Message.State.ACCEPTED else None,
        "evidence": level_of(message)[:2] if message else "",
        "delivered_at": recipient.delivered_at,
        "bounced_at": recipient.bounced_at,
        "in_doubt": bool(message and message.state == Message.State.IN_DOUBT),
        "possible_duplicate": bool(message and message.possible_duplicate),
        "message": message.pk if message else None,
    }


def lines(notice: Notice) -> Iterator[Iterable[Any]]:
    """The report as rows, its heading first: a thousand recipients a statement, however many there are."""
    yield COLUMNS
    last = 0
    while some := list(recipients_of(notice).filter(pk__gt=last).order_by("pk")[:CHUNK]):
        for recipient in some:
            yield ({"notice": notice.ref} | proof(recipient)).values()
        last = some[-1].pk
