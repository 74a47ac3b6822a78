"""The timeline: lines that are only added, numbered without a gap, told together with what was tied per minute."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from consent.models import Cause, Choice
from incidents import chain
from incidents.models import Incident, TimelineEntry

Kind, Source = TimelineEntry.Kind, TimelineEntry.Source

# Entries and rollups are two tables with one order: (moment, rank, number). Rank puts a minute before its lines. Each
# half begins at the place itself, by its index, and gives no more than a page.
STORY = """
    SELECT moment, rank, number, id, exit_path, choice, cause, count FROM (
      (SELECT occurred_at AS moment, 1 AS rank, seq AS number, id, '' AS exit_path, '' AS choice, '' AS cause,
              0 AS count
         FROM incidents_timelineentry
        WHERE incident_id = %(incident)s AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s)) {entries}
        ORDER BY occurred_at {direction}, seq {direction} {limit})
      UNION ALL
      (SELECT minute, 0, id, id, exit_path, choice, cause, count
         FROM incidents_decisionrollup
        WHERE incident_id = %(incident)s AND (%(kinds)s::text[] IS NULL OR 'decisions' = ANY (%(kinds)s)) {rollups}
        ORDER BY minute {direction}, id {direction} {limit})
    ) lines ORDER BY moment {direction}, rank {direction}, number {direction} {limit}
"""
BEYOND = "AND {moment} {sign}= %(moment)s AND ({moment}, {rank}, {number}) {sign} (%(moment)s, %(rank)s, %(number)s)"
AT_A_TIME = 500  # entries
PLACE = re.compile(r"([0-9]{1,11})-([0-9]{1,6})-([01])-([0-9]{1,18})")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a page ends. Lines that are added meanwhile do not move it."""

    moment: datetime
    rank: int
    number: int

    def __str__(self) -> str:
        return f"{int(self.moment.timestamp())}-{self.moment.microsecond}-{self.rank}-{self.number}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Raises ValueError when it is not one of ours."""
        if not (match := PLACE.fullmatch(text)):
            raise ValueError("No such place in a timeline.")
        seconds, micros, rank, number = (int(part) for part in match.groups())
        return cls(datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micros), rank, number)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the story: an entry, or the decisions of one minute, way out, choice and cause."""

    place: Place
    entry: TimelineEntry | None = None
    exit_path: str = ""
    choice: str = ""
    cause: str = ""
    count: int = 0
    is_superseded: bool = False

    @property
    def text(self) -> str:
        if self.entry:
            return self.entry.text
        what = "opt-out" if self.choice == Choice.OPT_OUT else "opt-in"
        way = f" by {self.exit_path}" if self.exit_path else ", way out not named"
        cause = Cause(self.cause).label if self.cause in Cause.values else self.cause
        return f"{self.count:,} {what}{'' if self.count == 1 else 's'}{way}: {cause}"

    @property
    def was_written_later(self) -> bool:
        return self.entry is not None and self.entry.recorded_at - self.entry.occurred_at > timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewLine:
    """What `append_many` writes; its words are ours, and hold nothing that a line may not."""

    incident_id: int
    kind: str
    text: str
    occurred_at: datetime
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    lines: list[Line]
    next: Place | None


def append(
    incident: Incident,
    kind: str,
    text: str,
    *,
    source: str,
    actor: str,
    occurred_at: datetime | None = None,
    **facts: Any,
) -> TimelineEntry:
    """Add a line. The incident's row lock makes its number: two writers at once get two, and none is left out.

    `facts` are further columns of the line: old, new, supersedes, pins, evidence, evidence_digest, skew_ms. Where
    something happened later than now, the teller's clock is ahead, and the line is marked so.
    """
    with transaction.atomic():
        Incident.objects.select_for_update(no_key=True).only("pk").get(pk=incident.pk)
        last = TimelineEntry.objects.filter(incident=incident).order_by("-seq").only("seq", "digest").first()
        now = timezone.now()
        if occurred_at and facts.get("skew_ms") is None:
            facts["skew_ms"] = _ahead(occurred_at, now)
        entry = TimelineEntry(
            incident=incident,
            seq=last.seq + 1 if last else 1,
            kind=kind,
            text=text,
            source=source,
            actor=actor,
            occurred_at=occurred_at or now,
            recorded_at=now,
            prev_digest=bytes(last.digest) if last else b"",
            **facts,
        )
        entry.full_clean(exclude=["incident", "seq", "prev_digest", "digest"])
        entry.digest = chain.digest_of(entry)
        entry.save()
    return entry


@transaction.atomic
def append_many(lines: Sequence[NewLine], *, source: str, actor: str) -> None:
    """Add lines of several incidents at once, numbered in the order given: a storm of news costs three statements."""
    touched = {line.incident_id for line in lines}
    incidents = Incident.objects.select_for_update(no_key=True).filter(pk__in=touched).order_by("pk")
    list(incidents.values_list("pk", flat=True))
    newest = TimelineEntry.objects.filter(incident__in=touched).order_by("incident_id", "-seq").distinct("incident_id")
    last = {entry.incident_id: entry for entry in newest.only("incident", "seq", "digest")}
    now, entries = timezone.now(), []
    for line in lines:
        before = last.get(line.incident_id)
        entry = TimelineEntry(
            incident_id=line.incident_id,
            seq=before.seq + 1 if before else 1,
            kind=line.kind,
            text=line.text,
            old=line.old,
            new=line.new,
            source=source,
            actor=actor,
            occurred_at=line.occurred_at,
            recorded_at=now,
            skew_ms=_ahead(line.occurred_at, now),
            prev_digest=bytes(before.digest) if before else b"",
        )
        entry.digest = chain.digest_of(entry)
        last[line.incident_id] = entry
        entries.append(entry)
    TimelineEntry.objects.bulk_create(entries)


def _ahead(occurred_at: datetime, now: datetime) -> int | None:
    """Milliseconds, up to the next whole one; None for a clock that is not ahead."""
    return math.ceil((occurred_at - now) / timedelta(milliseconds=1)) if occurred_at > now else None


def correct(
    entry: TimelineEntry, text: str, *, source: str, actor: str, occurred_at: datetime | None = None
) -> TimelineEntry:
    """Put a line right by a new one that supersedes it; the old one stays, struck out. Only the newest is corrected."""
    if TimelineEntry.objects.filter(supersedes=entry).exists():
        raise ValidationError("This line was corrected already: correct the newer one.", code="corrected")
    return append(
        entry.incident,
        entry.kind,
        text,
        source=source,
        actor=actor,
        occurred_at=occurred_at or entry.occurred_at,
        old=entry.old,
        new=entry.new,
        supersedes=entry,
    )


def pin(entry: TimelineEntry, *, source: str, actor: str) -> TimelineEntry:
    """Keep a line in sight, or let it go where it is pinned: told by a line of its own, since no line changes."""
    new = "" if is_pinned(entry) else "pinned"
    text = f"Line {entry.seq} is {'kept in sight' if new else 'no longer kept in sight'}."
    return append(entry.incident, Kind.PIN, text, source=source, actor=actor, new=new, pins=entry)


def is_pinned(entry: TimelineEntry) -> bool:
    newest = TimelineEntry.objects.filter(pins=entry).order_by("-seq").first()
    return newest is not None and newest.new == "pinned"


def pinned(incident: Incident, most: int = 25) -> list[TimelineEntry]:
    """The lines that are kept in sight, in the order of what happened. One query."""
    said = TimelineEntry.objects.filter(incident=incident, kind=Kind.PIN)
    newest = said.order_by("pins_id", "-seq").distinct("pins_id").values("pk")
    kept = TimelineEntry.objects.filter(pk__in=newest, new="pinned").values("pins")
    return list(TimelineEntry.objects.filter(pk__in=kept).order_by("occurred_at", "seq")[:most])


def story(
    incident: Incident,
    after: Place | None = None,
    *,
    size: int = 25,
    newest_first: bool = True,
    kinds: Sequence[str] = (),
) -> Story:
    """One page of the whole story, or of the lines of some kinds, in order. `next` is where the following page goes
    on, or nothing at its end. Raises ValueError for a kind that does not exist."""
    if unknown := set(kinds) - set(Kind.values):
        raise ValueError(f"No such kind of line: {', '.join(sorted(unknown))}.")
    direction, sign = ("DESC", "<") if newest_first else ("ASC", ">")
    facts: dict[str, Any] = {"incident": incident.pk, "size": size + 1, "kinds": list(kinds) or None}
    entries = rollups = ""
    if after:
        facts |= {"moment": after.moment, "rank": after.rank, "number": after.number}
        entries = BEYOND.format(moment="occurred_at", rank=1, number="seq", sign=sign)
        rollups = BEYOND.format(moment="minute", rank=0, number="id", sign=sign)
    query = STORY.format(direction=direction, entries=entries, rollups=rollups, limit="LIMIT %(size)s")
    rows = _rows(query, facts)
    lines = _lines(rows[:size])
    return Story(lines, lines[-1].place if len(rows) > size else None)


def whole(incident: Incident) -> Iterator[Line]:
    """All of the story as it stands at one moment, oldest first. Nothing is locked, and no transaction is needed: one
    statement finds what belongs to it, and what has been written does not change."""
    rows = _rows(
        STORY.format(direction="ASC", entries="", rollups="", limit=""), {"incident": incident.pk, "kinds": None}
    )
    newest = max((row[3] for row in rows if row[1] == 1), default=0)
    for start in range(0, len(rows), AT_A_TIME):
        yield from _lines(rows[start : start + AT_A_TIME], newest)


def _rows(query: str, facts: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, facts)
        return cursor.fetchall()


def _lines(rows: Sequence[tuple[Any, ...]], newest: int | None = None) -> list[Line]:
    """`newest`: what a later entry says of them is not known yet."""
    ids = [row[3] for row in rows if row[1] == 1]
    entries = TimelineEntry.objects.select_related("supersedes", "pins").in_bulk(ids) if ids else {}
    corrections = TimelineEntry.objects.filter(supersedes__in=ids)
    if newest is not None:
        corrections = corrections.filter(pk__lte=newest)
    superseded = set(corrections.values_list("supersedes_id", flat=True)) if ids else set()
    return [
        Line(Place(moment, rank, number), entries[pk], is_superseded=pk in superseded)
        if rank
        else Line(Place(moment, rank, number), None, exit_path, choice, cause, count)
        for moment, rank, number, pk, exit_path, choice, cause, count in rows
    ]
