"""Tying decisions to incidents: as the log is read, and afterwards for incidents that were declared late or widened.

No decision is missed, and none is counted twice:

* The *reader* takes committed decisions in log order, and looks at the incidents after it has taken them.
* A *backfill* is owed in the transaction that declares or widens an incident, so it looks after that has committed.
  What is committed by then it ties, whatever the reader made of it.
* What commits later the reader takes later still, and then looks at the incidents: it finds this one. Where the reader
  stands when the incident is declared, and whether a batch of it is under way, makes no difference.
* Where both look at the same decision, the unique (incident, decision) lets one of them through. Rollups and counts are
  made from the rows that were really inserted, in the same statement.

For this each of their looks must be a statement of its own at READ COMMITTED, in that order. Both lock incidents in the
order of their ids before they write, so they take turns instead of waiting for each other in a circle, and they see a
window as it stands. Narrowing a window or a scope unties nothing: a tie is a record that only grows.
"""

from collections.abc import Sequence

from django.db import connection, transaction
from django.utils import timezone

from consent import feed
from consent.models import Decision, FeedCursor
from consent.restoring import is_restored
from incidents import assessing, counting
from incidents.detection import counts
from incidents.models import Backfill, Incident
from incidents.scope import FITS

READER = "incident-links"
BATCH = 1000

INSIDE = f"""d.received_at >= i.occurred_from AND (i.occurred_to IS NULL OR d.received_at <= i.occurred_to)
         AND {FITS}"""
# `picked` is the log's part that is looked at; the rest ties it, rolls it up and counts it in one statement.
TIE = """
    WITH picked AS (
      SELECT id, subject_id, purpose, exit_path, choice, cause, received_at FROM consent_decision d
       WHERE {which} AND NOT EXISTS (SELECT FROM consent_subject s WHERE s.id = d.subject_id AND s.is_canary)
    ), tied AS (
      INSERT INTO incidents_decisionlink (incident_id, decision_id, subject_id, linked_at)
      SELECT i.id, d.id, d.subject_id, clock_timestamp()
        FROM incidents_incident i JOIN picked d
          ON {belongs}
       WHERE i.id = ANY (%(incidents)s)
       ORDER BY i.id, d.id
      ON CONFLICT (incident_id, decision_id) DO NOTHING
      RETURNING incident_id, decision_id
    ), rolled AS (
      INSERT INTO incidents_decisionrollup AS r (incident_id, minute, exit_path, choice, cause, count)
      SELECT t.incident_id, date_trunc('minute', d.received_at, 'UTC'), d.exit_path, d.choice, d.cause, count(*)
        FROM tied t JOIN picked d ON d.id = t.decision_id
       GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
      ON CONFLICT (incident_id, minute, exit_path, choice, cause) DO UPDATE SET count = r.count + EXCLUDED.count
    )
    UPDATE incidents_incident i SET linked_count = i.linked_count + n.new
      FROM (SELECT incident_id, count(*) AS new FROM tied GROUP BY incident_id) n WHERE n.incident_id = i.id
    RETURNING n.new
"""
TIE_LISTED = TIE.format(which="id = ANY (%(decisions)s)", belongs=INSIDE)
TIE_RANGE = TIE.format(which="id BETWEEN %(first)s AND %(last)s AND received_at >= %(from)s", belongs=INSIDE)
# What was tied to an incident that turned out to be this one: it belongs to it whatever its window and scope say.
CARRY = TIE.format(
    which="id IN (SELECT decision_id FROM incidents_decisionlink"
    " WHERE incident_id = %(carries)s AND decision_id BETWEEN %(first)s AND %(last)s)",
    belongs="true",
)
CARRY_BOUNDS = "SELECT min(decision_id), max(decision_id) FROM incidents_decisionlink WHERE incident_id = %s"

# Ids and moments of receipt grow together, but not in step. OFFSET 0 keeps the planner from walking the primary key
# from the first decision ever made to find the smallest: the index on received_at knows the window's pages.
BOUNDS = """
    SELECT min(id), max(id) FROM (
      SELECT id FROM consent_decision
       WHERE received_at >= %s AND received_at <= coalesce(%s, 'infinity'::timestamptz) OFFSET 0) inside
"""


def read_log(limit: int = BATCH) -> int:
    """Tie and count the decisions that the log has news of; returns how many were looked at."""
    with feed.reading(READER, limit) as decisions:
        if decisions:
            _tie_new(decisions)
            assessing.assess_new(decisions, FeedCursor.objects.get(reader=READER))
            news = [decision for decision in decisions if not is_restored(decision)]
            counting.count([decision.pk for decision in news])
            counts.add_facets(news)
        return len(decisions)


def look_again() -> int:
    """At the causes of decisions about which more is known since they were counted; returns how many signs were new."""
    return assessing.second_look(READER)


def owe_backfill(incident: Incident, reason: str, *, carries: Incident | None = None) -> Backfill:
    """In the transaction that declared or widened the incident, or merged another, whose ties it then takes over."""
    return Backfill.objects.create(incident=incident, reason=reason, carries=carries)


def backfill(limit: int = 5 * BATCH) -> int:
    """One step of the oldest look back that is owed and that nobody is at; returns the ids it went over; 0: none."""
    with transaction.atomic():
        owed = Backfill.objects.filter(finished_at=None).order_by("pk")
        work = owed.select_for_update(skip_locked=True).first()
        return _step(work, limit) if work else 0


def _step(work: Backfill, limit: int) -> int:
    incident = Incident.objects.select_for_update(no_key=True).get(pk=work.incident_id)
    if work.next_id is None or work.last_id is None:
        work.next_id, work.last_id = _bounds(incident, work.carries_id)
    last = min(work.next_id + limit - 1, work.last_id)
    if last >= work.next_id and incident.status not in Incident.DISOWNED:
        with connection.cursor() as cursor:
            cursor.execute(
                CARRY if work.carries_id else TIE_RANGE,
                {
                    "incidents": [incident.pk],
                    "first": work.next_id,
                    "last": last,
                    "from": incident.occurred_from,
                    "carries": work.carries_id,
                },
            )
    looked_at = last - work.next_id + 1
    work.next_id = last + 1
    if work.next_id > work.last_id:
        work.finished_at = timezone.now()
    work.save()
    return max(looked_at, 1)


def _bounds(incident: Incident, carries: int | None) -> tuple[int, int]:
    with connection.cursor() as cursor:
        if carries:
            cursor.execute(CARRY_BOUNDS, [carries])
        else:
            cursor.execute(BOUNDS, [incident.occurred_from, incident.occurred_to])
        first, last = cursor.fetchone()
    return (first, last) if first is not None else (1, 0)


def _tie_new(decisions: Sequence[Decision]) -> None:
    moments = [decision.received_at for decision in decisions]
    touched = Incident.objects.touching(min(moments), max(moments)).order_by("pk")
    incidents = list(touched.select_for_update(no_key=True).values_list("pk", flat=True))
    if incidents:
        with connection.cursor() as cursor:
            cursor.execute(TIE_LISTED, {"incidents": incidents, "decisions": [decision.pk for decision in decisions]})
