"""Sends and other markers: reported by services, or found among our own bulk messages, and what the next leads to."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from consent.models import ANY, Channel, Purpose
from incidents.detection.baseline import BUCKET, Effect, bucket_of
from incidents.models import DetectionCursor, Marker
from incidents.models.incident import SKEW

OWN = "system:messaging"
SETTLED = timedelta(minutes=2)  # a bulk that is written down commits within that
FURTHEST_BACK = timedelta(hours=24)

# Our own bulks of the buckets that have closed, by what they are about: the index on created_at bounds the look.
BULKS = """
    SELECT template_key, purpose, channel, coalesce(incident_id, 0), date_bin('5 minutes', created_at, '2000-01-01Z'),
           count(*)
      FROM messaging_message
     WHERE lane = 'bulk' AND purpose <> '' AND created_at >= %s AND created_at < %s GROUP BY 1, 2, 3, 4, 5
"""


def mark(kind: str, title: str, *, at: datetime, source: str, key: str, **facts: object) -> tuple[Marker, bool]:
    """Write down what happened, once per (source, key); False where it was known. Raises ValidationError by field."""
    if known := Marker.objects.filter(source=source, key=key).first():
        if known.kind != kind:
            raise ValidationError({"key": f"This key was used for another report: {known.get_kind_display()}."})
        return known, False
    if at > timezone.now() + SKEW:
        raise ValidationError({"at": "This lies in the future. Report it when it begins."})
    marker = Marker(kind=kind, title=title, at=at, source=source, key=key, **facts)
    _check_scope(marker)
    marker.full_clean()
    try:
        with transaction.atomic():
            marker.save()
    except IntegrityError:  # somebody was quicker
        return Marker.objects.get(source=source, key=key), False
    return marker, True


def _check_scope(marker: Marker) -> None:
    if marker.purpose and marker.purpose != ANY and not Purpose.objects.filter(pk=marker.purpose).exists():
        raise ValidationError({"purpose": f"Not registered: {marker.purpose}."})
    if marker.channel and marker.channel not in (*Channel.values, ANY):
        raise ValidationError({"channel": "Name a known channel, or * for all."})


@transaction.atomic
def fold_own(now: datetime) -> int:
    """Our own bulk messages as sends: one per template, incident and five minutes; returns how many were marked."""
    DetectionCursor.objects.get_or_create(name="own-sends")
    cursor = DetectionCursor.objects.select_for_update(skip_locked=True).filter(name="own-sends").first()
    until = bucket_of(now - SETTLED)
    if cursor is None or (cursor.moment and cursor.moment >= until):
        return 0
    since = max(cursor.moment or until - BUCKET, until - FURTHEST_BACK)
    with connection.cursor() as sql:
        sql.execute(BULKS, [since, until])
        rows = sql.fetchall()
    Marker.objects.bulk_create(
        [
            Marker(
                kind=Marker.Kind.SEND,
                title=f"{template} to {count:,} people",
                at=at,
                size=count,
                purpose=purpose,
                channel=channel,
                family=template,
                source=OWN,
                key=f"{template}:{purpose}:{incident}:{at.isoformat()}",
            )
            for template, purpose, channel, incident, at, count in rows
        ],
        ignore_conflicts=True,
    )
    cursor.moment = cursor.advanced_at = until
    cursor.save()
    return len(rows)


def sends_of(purpose: str, channel: str, since: datetime, until: datetime) -> list[Marker]:
    """Sends about this purpose and channel that began in between."""
    found = Marker.objects.filter(kind=Marker.Kind.SEND, at__gte=since, at__lt=until).order_by("at", "pk")
    scopes = {(purpose, channel), (ANY, channel), (purpose, ANY), (ANY, ANY)}
    return [m for m in found if (m.purpose, m.channel) in scopes or ANY in (purpose, channel)]


def effects(sends: Sequence[Marker], learnt: Mapping[str, Sequence[float]]) -> list[Effect]:
    """What each is expected to lead to: by what its family taught, else by what all sends did."""
    return [Effect(send.at, send.size, *learnt.get(send.family, learnt[""])) for send in sends]
