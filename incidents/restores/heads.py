"""How far the database has come, in a form that tells a later look whether it is still the same one.

Numbers alone do not: a copy goes on counting, and soon has handed the same ones out again. So a head is a row's number
with what no second row of that number would have: transaction and moment of a decision, leaf hash of a version.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from django.db import connection

from incidents.models import Restore

# Tables that count their rows: what they had handed out, so that a report can say how much is gone. Each by its index.
COUNTED = {
    "decisions": ("consent_decision", "id"),
    "merges of people": ("consent_subjectmerge", "id"),
    "privacy requests": ("consent_privacyrequest", "id"),
    "reported contacts": ("messaging_contact", "id"),
    "attempts to send": ("messaging_deliveryattempt", "id"),
    "incidents": ("incidents_incident", "id"),
    "lines of timelines": ("incidents_timelineentry", "id"),
}
HEADS = f"""
    SELECT clock_timestamp()::text,
           (SELECT system_identifier::text FROM pg_control_system()),
           (SELECT timeline_id FROM pg_control_checkpoint()),
           (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint,
           (SELECT jsonb_build_array(id, tx, received_at::text) FROM consent_decision
             ORDER BY tx DESC, id DESC LIMIT 1),
           (SELECT jsonb_build_array(history_id, encode(leaf_hash, 'hex')) FROM consent_historicalconsent
             ORDER BY history_id DESC LIMIT 1),
           (SELECT max(received_at)::text FROM (
              SELECT received_at FROM consent_decision ORDER BY tx DESC, id DESC LIMIT 100) newest),
           jsonb_build_object({", ".join(f"'{name}', (SELECT max({key}) FROM {table})"
                                         for name, (table, key) in COUNTED.items())})
"""  # fmt: skip
HAS_DECISION = (
    "SELECT EXISTS (SELECT FROM consent_decision WHERE id = %s AND tx = %s AND received_at = %s::timestamptz)"
)
HAS_VERSION = """
    SELECT EXISTS (SELECT FROM consent_historicalconsent WHERE history_id = %s AND leaf_hash = decode(%s, 'hex'))
"""
# The newest event that each service said it took: it stands in the service's own log, whatever becomes of ours.
TOLD = """
    SELECT e.name, 'msg_' || replace(d.id::text, '-', '') FROM messaging_endpoint e
      CROSS JOIN LATERAL (
        SELECT id FROM (
          SELECT id, state, created_at FROM messaging_webhookdelivery
           WHERE endpoint_id = e.id ORDER BY created_at DESC, id DESC LIMIT 200) recent
         WHERE state = 'delivered' ORDER BY created_at DESC, id DESC LIMIT 1) d
     WHERE e.state <> 'retired'
"""


@dataclass(frozen=True, slots=True)
class Heads:
    """`decision`: number, transaction, moment of receipt; `version`: number, leaf hash in hexadecimal; None: there is
    none. `transaction`: the next one to begin. `numbers`: the highest of each table. `epoch`: empty at first.
    """

    at: str
    epoch: str
    system: str
    timeline: int
    transaction: int
    decision: tuple[int, int, str] | None
    version: tuple[int, str] | None
    newest_at: str | None
    numbers: dict[str, int | None]
    told: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Self:
        """Raises TypeError for what `as_json` did not make."""
        decision, version = facts["decision"], facts["version"]
        return cls(
            **{**facts, "decision": decision and tuple(decision), "version": version and tuple(version)},
        )

    @property
    def counter_is_behind(self) -> bool:
        """The log holds a transaction that is yet to come here: it was loaded into another server. Whoever reads below
        the running ones sees nothing new until the counter has passed it."""
        return self.decision is not None and self.decision[1] >= self.transaction


def read() -> Heads:
    with connection.cursor() as cursor:
        cursor.execute(HEADS)
        at, system, timeline, transaction, decision, version, newest_at, numbers = cursor.fetchone()
        cursor.execute(TOLD)
        told = dict(cursor.fetchall())
    return Heads.of(
        {
            "at": at, "epoch": epoch(), "system": system, "timeline": timeline, "transaction": transaction,
            "decision": decision and json.loads(decision), "version": version and json.loads(version),
            "newest_at": newest_at, "numbers": json.loads(numbers), "told": told,
        }
    )  # fmt: skip


def epoch() -> str:
    """Of the newest restore; empty before the first."""
    newest = Restore.objects.order_by("-pk").values_list("epoch", flat=True).first()
    return str(newest) if newest else ""


def is_behind(mark: Heads) -> bool:
    """The database does not hold what it held when the mark was written. A mark of an earlier life that this database
    knows of was dealt with, and says nothing."""
    if mark.epoch != epoch():
        return bool(mark.epoch) and not Restore.objects.filter(epoch=mark.epoch).exists()
    with connection.cursor() as cursor:
        for head, query in ((mark.decision, HAS_DECISION), (mark.version, HAS_VERSION)):
            if head is not None:
                cursor.execute(query, head)
                if not cursor.fetchone()[0]:
                    return True
    return False


def lost(mark: Heads, here: Heads, put_back: int) -> dict[str, int]:
    """How many numbers of each kind the copy does not have, without the opt-outs that were put back. A number that was
    never used counts too: it is an upper bound."""
    gone = {name: (number or 0) - (here.numbers.get(name) or 0) for name, number in mark.numbers.items()}
    gone["decisions"] = gone.get("decisions", 0) - put_back
    return {name: count for name, count in gone.items() if count > 0}
