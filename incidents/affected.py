"""Whom and what an incident touched: counted, sealed so that it can be proved later, and told as before → after.

A digest is SHA-256 over the ids of a set: sorted, as text, joined by single line ends, none after the last. Decision
ids are decimal numbers in their numeric order, people and messages UUIDs in lower case. Somebody who holds the ids
makes the same digest with `printf '%s' "$(sort … )" | sha256sum`. The set of `as_of` is every tie whose `linked_at` is
not later: ties are made under the incident's row lock, which a seal holds too, so none appears in between.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from config.models import User
from consent.models import Cause, Choice
from consent.services import actor_of
from incidents import timeline
from incidents.changing import locked, why
from incidents.models import AffectedSet, Incident
from incidents.timeline import Kind, Source

MOST = 10_000  # ties that a page counts effects over; a review counts all

# Three sets, each counted and digested by the database. A message belongs to the incident that it is about, or whose
# tied decision it confirms.
SEAL = """
    WITH ties AS (
      SELECT decision_id, subject_id FROM incidents_decisionlink
       WHERE incident_id = %(incident)s AND linked_at <= %(as_of)s
    ), people AS (SELECT DISTINCT subject_id FROM ties
    ), mails AS (
      SELECT id FROM messaging_message WHERE decision_id IN (SELECT decision_id FROM ties) AND created_at <= %(as_of)s
      UNION
      SELECT id FROM messaging_message WHERE incident_id = %(incident)s AND created_at <= %(as_of)s
    )
    SELECT (SELECT count(*) FROM ties),
           (SELECT sha256(convert_to(coalesce(string_agg(decision_id::text, E'\\n' ORDER BY decision_id), ''), 'UTF8'))
              FROM ties),
           (SELECT count(*) FROM people),
           (SELECT sha256(convert_to(coalesce(string_agg(subject_id::text, E'\\n' ORDER BY subject_id), ''), 'UTF8'))
              FROM people),
           (SELECT count(*) FROM mails),
           (SELECT sha256(convert_to(coalesce(string_agg(id::text, E'\\n' ORDER BY id), ''), 'UTF8')) FROM mails)
"""
# A decision that changed nothing (a late one, or one that a person's own choice outranks) has no version of its own.
EFFECTS = """
    SELECT CASE WHEN h.history_id IS NULL THEN 'unchanged' ELSE coalesce(h.previous, 'never_asked') END,
           CASE WHEN h.history_id IS NULL THEN 'unchanged' ELSE coalesce(h.state, 'never_asked') END,
           d.cause, count(*)
      FROM (SELECT decision_id FROM incidents_decisionlink WHERE incident_id = %s ORDER BY decision_id DESC LIMIT %s) l
      JOIN consent_decision d ON d.id = l.decision_id
      LEFT JOIN consent_consent c
             ON c.subject_id = d.subject_id AND c.purpose = d.purpose AND c.channel = d.channel
      LEFT JOIN consent_historicalconsent h ON h.id = c.id AND h.decision_id = d.id
     GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
"""
STATES = {
    Choice.OPT_IN.value: "opted in",
    Choice.OPT_OUT.value: "opted out",
    "never_asked": "never asked",
    "unchanged": "unchanged",
}


@dataclass(frozen=True, slots=True)
class Effect:
    """How many tied decisions changed a consent like this. Both are `unchanged` where nothing changed."""

    before: str
    after: str
    cause: str
    count: int

    @property
    def text(self) -> str:
        change = "changed nothing" if self.before == "unchanged" else f"{STATES[self.before]} → {STATES[self.after]}"
        return f"{change}, {Cause(self.cause).label}"


@transaction.atomic
def seal(incident: Incident, *, reason: str, by: User | str) -> AffectedSet:
    """Count the ties of now and keep their digests. It waits for a tie that is just being made."""
    locked(incident)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [as_of] = cursor.fetchone()
        cursor.execute(SEAL, {"incident": incident.pk, "as_of": as_of})
        row = cursor.fetchone()
    names = ("decisions", "decisions_digest", "subjects", "subjects_digest", "messages", "messages_digest")
    facts: dict[str, Any] = dict(zip(names, row, strict=True))
    return AffectedSet.objects.create(
        incident=incident, as_of=as_of, sealed_by=actor_of(by), reason=reason[:200], **facts
    )


@transaction.atomic
def seal_and_tell(incident: Incident, *, reason: str, by: User | str, source: str = Source.UI) -> AffectedSet:
    """A seal on somebody's demand, told in the timeline with its digest."""
    sealed = seal(incident, reason=why(reason), by=by)
    timeline.append(
        incident,
        Kind.DECISIONS,
        f"Sealed: {sealed}, {sealed.messages} messages. {reason.strip()}",
        source=source,
        actor=actor_of(by),
        evidence=f"ids of the tied decisions as of {sealed.as_of.isoformat()}",
        evidence_digest=bytes(sealed.decisions_digest),
    )
    return sealed


def is_still(sealed: AffectedSet) -> bool:
    """Whether the ties of back then are there, all of them and no other: what an auditor asks."""
    with connection.cursor() as cursor:
        cursor.execute(SEAL, {"incident": sealed.incident_id, "as_of": sealed.as_of})
        row = cursor.fetchone()
    return (row[0], bytes(row[1]), row[2], bytes(row[3])) == (
        sealed.decisions, bytes(sealed.decisions_digest), sealed.subjects, bytes(sealed.subjects_digest),
    )  # fmt: skip


def effects(incident: Incident, most: int | None = MOST) -> list[Effect]:
    """What the tied decisions changed, by before, after and cause, the most frequent first; over the newest `most`."""
    with connection.cursor() as cursor:
        cursor.execute(EFFECTS, [incident.pk, most])
        return [Effect(*row) for row in cursor.fetchall()]
