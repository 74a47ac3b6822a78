"""Looking at decisions once more, for their cause: beside the message, the incidents and the others of that minute.

The reader of the log looks at each opt-out before it counts it. What comes to light later (a gateway's other fetches, a
tie to an incident that was declared late, the sixtieth choice of a script) makes a *second look* at those that were
counted: they get a further assessment, and their counts move to the other cause in the same transaction. No decision
is ever changed. Whoever looks holds the reader's cursor, so that "counted already" is certain.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from consent import causes
from consent.causes import Assessment, Facts
from consent.models import Cause, Decision, FeedCursor, LinkFetch
from incidents import counting, looking
from incidents.crowds import BY_LINK, Crowd, crowd_in
from incidents.models import Backfill, CauseAssessment, DecisionLink
from incidents.scope import FITS

MOST = 5000  # decisions that one look takes in
BACK = timedelta(minutes=15)  # a fetch tells something about presses this long before it

# To be tied to an incident is a record of when it was, and no reason to leave. Behind a choice is supposed only what
# somebody declared, and said what it is about: an alert in triage has told nobody anything.
FACTS = f"""
    SELECT d.id, d.cause, d.confidence, d.reasons, d.exit_path, d.actor, d.message_id, d.received_at,
           coalesce(m.incident_id IS NOT NULL OR m.message_class = 'incident_notice', false),
           CASE WHEN m.state = 'accepted' THEN m.settled_at END,
           EXISTS (SELECT 1 FROM messaging_message n
                    WHERE n.subject_id = d.subject_id AND n.incident_id IS NOT NULL AND n.state = 'accepted'
                      AND n.settled_at BETWEEN d.received_at - interval '7 days' AND d.received_at),
           EXISTS (SELECT 1 FROM incidents_decisionlink l JOIN incidents_incident i ON i.id = l.incident_id
                    WHERE l.decision_id = d.id AND i.mode <> 'drill'
                      AND i.status NOT IN ('triage', 'declined', 'merged')
                      AND (i.purposes <> '{{}}' OR i.exit_paths <> '{{}}') AND {FITS}),
           a.version, a.cause, a.confidence, a.reasons
      FROM consent_decision d
      LEFT JOIN messaging_message m ON m.id = d.message_id
      LEFT JOIN LATERAL (SELECT * FROM incidents_causeassessment c WHERE c.decision_id = d.id
                          ORDER BY c.version DESC LIMIT 1) a ON true
     WHERE d.id = ANY (%s) AND d.choice = 'opt_out' AND d.cause = 'subject_choice' ORDER BY d.id
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
    is_inside: bool  # of an incident that may be behind it
    version: int | None
    found_cause: str | None
    found_confidence: int | None
    found_reasons: list[str] | None

    @property
    def minute(self) -> datetime:
        return self.received_at.replace(second=0, microsecond=0)

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
        tied = _tied(limit)
        with looking.new_in(LinkFetch, limit) as fetches:
            for behind in _behind(cursor, {*tied, *_pressed(fetches)}):
                _assess(behind, cursor, uncounted=set())
        return len(tied) + len(fetches)


def _tied(limit: int) -> list[int]:
    """What a look back has tied to its incident and nobody has looked at since. What the reader ties it looks at."""
    found: list[int] = []
    owed = Backfill.objects.filter(next_id__gt=F("look_id")).order_by("pk").select_for_update(skip_locked=True)
    while not found and (work := owed.first()):
        links = DecisionLink.objects.filter(
            incident=work.incident_id, decision_id__gte=work.look_id, decision_id__lt=work.next_id
        )
        found = list(links.order_by("decision_id").values_list("decision_id", flat=True)[:limit])
        work.look_id = found[-1] + 1 if len(found) == limit else work.next_id or work.look_id
        work.save(update_fields=["look_id"])
    return found


def _pressed(fetches: Sequence[int]) -> set[int]:
    """Decisions by links of messages that were fetched then, or a little later."""
    seen = LinkFetch.objects.filter(pk__in=fetches).values_list("message_id", "second") if fetches else ()
    if not seen:
        return set()
    since = min(second for _, second in seen) - BACK
    pressed = Decision.objects.filter(received_at__gte=since, message_id__in={message for message, _ in seen})
    return set(pressed.values_list("pk", flat=True))


def _assess(ids: Iterable[int], cursor: FeedCursor, uncounted: set[int]) -> None:
    rows = _rows(ids)
    if not rows:
        return
    crowd = crowd_in(
        {row.minute for row in rows},
        {row.actor for row in rows if row.actor.startswith("service:")},
        by_link=any(row.is_by_link for row in rows),
        cursor=cursor,
        uncounted=uncounted,
    )
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


def _behind(cursor: FeedCursor, ids: Iterable[int]) -> list[list[int]]:
    """Those that the reader has counted, day by day; it looks at the others itself when it comes to them."""
    with connection.cursor() as asked:
        asked.execute(
            "SELECT id, date_trunc('day', received_at, 'UTC') FROM consent_decision"
            " WHERE id = ANY (%s) AND (tx, id) <= (%s, %s) ORDER BY 2, 1",
            [list(ids), cursor.tx, cursor.decision],
        )
        days = groupby(asked.fetchall(), key=itemgetter(1))
        return [[number for number, _ in of_day] for _, of_day in days]


def _rows(ids: Iterable[int]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(FACTS, [list(ids)])
        return [Row(*row) for row in cursor.fetchall()]


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
    seen = fetches.get(row.message_id) if row.message_id else None
    decided = crowd.by_client.get((row.actor, row.minute), [])
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
