"""How sending does, in few words and numbers: what incidents are opened about, and what Prometheus stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, QuerySet
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from messaging import health
from messaging.models import FOUR_EYES, Difference, Message, MessageClass, SendHold, TransportHealth
from messaging.transports import configured

ALARMING_DOUBT = timedelta(minutes=15)
RECENTLY = timedelta(days=3)  # given up since: a weekend must not pass over it
LOOKED_AT = timedelta(days=30)  # messages owed since: longer than any is tried
# A mailbox that is gone is nobody's trouble. That so many refuse, and more than one in ten, is ours.
MANY_REFUSED, REFUSED_PART = 20, 10
MOST = 10_000  # what is counted stops here: a heap is a heap
State = Message.State


@dataclass(frozen=True, slots=True)
class Condition:
    """Something is wrong with sending since a moment. `key` stays the same while it lasts."""

    key: str
    title: str
    since: datetime
    count: int = 0


def conditions(now: datetime | None = None) -> list[Condition]:
    """What is wrong now, worst first; empty when all is well. A few bounded statements."""
    now = now or timezone.now()
    return [*_overdue(now), *_failing(), *_given_up(now), *_in_doubt(now), *_differing(now), *_unheeded()]


def _overdue(now: datetime) -> Iterable[Condition]:
    late = Message.objects.overdue(now).order_by("owed_by").values_list("owed_by", flat=True)[:MOST]
    if owed_by := list(late):
        title = f"{_counted(len(owed_by))} overdue"
        yield Condition("mail-overdue", title, owed_by[0] or now, len(owed_by))


def _failing() -> Iterable[Condition]:
    for found in _configured().filter(failures_in_a_row__gte=health.OPENS_AFTER).order_by("pk"):
        title = f"The transport {found.pk} failed {found.failures_in_a_row} times in a row"
        yield Condition(f"transport-{found.pk}", title, found.failing_since or timezone.now(), found.failures_in_a_row)


def _given_up(now: datetime) -> Iterable[Condition]:
    """What ended without being sent is no longer overdue: it is told here, by class. Of what the law asks for each one
    counts, since somebody has to find another way to that person.
    """
    found: dict[str, list[datetime]] = {}
    refused: dict[str, list[datetime]] = {}
    for message_class, state, at in _recently_given_up(now).values_list("message_class", "state", "settled_at")[:MOST]:
        is_ordinary = state == State.REJECTED and message_class not in FOUR_EYES
        (refused if is_ordinary else found).setdefault(message_class, []).append(at or now)
    for message_class, moments in refused.items():
        if len(moments) >= MANY_REFUSED and not _most_were_taken(message_class, len(moments), now):
            found[message_class] = found.get(message_class, []) + moments
    for message_class, moments in sorted(found.items()):
        count = len(moments)
        title = f"{_counted(count)} given up, not sent: {MessageClass(message_class).label}"
        yield Condition(f"mail-given-up-{message_class}", title, min(moments), count)


def _recently_given_up(now: datetime) -> QuerySet[Message]:
    """Of those in trouble the ones that ended: what is in doubt, and texts that fail, are told of by themselves."""
    ended = [State.FAILED, State.REJECTED, *Message.KEPT_BACK]
    lately = Message.objects.in_trouble().filter(created_at__gte=now - LOOKED_AT, settled_at__gte=now - RECENTLY)
    return lately.filter(state__in=ended).order_by("-created_at")


def _most_were_taken(message_class: str, refused: int, now: datetime) -> bool:
    """Counted no further than needed."""
    enough = refused * (REFUSED_PART - 1)
    taken = Message.objects.filter(message_class=message_class, state=State.ACCEPTED, created_at__gte=now - LOOKED_AT)
    return taken.filter(settled_at__gte=now - RECENTLY).order_by("-created_at")[:enough].count() == enough


def _in_doubt(now: datetime) -> Iterable[Condition]:
    doubtful = Message.objects.filter(state=State.IN_DOUBT, attempts__outcome=State.IN_DOUBT).order_by()
    dated = doubtful.annotate(since=Max("attempts__ended_at")).filter(since__lt=now - ALARMING_DOUBT)
    since = list(dated.values_list("since", flat=True)[:MOST])
    if since:
        yield Condition("mail-in-doubt", f"{_counted(len(since))} in doubt", min(since), len(since))


def _differing(now: datetime) -> Iterable[Condition]:
    """I4: a service that was told again and still holds something else."""
    rows = Difference.objects.lasting(now).order_by().values_list("endpoint__name")
    for name, count, since in rows.annotate(count=Count("pk"), since=Min("told_again_at")):
        title = f"{name} still differs in {count:,} {'key' if count == 1 else 'keys'}, a minute after it was told again"
        yield Condition(f"differs-{name}", title, since, count)


def _unheeded() -> Iterable[Condition]:
    """A no at a service that may well be the person's newest word, and does not count here until people looked: no
    machine takes it for the person's own."""
    rows = Difference.objects.open().filter(kind=Difference.Kind.NEWER).order_by().values_list("endpoint__name")
    for name, count, since in rows.annotate(count=Count("pk"), since=Min("found_at")):
        keys = "1 key" if count == 1 else f"{count:,} keys"
        title = (
            f"{name} holds a no for {keys} where a yes of the person counts here, and it may be newer: see Differences"
        )
        yield Condition(f"differs-no:{name}", title, since, count)


def metrics() -> Iterable[Metric]:
    """For Prometheus: counts and ages, nothing about a person."""
    now = timezone.now()
    unsettled = GaugeMetricFamily(
        "holdfast_messages_unsettled", "Messages owed and not settled.", labels=["state", "lane"]
    )
    rows = Message.objects.filter(settled_at=None).order_by().values_list("state", "lane")
    for state, lane, count in rows.annotate(count=Count("pk")):
        unsettled.add_metric([state, lane], count)
    doubt = GaugeMetricFamily(
        "holdfast_messages_in_doubt_oldest_seconds", "Age of the oldest doubt.", labels=["transport"]
    )
    doubtful = Message.objects.filter(state=State.IN_DOUBT, attempts__outcome=State.IN_DOUBT).order_by()
    for transport, since in doubtful.values_list("transport").annotate(since=Min("attempts__ended_at")):
        doubt.add_metric([transport], (now - since).total_seconds() if since else 0)
    overdue = GaugeMetricFamily("holdfast_messages_overdue", "Messages owed by now and not sent.")
    overdue.add_metric([], len(Message.objects.overdue(now).values_list("pk")[:MOST]))
    given_up = GaugeMetricFamily(
        "holdfast_messages_given_up",
        f"Messages that ended within {RECENTLY.days} days without being sent.",
        labels=["message_class", "state"],
    )
    ended = _recently_given_up(now).order_by().values_list("message_class", "state")
    for message_class, state, count in ended.annotate(count=Count("pk")):
        given_up.add_metric([message_class, state], count)
    failing = GaugeMetricFamily("holdfast_transport_failures", "Failures in a row.", labels=["transport"])
    for found in _configured():
        failing.add_metric([found.pk], found.failures_in_a_row)
    holds = GaugeMetricFamily("holdfast_send_holds", "Holds that keep messages back.")
    holds.add_metric([], SendHold.objects.active(now).count())
    sweep = GaugeMetricFamily("holdfast_sweep_age_seconds", "Since a sweep of messages last went through.")
    if (age := health.last_sweep()["seconds_ago"]) is not None:
        sweep.add_metric([], age)
    return [unsettled, doubt, overdue, given_up, failing, holds, sweep]


def _configured() -> QuerySet[TransportHealth]:
    """One that was taken out of the settings while it failed is nobody's trouble any more."""
    return TransportHealth.objects.filter(pk__in=configured.all_names())


def _counted(count: int) -> str:
    if count == 1:
        return "1 message is"
    return f"{count:,}{'+' if count >= MOST else ''} messages are"
