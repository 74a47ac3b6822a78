"""Opt-outs per five minutes, as the reader of the log counted them: by assessed cause, without canaries and drills.

What turns out to have another cause moves to the other series. What was judged stays as it was judged, and tells its
own numbers; what is learnt afterwards is learnt from the counts as they stand then.

What came with an opt-out (mail domain, network, client) is counted by keyed hash. A network is known only where a
service put `ip` into the evidence; an address is never copied, and what is missing is counted in fewer kinds.
"""

import hmac
import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.db import connection
from django.db.models import DateTimeField, F, Func, QuerySet, Sum, Value

from config.keys import derive
from consent.identifiers import unseal
from consent.models import Choice, Decision, Evidence, Identifier, Subject
from incidents.counting import DRILLS, GROUP_OF, GROUPS
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.models import BucketScore, DecisionMinute, FacetBucket, Series

KEPT_FOR = timedelta(weeks=9)
Kind = FacetBucket.Kind
BEGAN = Value(datetime(2000, 1, 1, tzinfo=UTC))
IN_BUCKETS = Func(Value(BUCKET), F("minute"), BEGAN, function="date_bin", output_field=DateTimeField())

ADD_FACETS = """
    INSERT INTO incidents_facetbucket AS f (bucket, purpose, channel, kind, label, count)
    SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[])
    ON CONFLICT (bucket, purpose, channel, kind, label) DO UPDATE SET count = f.count + EXCLUDED.count
"""


def add_facets(decisions: Sequence[Decision]) -> None:
    """Count what came with those that nobody has counted yet; imports and defaults say nothing about who leaves."""
    counts: Counter[tuple[datetime, str, str, str, str]] = Counter()
    for d, kind, name in facets_of([d for d in real_opt_outs(decisions) if GROUP_OF[d.cause] != "records"]):
        counts[bucket_of(d.received_at), d.purpose, d.channel, kind, label_of(kind, name)] += 1
    if counts:
        rows = [(*key, count) for key, count in sorted(counts.items())]
        with connection.cursor() as cursor:
            cursor.execute(ADD_FACETS, [list(column) for column in zip(*rows, strict=True)])


def real_opt_outs(decisions: Sequence[Decision]) -> list[Decision]:
    """Without those of canaries and drills, and without what a merge restated: it was counted when it was made."""
    found = [
        d for d in decisions if d.choice == Choice.OPT_OUT and d.cause in GROUP_OF and not d.actor.startswith(DRILLS)
    ]
    people = {d.subject_id for d in found}
    canaries = set(Subject.objects.filter(pk__in=people, is_canary=True).values_list("pk", flat=True)) if found else ()
    return [d for d in found if d.subject_id not in canaries]


def facets_of(decisions: Sequence[Decision]) -> Iterable[tuple[Decision, str, str]]:
    """(decision, kind, name in clear): what is known of each. Evidence that is missing or odd says nothing."""
    domains = _domains({d.subject_id for d in decisions})
    shown = Evidence.objects.filter(decision__in=[d.pk for d in decisions], content__has_key="ip")
    addresses = dict(shown.values_list("decision_id", "content__ip"))
    for decision in decisions:
        if domain := domains.get(decision.subject_id):
            yield decision, Kind.DOMAIN, domain
        if network := network_of(addresses.get(decision.pk)):
            yield decision, Kind.NETWORK, network
        if decision.actor.startswith("service:"):
            yield decision, Kind.CLIENT, decision.actor


def label_of(kind: str, name: str) -> str:
    return hmac.digest(derive("facet-label"), f"{kind}\0{name}".encode(), "sha256")[:8].hex()


def network_of(address: object) -> str:
    """The block of an address, /24 or /48; empty for what is none."""
    try:
        ip = ipaddress.ip_address(str(address)) if address else None
    except ValueError:
        return ""
    return str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False)) if ip else ""


def opt_outs(since: datetime, until: datetime, **scope: Any) -> QuerySet[DecisionMinute]:
    """The minutes in between (the last not included) whose opt-outs are watched: real ones, of a cause in a group."""
    return DecisionMinute.objects.filter(
        choice=Choice.OPT_OUT, is_drill=False, minute__gte=since, minute__lt=until, **{"cause__in": GROUP_OF} | scope
    )


def of_series(series: Series, since: datetime, until: datetime) -> dict[datetime, int]:
    """Count of each bucket from `since` up to `until` (not included) in which there was one."""
    return of_group(series.purpose, series.channel, series.group, since, until)


def of_group(purpose: str, channel: str, group: str, since: datetime, until: datetime) -> dict[datetime, int]:
    rows = opt_outs(since, until, purpose=purpose, channel=channel, cause__in=GROUPS.get(group, ()))
    return dict(rows.values_list(IN_BUCKETS).annotate(n=Sum("count")))


def busy_series(bucket: datetime) -> dict[int, int]:
    """Each series with a count in this bucket, and how many. Two statements."""
    found: Counter[tuple[str, str, str]] = Counter()
    rows = opt_outs(bucket, bucket + BUCKET).values_list("purpose", "channel", "cause").annotate(n=Sum("count"))
    for purpose, channel, cause, count in rows:
        found[purpose, channel, GROUP_OF[cause]] += count
    if not found:
        return {}
    series = Series.objects.filter(purpose__in={key[0] for key in found}, channel__in={key[1] for key in found})
    keys = series.values_list("pk", "purpose", "channel", "group")
    return {pk: found[key] for pk, *rest in keys if (key := (rest[0], rest[1], rest[2])) in found}


def buckets(since: datetime, until: datetime) -> list[datetime]:
    """The beginnings of all buckets in between, the empty ones too."""
    first = bucket_of(since)
    return [first + BUCKET * n for n in range(max(0, (until - first) // BUCKET))]


def forget(now: datetime) -> None:
    """What came with opt-outs, and scores, older than any baseline reaches back. The counts themselves are kept."""
    for model in (FacetBucket, BucketScore):
        model.objects.filter(bucket__lt=now - KEPT_FOR).delete()


def _domains(people: set[UUID]) -> dict[UUID, str]:
    domains = {}
    known = Identifier.objects.filter(subject__in=people, kind=Identifier.Kind.EMAIL, sealed__isnull=False)
    for subject_id, sealed in known.order_by("created_at", "pk").values_list("subject_id", "sealed"):
        try:
            domains[subject_id] = unseal(Identifier.Kind.EMAIL, bytes(sealed or b"")).rpartition("@")[2]
        except InvalidTag:  # sealed by another key
            continue
    return domains
