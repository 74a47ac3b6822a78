"""Looking at decisions once more, for their cause: beside the message, the incidents and the others of that minute.

The reader of the log looks at each opt-out before it counts it. What comes to light later (a gateway's other fetches, a
tie to an incident that was declared late, the sixtieth choice of a script) makes a *second look* at those that were
counted: they get a further assessment, and their counts move to the other cause in the same transaction. No decision
is ever changed. Whoever looks holds the reader's cursor, so that "counted already" is certain.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.db import connection, transaction
from django.utils import timezone

from consent import causes
from consent.causes import Assessment, Facts
from consent.exit_paths import ONE_CLICK, PREFERENCE_PAGE
from consent.identifiers import unseal
from consent.models import Cause, Decision, FeedCursor, LinkFetch
from incidents import counting
from incidents.models import CauseAssessment, DecisionLink, LookCursor

MOST = 5000  # decisions that one look takes in
BACK = timedelta(minutes=15)  # a fetch tells something about presses this long before it
SETTLING = timedelta(seconds=5)  # what was written this long ago is committed, whoever wrote it
BY_LINK = (ONE_CLICK, PREFERENCE_PAGE)

FACTS = """
    SELECT d.id, d.cause, d.confidence, d.reasons, d.exit_path, d.actor, d.message_id, d.received_at,
           coalesce(m.incident_id IS NOT NULL OR m.message_class = 'incident_notice', false),
           CASE WHEN m.state = 'accepted' THEN m.settled_at END,
           EXISTS (SELECT 1 FROM messaging_message n
                    WHERE n.subject_id = d.subject_id AND n.incident_id IS NOT NULL AND n.state = 'accepted'
                      AND n.settled_at BETWEEN d.received_at - interval '7 days' AND d.received_at),
           EXISTS (SELECT 1 FROM incidents_decisionlink l JOIN incidents_incident i ON i.id = l.incident_id
                    WHERE l.decision_id = d.id AND i.mode <> 'drill' AND i.status NOT IN ('declined', 'merged')),
           a.version, a.cause, a.confidence, a.reasons
      FROM consent_decision d
      LEFT JOIN messaging_message m ON m.id = d.message_id
      LEFT JOIN LATERAL (SELECT * FROM incidents_causeassessment c WHERE c.decision_id = d.id
                          ORDER BY c.version DESC LIMIT 1) a ON true
     WHERE d.id = ANY (%s) AND d.choice = 'opt_out' AND d.cause = 'subject_choice' ORDER BY d.id
"""
# Others of the same minutes: those that this look may assess are in the batch, or were counted before.
MAY_ASSESS = "(d.id = ANY (%(ids)s) OR (d.tx, d.id) <= (%(tx)s, %(decision)s))"
CLIENTS = f"""
    SELECT d.actor, date_trunc('minute', d.received_at, 'UTC'), array_agg(d.decided_at ORDER BY d.decided_at),
           array_agg(d.id) FILTER (WHERE {MAY_ASSESS})
      FROM consent_decision d
     WHERE d.received_at >= %(first)s AND d.received_at < %(end)s
       AND d.choice = 'opt_out' AND d.actor = ANY (%(actors)s)
     GROUP BY 1, 2 HAVING count(*) >= %(many)s
"""
RECIPIENTS = f"""
    SELECT d.id, date_trunc('minute', d.received_at, 'UTC'), m.sealed_recipient, {MAY_ASSESS}
      FROM consent_decision d JOIN messaging_message m ON m.id = d.message_id
     WHERE d.received_at >= %(first)s AND d.received_at < %(end)s AND d.choice = 'opt_out'
       AND d.exit_path = ANY (%(paths)s) AND m.sealed_recipient IS NOT NULL AND m.channel = 'email' LIMIT %(most)s
"""


class Row(NamedTuple):
    """A decision as it stands, with its newest assessment."""

    id: int
    cause: str
    confidence: int
    reasons: list[str]
    exit_path: str
    actor: str
    message_id: UUID | None
    received_at: datetime
    used_notice: bool
    accepted_at: datetime | None
    had_notice: bool
    is_inside: bool
    version: int | None
    found_cause: str | None
    found_confidence: int | None
    found_reasons: list[str] | None

    @property
    def is_by_link(self) -> bool:
        return self.exit_path in BY_LINK and self.message_id is not None

    @property
    def standing(self) -> Assessment:
        if self.found_cause is None:
            return Assessment(self.cause, self.confidence, tuple(self.reasons))
        return Assessment(self.found_cause, self.found_confidence or 0, tuple(self.found_reasons or ()))


Changed = Sequence[tuple[Row, Assessment]]


@dataclass(frozen=True, slots=True)
class Fetches:
    first: datetime
    together: int
    hidden: bool


@dataclass(slots=True)
class Crowd:
    """What others did in the same minutes."""

    by_client: dict[tuple[str, datetime], list[datetime]]
    domain_of: dict[int, tuple[datetime, str]]
    at_domain: Counter[tuple[datetime, str]]
    members: set[int]


def assess_new(decisions: Sequence[Decision], cursor: FeedCursor) -> None:
    """Those that the reader has just taken and not counted yet; and who was counted before, where they show why."""
    ids = [d.pk for d in decisions if d.choice == "opt_out" and d.cause == Cause.SUBJECT_CHOICE]
    if ids:
        _assess(ids, cursor, uncounted={d.pk for d in decisions})


def second_look(reader: str, limit: int = MOST) -> int:
    """At what was counted already and has new signs; returns how many signs were looked at. Zero where the reader is
    at work: it sees the signs itself, and what it leaves is looked at next time."""
    with transaction.atomic():
        cursor = FeedCursor.objects.select_for_update(skip_locked=True).filter(reader=reader).first()
        if cursor is None:
            return 0
        ties = _signs(DecisionLink, "linked_at", limit)
        fetches = _signs(LinkFetch, "second", limit)
        ids = {tie.decision_id for tie in ties}
        if fetches:
            since = min(fetch.second for fetch in fetches) - BACK
            messages = {fetch.message_id for fetch in fetches}
            pressed = Decision.objects.filter(received_at__gte=since, message_id__in=messages)
            ids |= set(pressed.values_list("pk", flat=True)[:limit])
        if behind := _behind(cursor, ids):
            _assess(behind, cursor, uncounted=set())
        return len(ties) + len(fetches)


def _signs(model: Any, moment: str, limit: int) -> list[Any]:
    """New rows of a table of signs, in order, once they have settled; the cursor moves over them."""
    place, _ = LookCursor.objects.select_for_update().get_or_create(name=model._meta.label_lower)
    settled = timezone.now() - SETTLING
    rows = model.objects.filter(pk__gt=place.last_id).order_by("pk")[:limit]
    found = list(takewhile(lambda row: getattr(row, moment) < settled, rows))  # none is passed over
    if found:
        place.last_id = found[-1].pk
        place.save()
    return found


def _assess(ids: Iterable[int], cursor: FeedCursor, uncounted: set[int]) -> None:
    rows = _rows(ids)
    if not rows:
        return
    crowd = _crowd(rows, cursor, uncounted)
    if further := crowd.members - {row.id for row in rows}:
        rows += _rows(sorted(further)[:MOST])
    fetches = _fetches(rows)
    changed = [(row, found) for row in rows if (found := causes.assess(_facts(row, crowd, fetches))) != row.standing]
    moved = _counted([(row, found) for row, found in changed if row.id not in uncounted])
    _take_away(moved)
    now = timezone.now()
    CauseAssessment.objects.bulk_create(
        CauseAssessment(
            decision_id=row.id,
            version=(row.version or 0) + 1,
            cause=found.cause,
            confidence=found.confidence,
            reasons=list(found.reasons),
            rules=causes.RULES,
            assessed_at=now,
        )
        for row, found in changed
    )
    counting.count([row.id for row, _ in moved])


def _behind(cursor: FeedCursor, ids: Iterable[int]) -> list[int]:
    """Those that the reader has counted; it looks at the others itself when it comes to them."""
    with connection.cursor() as asked:
        asked.execute(
            "SELECT id FROM consent_decision WHERE id = ANY (%s) AND (tx, id) <= (%s, %s) ORDER BY id",
            [list(ids), cursor.tx, cursor.decision],
        )
        return [number for (number,) in asked.fetchall()]


def _rows(ids: Iterable[int]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(FACTS, [list(ids)])
        return [Row(*row) for row in cursor.fetchall()]


def _crowd(rows: Sequence[Row], cursor: FeedCursor, uncounted: set[int]) -> Crowd:
    moments = [row.received_at for row in rows]
    asked: dict[str, Any] = {
        "ids": list(uncounted),
        "tx": cursor.tx,
        "decision": cursor.decision,
        "first": min(moments).replace(second=0, microsecond=0),
        "end": max(moments).replace(second=0, microsecond=0) + timedelta(minutes=1),
        "actors": sorted({row.actor for row in rows if row.actor.startswith("service:")}),
        "many": causes.MANY_BY_CLIENT,
        "paths": list(BY_LINK),
        "most": MOST,
    }
    crowd = Crowd({}, {}, Counter(), set())
    with connection.cursor() as cursor_:
        if asked["actors"]:
            cursor_.execute(CLIENTS, asked)
            for actor, minute, decided, members in cursor_.fetchall():
                crowd.by_client[actor, minute] = decided
                crowd.members |= set(members or ())
        if any(row.is_by_link for row in rows):
            cursor_.execute(RECIPIENTS, asked)
            _count_domains(crowd, cursor_.fetchall())
    return crowd


def _count_domains(crowd: Crowd, pressed: Sequence[tuple[int, datetime, bytes, bool]]) -> None:
    """An address is opened for its domain, in memory, and only where enough pressed for it to tell something."""
    if len(pressed) < causes.MANY_AT_DOMAIN:
        return
    members: defaultdict[tuple[datetime, str], set[int]] = defaultdict(set)
    for decision, minute, sealed, may_assess in pressed:
        try:
            place = (minute, unseal("email", sealed).rpartition("@")[2])
        except InvalidTag:  # sealed by another key: it tells nothing
            continue
        crowd.domain_of[decision] = place
        crowd.at_domain[place] += 1
        members[place] |= {decision} if may_assess else set()
    for place, number in crowd.at_domain.items():
        if number >= causes.MANY_AT_DOMAIN:
            crowd.members |= members[place]


def _fetches(rows: Sequence[Row]) -> dict[UUID, Fetches]:
    messages = {row.message_id for row in rows if row.is_by_link and row.message_id}
    seen: defaultdict[UUID, list[LinkFetch]] = defaultdict(list)
    for fetch in LinkFetch.objects.filter(message_id__in=messages).order_by("second")[:MOST] if messages else ():
        seen[fetch.message_id].append(fetch)
    return {message: _told(fetches) for message, fetches in seen.items()}


def _told(fetches: Sequence[LinkFetch]) -> Fetches:
    """The most different links within TOGETHER of each other."""
    together = max(
        len({f.link for f in fetches if 0 <= (f.second - start.second).total_seconds() <= causes.TOGETHER})
        for start in fetches
    )
    return Fetches(fetches[0].second, together, any(f.link == LinkFetch.Link.HIDDEN for f in fetches))


def _facts(row: Row, crowd: Crowd, fetches: dict[UUID, Fetches]) -> Facts:
    minute = row.received_at.replace(second=0, microsecond=0)
    seen = fetches.get(row.message_id) if row.message_id else None
    decided = crowd.by_client.get((row.actor, minute), [])
    place = crowd.domain_of.get(row.id)
    return Facts(
        cause=row.cause,
        confidence=row.confidence,
        reasons=row.reasons,
        exit_path=row.exit_path,
        actor=row.actor,
        is_by_link=row.is_by_link,
        used_notice=row.used_notice,
        had_notice=row.had_notice,
        is_inside_incident=row.is_inside,
        since_acceptance=(row.received_at - row.accepted_at).total_seconds() if row.accepted_at else None,
        # A fetch is kept by the second in which it began.
        since_first_fetch=max(0.0, (row.received_at - seen.first).total_seconds()) if seen else None,
        links_together=seen.together if seen else 0,
        hidden_link=seen.hidden if seen else False,
        at_domain=crowd.at_domain[place] if place else 0,
        by_client=len(decided),
        gaps=[(later - earlier).total_seconds() for earlier, later in pairwise(decided)],
    )


def _counted(changed: Changed) -> Changed:
    """Made-up data are counted in other minutes than those of their receipt: what is in no count moves to none."""
    there = counting.counted({row.id: row.standing.cause for row, _ in changed})
    return [(row, found) for row, found in changed if row.id in there]


def _take_away(moved: Changed) -> None:
    standing = [(row, row.standing) for row, _ in moved]
    counting.take_away(
        [(row.id, one.cause, causes.is_unknown(one.cause, one.reasons, row.exit_path)) for row, one in standing]
    )
