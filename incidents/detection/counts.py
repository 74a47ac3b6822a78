"""Opt-outs per five minutes, folded from the log with a cursor of their own; canaries and repairs are not counted.

What came with an opt-out (mail domain, network, client) is counted by keyed hash. A network is known only where a
service put `ip` into the evidence; an address is never copied, and what is missing is counted in fewer kinds.
"""

import hmac
import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.db import connection
from django.db.models import Sum

from config.keys import derive
from consent import feed
from consent.identifiers import unseal
from consent.models import Cause, Choice, Decision, Evidence, Identifier, Subject
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.models import BucketScore, FacetBucket, RateBucket, Series

READER = "rates"
KEPT_FOR = timedelta(weeks=9)
Kind = FacetBucket.Kind

GROUPS: Mapping[str, tuple[str, ...]] = {
    "choice": (Cause.SUBJECT_CHOICE, Cause.INCIDENT_NOTICE, Cause.PREFERENCE_SIGNAL, Cause.KEYWORD),
    "complaint": (Cause.COMPLAINT,),
    "desk": (Cause.PRIVACY_REQUEST, Cause.AGENT, Cause.SUPPORT),
    "machine": (Cause.AUTOMATED_SCRIPT, Cause.SCANNER_SUSPECTED),
    "records": (Cause.IMPORT, Cause.DEFAULT),
}
GROUP_OF = {str(cause): group for group, causes in GROUPS.items() for cause in causes}

ADD = """
    INSERT INTO incidents_ratebucket AS r (bucket, purpose, channel, cause, exit_path, count)
    SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[])
    ON CONFLICT (bucket, purpose, channel, cause, exit_path) DO UPDATE SET count = r.count + EXCLUDED.count
"""
ADD_FACETS = """
    INSERT INTO incidents_facetbucket AS f (bucket, purpose, channel, kind, label, count)
    SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[])
    ON CONFLICT (bucket, purpose, channel, kind, label) DO UPDATE SET count = f.count + EXCLUDED.count
"""
ADD_SERIES = """
    INSERT INTO incidents_series (purpose, channel, "group", first_at, up, down, expected_down)
    SELECT s.*, 0, 0, 0 FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[]) AS s
    ON CONFLICT (purpose, channel, "group") DO NOTHING
"""


def fold(limit: int = 1000) -> int:
    """Count what the log has news of; returns how many decisions were looked at."""
    with feed.reading(READER, limit) as decisions:
        opt_outs = real_opt_outs(decisions)
        counts = Counter((bucket_of(d.received_at), d.purpose, d.channel, d.cause, d.exit_path) for d in opt_outs)
        facets: Counter[tuple[datetime, str, str, str, str]] = Counter()
        for decision, kind, name in facets_of([d for d in opt_outs if GROUP_OF[d.cause] != "records"]):
            facets[bucket_of(decision.received_at), decision.purpose, decision.channel, kind, label_of(kind, name)] += 1
        _add_series(counts)
        _add(ADD, counts)
        _add(ADD_FACETS, facets)
        return len(decisions)


def real_opt_outs(decisions: Sequence[Decision]) -> list[Decision]:
    """Without those of canaries, and without what a merge restated: it was counted when it was made."""
    found = [d for d in decisions if d.choice == Choice.OPT_OUT and d.cause in GROUP_OF]
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


def of_series(series: Series, since: datetime, until: datetime) -> dict[datetime, int]:
    """Count of each bucket from `since` up to `until` (not included) in which there was one."""
    rows = RateBucket.objects.filter(
        bucket__gte=since,
        bucket__lt=until,
        purpose=series.purpose,
        channel=series.channel,
        cause__in=GROUPS.get(series.group, ()),
    )
    return dict(rows.values_list("bucket").annotate(n=Sum("count")))


def busy_series(bucket: datetime) -> dict[int, int]:
    """Each series with a count in this bucket, and how many. Two statements."""
    found: Counter[tuple[str, str, str]] = Counter()
    rows = RateBucket.objects.filter(bucket=bucket).values_list("purpose", "channel", "cause", "count")
    for purpose, channel, cause, count in rows:
        if group := GROUP_OF.get(cause):
            found[purpose, channel, group] += count
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
    """Counts and scores older than any baseline reaches back."""
    for model in (RateBucket, FacetBucket, BucketScore):
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


def _add(sql: str, counts: Mapping[tuple[datetime, str, str, str, str], int]) -> None:
    if counts:
        rows = [(*key, count) for key, count in sorted(counts.items())]
        with connection.cursor() as cursor:
            cursor.execute(sql, [list(column) for column in zip(*rows, strict=True)])


def _add_series(counts: Mapping[tuple[datetime, str, str, str, str], int]) -> None:
    first: dict[tuple[str, str, str], datetime] = {}
    for bucket, purpose, channel, cause, _ in counts:
        key = (purpose, channel, GROUP_OF[cause])
        first[key] = min(bucket, first.get(key, bucket))
    if first:
        rows = [(*key, at) for key, at in sorted(first.items())]
        with connection.cursor() as cursor:
            cursor.execute(ADD_SERIES, [list(column) for column in zip(*rows, strict=True)])
