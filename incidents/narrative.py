"""Why people left during an incident, in sentences made from what was counted: nothing in it is anybody's opinion."""

from collections import Counter
from datetime import UTC, datetime

from django.db.models import Sum

from consent.models import Cause, Choice
from incidents import affected
from incidents.models import Backfill, DecisionRollup, Incident
from incidents.scope import told_scope, told_window
from messaging.models import Message

CONFIRMED = (Message.State.ACCEPTED,)
IN_DOUBT = (Message.State.IN_DOUBT, Message.State.CLOSED_UNKNOWN)
LOST = (Message.State.FAILED, Message.State.REJECTED, Message.State.SUPPRESSED, Message.State.CANCELLED,
        Message.State.EXPIRED)  # fmt: skip


def tell(incident: Incident, now: datetime) -> str:
    """The opt-out part of a review, as of `now`. What is not known is said to be so."""
    outs = DecisionRollup.objects.filter(incident=incident, choice=Choice.OPT_OUT)
    parts = [f"{incident.ref}, {told_window(incident)}, about {told_scope(incident)}; counted {_when(now)}."]
    if Backfill.objects.filter(incident=incident, finished_at=None).exists():
        parts.append("Decisions are still being looked at: the numbers below will grow.")
    total = outs.aggregate(total=Sum("count"))["total"] or 0
    if not total:
        parts.append("Nobody opted out in this time and scope.")
    else:
        people = incident.links.values("subject_id").distinct().count()
        parts.append(f"{total:,} opt-outs are tied to it; {people:,} people made a choice that is.")
        parts.append(f"By cause: {_counted(outs, 'cause')}.")
        parts.append(f"By way out: {_counted(outs, 'exit_path')}.")
        peak = outs.values("minute").annotate(total=Sum("count")).order_by("-total", "minute").first()
        if peak:
            parts.append(f"Most in one minute: {peak['total']:,} at {_when(peak['minute'])}.")
    if changes := affected.effects(incident, None):
        told = "; ".join(f"{effect.text}: {effect.count:,}" for effect in changes[:12])
        parts.append(f"What the choices changed: {told}.")
    parts += [_confirmations(incident), _notices(incident)]
    return "\n".join(parts)


def _counted(outs: object, field: str) -> str:
    rows = outs.values(field).annotate(total=Sum("count")).order_by("-total", field)  # type: ignore[attr-defined]
    return ", ".join(f"{_name(field, row[field])} {row['total']:,}" for row in rows[:12])


def _name(field: str, value: str) -> str:
    if field == "cause":
        return Cause(value).label if value in Cause.values else value
    return value or "not named"


def _confirmations(incident: Incident) -> str:
    owed = Message.objects.filter(decision_id__in=incident.links.values("decision_id"))
    states: Counter[str] = Counter()
    late = 0
    for state, owed_by, settled_at in owed.values_list("state", "owed_by", "settled_at").iterator(chunk_size=5000):
        states[state] += 1
        late += bool(owed_by and settled_at and settled_at > owed_by)
    if not states:
        return "No confirmation was owed for these choices."
    waiting = sum(count for state, count in states.items() if state not in (*CONFIRMED, *IN_DOUBT, *LOST))
    return (
        f"Confirmations: {_sum(states, CONFIRMED)} taken by a relay, {late:,} of all settled later than owed, "
        f"{_sum(states, IN_DOUBT)} in doubt, {_sum(states, LOST)} not sent, {waiting:,} still waiting."
    )


def _notices(incident: Incident) -> str:
    sent = Message.objects.filter(incident_id=incident.pk)
    people = sent.values("subject_id").distinct().count()
    if not people:
        return "No notice about it was sent to anybody."
    reached = sent.filter(state__in=CONFIRMED).values("subject_id").distinct().count()
    return f"Notices: owed to {people:,} people, taken by a relay for {reached:,}."


def _sum(states: Counter[str], which: tuple[str, ...]) -> str:
    return f"{sum(states[state] for state in which):,}"


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
