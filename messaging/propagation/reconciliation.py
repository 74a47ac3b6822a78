"""Do both sides agree? How far behind each endpoint is, and a digest per purpose and channel that it can compute too.

The digest is the XOR of SHA-256("{subject}|{purpose}|{channel}|{state}") over the keys that have a state, in
hexadecimal: it needs no order, and a change is one XOR out and one in. Records that were merged into another
are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from config.models import User
from consent import feed
from consent.services import actor_of
from messaging.models import Endpoint, Reconciliation
from messaging.propagation.fanout import READER, WANTED

COUNTED_TO = 10_000
FINDINGS_KEPT = 200

BEHIND = """
    SELECT e.id, owed.count, owed.oldest, failed.count, coalesce(newest.outcome, '')
      FROM messaging_endpoint e
      CROSS JOIN LATERAL (
        SELECT count(*), min(occurred_at) AS oldest FROM (
          SELECT occurred_at FROM messaging_webhookdelivery d
           WHERE d.endpoint_id = e.id AND d.state IN ('due', 'retry_wait')
           UNION ALL
          SELECT occurred_at FROM messaging_webhookdelivery d WHERE d.endpoint_id = e.id AND d.state = 'sending'
           LIMIT %(most)s) o) owed
      CROSS JOIN LATERAL (
        SELECT count(*) FROM (
          SELECT 1 FROM messaging_webhookdelivery d WHERE d.endpoint_id = e.id AND d.state = 'failed' LIMIT %(most)s) f
      ) failed
      LEFT JOIN LATERAL (
        SELECT r.outcome FROM messaging_reconciliation r WHERE r.endpoint_id = e.id ORDER BY r.id DESC LIMIT 1
      ) newest ON true
     WHERE e.id = ANY (%(endpoints)s)
"""
DIGESTS = f"""
    SELECT c.purpose, c.channel,
           count(*) FILTER (WHERE c.state = 'opt_out'), count(*) FILTER (WHERE c.state = 'opt_in'),
           bit_xor(('x' || encode(sha256(convert_to(
             concat_ws('|', c.subject_id, c.purpose, c.channel, c.state), 'UTF8')), 'hex'))::bit(256))
      FROM consent_consent c
      JOIN consent_subject s ON s.id = c.subject_id AND s.merged_into_id IS NULL
      JOIN messaging_endpoint e ON e.id = %s AND {WANTED.format("c")}
     WHERE c.state IS NOT NULL
     GROUP BY c.purpose, c.channel ORDER BY c.purpose, c.channel
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Owed and given-up deliveries, counted to ten thousand; `oldest`: when the oldest of what is owed changed.
    `compared`: the outcome of the newest comparison, empty without one.
    """

    behind: int = 0
    oldest: datetime | None = None
    failed: int = 0
    compared: str = ""

    @property
    def differs(self) -> bool:
        return self.compared == Reconciliation.Outcome.DIFFERS

    def in_words(self) -> str:
        if self.differs:
            return "differs" + (f", behind by {self.behind}" if self.behind else "")
        if self.behind or self.failed:
            failed = f", {self.failed} given up" if self.failed else ""
            return f"behind by {self.behind}{failed}"
        return "in step"


@dataclass(frozen=True, slots=True)
class Digest:
    """What is held for one purpose and channel."""

    purpose: str
    channel: str
    opted_out: int
    opted_in: int
    digest: str

    @property
    def key(self) -> tuple[str, str]:
        return self.purpose, self.channel

    def as_json(self) -> dict[str, Any]:
        return {"opted_out": self.opted_out, "opted_in": self.opted_in, "digest": self.digest}


def standings(endpoint_ids: Sequence[int]) -> dict[int, Standing]:
    """How far behind each endpoint is. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(BEHIND, {"endpoints": list(endpoint_ids), "most": COUNTED_TO})
        return {endpoint_id: Standing(*facts) for endpoint_id, *facts in cursor.fetchall()}


def standing_of(endpoint: Endpoint) -> Standing:
    return standings([endpoint.pk]).get(endpoint.pk, Standing())


def unread() -> int:
    """Changes that nobody was told of yet, because the reader of the log has not come so far."""
    return feed.lag(READER)


def digests(endpoint: Endpoint) -> list[Digest]:
    """What is held here of what the endpoint is told. Reads every key: for a comparison, not for every minute."""
    with connection.cursor() as cursor:
        cursor.execute(DIGESTS, [endpoint.pk])
        rows = cursor.fetchall()
    return [Digest(purpose, channel, out, in_, f"{int(bits, 2):064x}") for purpose, channel, out, in_, bits in rows]


@transaction.atomic
def compare(endpoint: Endpoint, theirs: Sequence[Digest], *, by: User | str) -> Reconciliation:
    """Hold what a service says that it holds against what is held here, and keep the result."""
    behind = standing_of(endpoint).behind + unread()
    held, told = {d.key: d for d in digests(endpoint)}, {d.key: d for d in theirs}
    findings = [
        {
            "purpose": purpose,
            "channel": channel,
            "ours": held[purpose, channel].as_json() if (purpose, channel) in held else None,
            "theirs": told[purpose, channel].as_json() if (purpose, channel) in told else None,
        }
        for purpose, channel in sorted(held.keys() | told.keys())
        if held.get((purpose, channel)) != told.get((purpose, channel))
    ]
    Outcome = Reconciliation.Outcome
    outcome = Outcome.IN_STEP if not findings else Outcome.UNMEASURED if behind else Outcome.DIFFERS
    return Reconciliation.objects.create(
        endpoint=endpoint,
        outcome=outcome,
        behind=behind,
        findings=findings[:FINDINGS_KEPT],
        compared_at=timezone.now(),
        compared_by=actor_of(by),
    )
