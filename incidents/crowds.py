"""What others did in the same minutes: choices by one client, presses by the recipients of one mail domain.

Only the minutes that somebody asks about are looked at, however far they lie apart.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from django.db import connection

from consent import causes
from consent.exit_paths import ONE_CLICK, PREFERENCE_PAGE
from consent.identifiers import unseal
from consent.models import FeedCursor

MOST_IN_A_MINUTE = 5_000  # presses of which the domain is asked, the first of them
BY_LINK = (ONE_CLICK, PREFERENCE_PAGE)

# Those that may be assessed are in the batch that is being read, or were counted before.
MAY_ASSESS = "(d.id = ANY (%(ids)s) OR (d.tx, d.id) <= (%(tx)s, %(decision)s))"
IN_MINUTE = "d.received_at >= u.minute AND d.received_at < u.minute + interval '1 minute'"
CLIENTS = f"""
    SELECT d.actor, u.minute, array_agg(d.decided_at ORDER BY d.decided_at), array_agg(d.id) FILTER (WHERE {MAY_ASSESS})
      FROM unnest(%(minutes)s::timestamptz[]) AS u(minute) JOIN consent_decision d ON {IN_MINUTE}
     WHERE d.choice = 'opt_out' AND d.actor = ANY (%(actors)s)
     GROUP BY 1, 2 HAVING count(*) >= %(many)s
"""
RECIPIENTS = f"""
    SELECT p.* FROM unnest(%(minutes)s::timestamptz[]) AS u(minute) CROSS JOIN LATERAL (
      SELECT d.id, u.minute, m.sealed_recipient, {MAY_ASSESS}
        FROM consent_decision d JOIN messaging_message m ON m.id = d.message_id
       WHERE {IN_MINUTE} AND d.choice = 'opt_out'
         AND d.exit_path = ANY (%(paths)s) AND m.sealed_recipient IS NOT NULL AND m.channel = 'email'
       ORDER BY d.id LIMIT %(most)s) p
"""


@dataclass(slots=True)
class Crowd:
    """`members`: decisions of a crowd that may be assessed, also those that nobody asked about."""

    by_client: dict[tuple[str, datetime], list[datetime]]
    domain_of: dict[int, tuple[datetime, str]]
    at_domain: Counter[tuple[datetime, str]]
    members: set[int]


def crowd_in(
    minutes: Collection[datetime], clients: Collection[str], *, by_link: bool, cursor: FeedCursor, uncounted: set[int]
) -> Crowd:
    """In these minutes (their beginnings): choices of these clients, and presses by link if that is asked."""
    asked: dict[str, Any] = {
        "ids": list(uncounted),
        "tx": cursor.tx,
        "decision": cursor.decision,
        "minutes": sorted(minutes),
        "actors": sorted(clients),
        "many": causes.MANY_BY_CLIENT,
        "paths": list(BY_LINK),
        "most": MOST_IN_A_MINUTE,
    }
    crowd = Crowd({}, {}, Counter(), set())
    with connection.cursor() as sql:
        if clients:
            sql.execute(CLIENTS, asked)
            for actor, minute, decided, members in sql.fetchall():
                crowd.by_client[actor, minute] = decided
                crowd.members |= set(members or ())
        if by_link:
            sql.execute(RECIPIENTS, asked)
            _count_domains(crowd, sql.fetchall())
    return crowd


def _count_domains(crowd: Crowd, pressed: Sequence[tuple[int, datetime, bytes, bool]]) -> None:
    """An address is opened for its domain, in memory, and only where enough pressed for it to tell something."""
    in_minute = Counter(minute for _, minute, _, _ in pressed)
    members: defaultdict[tuple[datetime, str], set[int]] = defaultdict(set)
    for decision, minute, sealed, may_assess in pressed:
        if in_minute[minute] < causes.MANY_AT_DOMAIN:
            continue
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
