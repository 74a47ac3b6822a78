"""What may explain an alarm: each way out, cause, domain, network, client, send, alert, change set and marker, ranked.

`lift` is how often it occurred beside how often was to be expected; `share` is its part of what lies above the usual. A
candidate is a place to look first, not a finding.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, Sum

from consent.models import ANY, Cause, Decision
from incidents.changes.moments import acts
from incidents.counting import GROUPS
from incidents.detection.baseline import BUCKET
from incidents.detection.counts import facets_of, label_of, of_group, opt_outs, real_opt_outs
from incidents.models import AlertGroup, AlertSource, FacetBucket, Incident, Marker, PastMix, Series

PAST = timedelta(weeks=4)
RECENT = timedelta(hours=24)  # the past ends that long before: an incident must not become its own measure
LOOK_BACK = timedelta(hours=48)  # for what happened
MOST_HAPPENED = 50  # of each kind
NEAR = timedelta(hours=2)  # how fast a moment loses weight as a cause
LEAST_PEOPLE = 5  # a name that fewer share is not shown
MOST_DECISIONS = 5_000  # looked through for names
MOST = 12
OTHER = "shared by fewer than five people"


@dataclass(frozen=True, slots=True)
class Candidate:
    kind: str
    name: str
    count: int
    expected: float
    lift: float
    share: float
    score: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """The time and scope that are to be explained; `expected`: opt-outs in all of it.

    `past`: the time whose shares are the usual; four weeks, up to a day before, where nothing is said.
    """

    purpose: str
    channel: str
    group: str
    since: datetime
    until: datetime
    expected: Mapping[datetime, float]
    past: tuple[datetime, datetime] | None = None

    @property
    def total_expected(self) -> float:
        return sum(self.expected.values())


def span_of(series: Series, expected: Mapping[datetime, float], group: str = "") -> Span:
    first, last = min(expected), max(expected)
    return Span(series.purpose, series.channel, group or series.group, first, last + BUCKET, expected)


def rank(span: Span) -> list[dict[str, Any]]:
    """The likeliest first, as they are stored in an alarm."""
    counted = Counter(of_group(span.purpose, span.channel, span.group, span.since, span.until))
    total = sum(counted.values())
    excess = total - span.total_expected
    found = [*_composed(span, total, excess), *_moments(span, counted, excess)]
    best = sorted((candidate for candidate in found if candidate.score > 0), key=_order)[:MOST]
    return [asdict(candidate) for candidate in best]


def _order(candidate: Candidate) -> tuple[float, bool, str, str]:
    """Of two that explain as much, what people went through comes before what they merely have in common."""
    return -candidate.score, candidate.kind in FacetBucket.Kind.values, candidate.kind, candidate.name


def composition(purpose: str, channel: str, since: datetime, until: datetime) -> dict[str, Counter[str]]:
    """Counts by kind and name (or its hash): causes and ways out, then what came with them."""
    composed: dict[str, Counter[str]] = defaultdict(Counter)
    watched = opt_outs(since, until, purpose=purpose, channel=channel).exclude(cause__in=GROUPS["records"])
    for cause, path, count in watched.values_list("cause", "exit_path").annotate(n=Sum("count")):
        # To react is to choose: what people reacted to is found among what happened, and they are nobody else for it.
        composed["cause"][Cause.SUBJECT_CHOICE if cause == Cause.INCIDENT_NOTICE else cause] += count
        if path:
            composed["exit_path"][path] += count
    facets = FacetBucket.objects.filter(purpose=purpose, channel=channel, bucket__gte=since, bucket__lt=until)
    for kind, label, count in facets.values_list("kind", "label").annotate(n=Sum("count")):
        composed[kind][label] += count
    return composed


def past_mix(purpose: str, channel: str, moment: datetime) -> Mapping[str, Mapping[str, int]]:
    """The composition of the four weeks whose last day was over a day before, added up once a day."""
    until = (moment - RECENT).replace(hour=0, minute=0, second=0, microsecond=0)
    known = PastMix.objects.filter(purpose=purpose, channel=channel).first()
    if known is None or known.day != until.date():
        counted = composition(purpose, channel, until - PAST, until)
        known, _ = PastMix.objects.update_or_create(
            purpose=purpose, channel=channel, defaults={"day": until.date(), "counts": counted}
        )
    counts: Mapping[str, Mapping[str, int]] = known.counts
    return counts


def usual_time(since: datetime) -> tuple[datetime, datetime]:
    return since - PAST, since - RECENT


def names_in(purpose: str, channel: str, since: datetime, until: datetime) -> dict[str, str]:
    """Hash → name, of those that at least five people of the window share. Read from the log, at most 5,000 rows."""
    decisions = Decision.objects.filter(
        received_at__gte=since, received_at__lt=until, purpose=purpose, channel=channel
    ).order_by("-pk")[:MOST_DECISIONS]
    people: dict[tuple[str, str], set[UUID]] = defaultdict(set)
    for decision, kind, name in facets_of(real_opt_outs(list(decisions))):
        people[kind, name].add(decision.subject_id)
    return {
        label_of(kind, name): name
        for (kind, name), who in people.items()
        if len(who) >= LEAST_PEOPLE or kind == FacetBucket.Kind.CLIENT  # a program is nobody
    }


def _composed(span: Span, total: int, excess: float) -> Iterable[Candidate]:
    now = composition(span.purpose, span.channel, span.since, span.until)
    before = composition(span.purpose, span.channel, *(span.past or usual_time(span.since)))
    names = names_in(span.purpose, span.channel, span.since, span.until)
    for kind, counts in now.items():
        past = before.get(kind, Counter())
        all_past = sum(past.values())
        for label, count in counts.items():
            of_past = past[label] / all_past if all_past else 0.0
            expected = span.total_expected * of_past
            above = count - expected
            share = min(1.0, max(0.0, above / excess)) if excess > 0 else 0.0
            lift = count / max(expected, 0.5)
            # What has no greater part of the excess than it always has explains nothing, however great that is.
            score = max(0.0, share - of_past) * math.log1p(max(0.0, lift - 1)) if share >= 0.05 else 0.0
            yield Candidate(kind, shown(kind, label, names), count, round(expected, 3), round(lift, 2), round(share, 3),
                            round(score, 4))  # fmt: skip


def shown(kind: str, label: str, names: Mapping[str, str]) -> str:
    if kind == "cause":
        return Cause(label).label if label in Cause.values else label
    return label if kind == "exit_path" else names.get(label, OTHER)


def _moments(span: Span, counted: Counter[datetime], excess: float) -> Iterable[Candidate]:
    """What happened at a moment: its share is what lies above the usual since then, its weight fades with the gap."""
    for kind, name, at, detail in _happened(span):
        after = [bucket for bucket in span.expected if bucket + BUCKET > at]
        count, expected = sum(counted[b] for b in after), sum(span.expected[b] for b in after)
        if not after:
            continue
        above = count - expected
        share = min(1.0, max(0.0, above / excess)) if excess > 0 else 1.0
        lift = count / max(expected, 0.5)
        near = math.exp(-max(0.0, (span.since - at).total_seconds()) / NEAR.total_seconds())
        weight = math.log1p(max(0.0, lift - 1)) if excess > 0 else 1.0
        yield Candidate(kind, name, count, round(expected, 3), round(lift, 2), round(share, 3),
                        round(share * near * weight, 4), detail)  # fmt: skip


def _happened(span: Span) -> Iterable[tuple[str, str, datetime, str]]:
    since = span.since - LOOK_BACK
    about = Q(purpose__in=["", ANY, span.purpose]) & Q(channel__in=["", ANY, span.channel])
    for marker in Marker.objects.filter(about, at__gte=since, at__lt=span.until).order_by("-at")[:MOST_HAPPENED]:
        size = f"{marker.size:,} people; " if marker.size else ""
        yield marker.kind, marker.title, marker.at, f"{size}{marker.at:%d %b %H:%M} UTC, reported by {marker.source}"
    # What is said here is read by everybody: an alert of a restricted incident would tell its title.
    told = Incident.objects.unrestricted()
    firing = AlertGroup.objects.exclude(source__mode=AlertSource.Mode.OFF).filter(
        last_at__gte=since, first_at__lt=span.until, incident__in=told
    )
    for act in acts(since, span.until, told, MOST_HAPPENED):
        if act.change.selector.get("purpose", ANY) in (ANY, span.purpose):
            yield "change set", str(act), act.at, f"{act.at:%d %b %H:%M} UTC"
    for group in firing.select_related("incident").order_by("-first_at")[:MOST_HAPPENED]:
        yield "alert", group.title, group.first_at, f"{group.get_state_display()}, {group.ref}"
