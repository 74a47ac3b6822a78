"""I9, I11 and I12: that one cause has one incident, a drill touches nobody real, and the story is complete."""

from django.db.models import Count

from incidents.invariants.found import MOST, Found, Look, breached, idle, met
from incidents.invariants.looking import asked
from incidents.invariants.questions import Question
from incidents.models import AlertGroup, Incident

# Whatever a drill records, it records as an actor `drill:…`, and only about people who are nobody.
STRAYED = Question(
    "I11",
    "strayed",
    "A drill changed the choice of somebody real",
    "consent_decision",
    "d.id",
    tx="tx",
    wrong="""
        SELECT d.id, d.received_at, 'decision ' || d.id || ' by ' || d.actor FROM consent_decision d
         WHERE {rows} AND d.actor LIKE 'drill:%%'
           AND NOT EXISTS (SELECT FROM consent_subject s WHERE s.id = d.subject_id AND s.is_canary)""",
)
# What it sends, it sends to them alone; a message that may have left counts.
MAILED = Question(
    "I11",
    "mailed",
    "A drill wrote to somebody real",
    "messaging_deliveryattempt",
    "a.id",
    tx="ended_tx",
    wrong="""
        SELECT a.id, a.ended_at, 'message ' || m.id || ' of ' || i.ref FROM messaging_deliveryattempt a
          JOIN messaging_message m ON m.id = a.message_id
          JOIN incidents_incident i ON i.id = m.incident_id AND i.mode = 'drill'
         WHERE {rows} AND a.outcome IN ('accepted', 'in_doubt')
           AND NOT EXISTS (SELECT FROM consent_subject s WHERE s.id = m.subject_id AND s.is_canary)""",
)
UNNUMBERED = Question(
    "I12",
    "gap",
    "A line of a timeline is missing",
    "incidents_timelineentry",
    "t.id",
    wrong="""
        SELECT t.id, t.recorded_at, 'line ' || t.seq - 1 || ' of incident ' || t.incident_id
          FROM incidents_timelineentry t
         WHERE {rows} AND t.seq > 1 AND NOT EXISTS (
           SELECT FROM incidents_timelineentry b WHERE b.incident_id = t.incident_id AND b.seq = t.seq - 1)""",
)
SKEWED = Question(
    "I12",
    "skew",
    "A line tells of the future, and no clock is said to be ahead",
    "incidents_timelineentry",
    "t.id",
    wrong="""
        SELECT t.id, t.recorded_at, 'line ' || t.seq || ' of incident ' || t.incident_id
          FROM incidents_timelineentry t
         WHERE {rows} AND t.occurred_at > t.recorded_at AND t.skew_ms IS NULL""",
)
UNWRITTEN = Question(
    "I12",
    "status",
    "An incident moved on without a line",
    "incidents_historicalincident",
    "h.history_id",
    wrong="""
        SELECT h.history_id, h.history_date, h.ref || ' became ' || h.status
          FROM incidents_historicalincident h
          LEFT JOIN LATERAL (
            SELECT b.status FROM incidents_historicalincident b
             WHERE b.id = h.id AND b.history_id < h.history_id ORDER BY b.history_id DESC LIMIT 1) before ON true
         WHERE {rows} AND h.status IS DISTINCT FROM before.status
           AND NOT EXISTS (SELECT FROM incidents_timelineentry t
                            WHERE t.incident_id = h.id AND t.kind IN ('declared', 'status')
                              AND (t.new = h.status OR (h.status = 'merged' AND t.new LIKE 'INC-%%')))""",
)


def one_incident_per_cause(look: Look) -> Found:
    """I9. The database sees to it by a constraint; this sees whether the constraint is there."""
    several = Incident.objects.open().exclude(dedup_key="").order_by().values("dedup_key").annotate(many=Count("pk"))
    keys = sorted(several.filter(many__gt=1).values_list("dedup_key", flat=True))
    groups = AlertGroup.objects.filter(is_open=True).order_by().values("source", "key").annotate(
        many=Count("incident", distinct=True)
    )  # fmt: skip
    names = [*keys, *(f"alert source {row['source']}" for row in groups.filter(many__gt=1))]
    if not names:
        return met("at most 1 per key")
    words = f"More than one incident is open for: {', '.join(names[:5])}. Merge them."
    return breached(len(names), words, offenders=names[:MOST])


def drills_stay_in_their_cohort(look: Look) -> Found:
    """I11. Nobody real is written to because of a drill, and no drill changes the choice of somebody real."""
    if not Incident.objects.filter(mode=Incident.Mode.DRILL).exists():
        return idle("There was no drill yet.")
    return asked(look, STRAYED, MAILED)


def timelines_are_whole(look: Look) -> Found:
    """I12. Lines are numbered without a gap, each step of an incident has one, a clock that is ahead is marked."""
    return asked(look, UNNUMBERED, SKEWED, UNWRITTEN)
