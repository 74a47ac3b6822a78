"""What a playbook may ask: each signal is a named function of an incident, and each of its queries is bounded.

A condition is data, never code: `{"signal": "opt_outs_per_minute", "op": "gte", "value": 50}`. What other detectors
found is known by the key and the type of the incident that they opened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.utils import timezone

from consent.models import Cause, Choice
from consent.services import guard_level
from incidents.models import AlertGroup, DecisionMinute, Incident, TimelineEntry
from messaging.condition import conditions
from messaging.models import SendHold, TemplateFault

MOST = 1000  # what is counted stops here
SPAN = 5  # minutes that a rate is taken over; the running one is not among them
NOT_THEIR_OWN = (Cause.IMPORT, Cause.DEFAULT, Cause.REPAIR, Cause.AUTOMATED_SCRIPT)


class Asked:
    """The answers about one incident, each found once. `chosen` is what people decided in the run so far; `same` keeps
    what is the same for all incidents of a mode, for whoever asks about many."""

    def __init__(
        self,
        incident: Incident,
        chosen: Mapping[str, str] | None = None,
        now: datetime | None = None,
        same: dict[str, Any] | None = None,
    ) -> None:
        self.incident, self.chosen, self.now = incident, dict(chosen or {}), now or timezone.now()
        self.own: dict[str, Any] = {}
        self.same = {} if same is None else same

    def answer(self, name: str) -> Any:
        signal = SIGNALS[name]
        known = self.same if signal.is_same_for_all else self.own
        if name not in known:
            known[name] = signal.ask(self)
        return known[name]

    def holds(self, condition: Mapping[str, Any]) -> bool:
        said = self.said(condition)
        if condition["signal"] == "decision" and not said:
            return False  # nobody decided: that is no answer, also not to “is not”
        return OPS[condition["op"]](said, condition["value"])

    def said(self, condition: Mapping[str, Any]) -> Any:
        if condition["signal"] == "decision":
            return self.chosen.get(condition["step"], "")
        return self.answer(condition["signal"])

    def all_hold(self, wanted: Sequence[Mapping[str, Any]]) -> bool:
        return all(self.holds(condition) for condition in wanted)

    def told(self, wanted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What was found, for the record: a decision under the key of its step."""
        return {each.get("step", each["signal"]): self.said(each) for each in wanted}


OPS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda said, value: said == value,
    "ne": lambda said, value: said != value,
    "in": lambda said, value: said in value,
    "gte": lambda said, value: said >= value,
    "gt": lambda said, value: said > value,
    "lte": lambda said, value: said <= value,
    "lt": lambda said, value: said < value,
    "has": lambda said, value: value in said,
    "begins": lambda said, value: any(one.startswith(value) for one in ([said] if isinstance(said, str) else said)),
    "none_begin": lambda said, value: not any(one.startswith(value) for one in said),
}
TEXT, NUMBER, LIST = ("eq", "ne", "in", "begins"), ("eq", "gte", "gt", "lte", "lt"), ("has", "begins", "none_begin")


LOOKUPS = {"eq": "exact", "in": "in", "begins": "startswith"}


@dataclass(frozen=True, slots=True)
class Signal:
    """`column` of the incident is what it answers, where that is so; `is_same_for_all` incidents of a mode."""

    ask: Callable[[Asked], Any]
    ops: tuple[str, ...]
    column: str = ""
    is_same_for_all: bool = False

    @property
    def words(self) -> str:
        """For whoever writes a playbook."""
        return " ".join((self.ask.__doc__ or "").split())


def incident_type(asked: Asked) -> str:
    """What went wrong, in our own types; empty where nobody said."""
    return asked.incident.type


def incident_severity(asked: Asked) -> str:
    """sev1 to sev4."""
    return asked.incident.severity


def incident_status(asked: Asked) -> str:
    """Where the incident stands."""
    return asked.incident.status


def incident_key(asked: Asked) -> str:
    """The cause that a detector or a sweep opened it for; empty where a person did."""
    return asked.incident.dedup_key


def incident_source(asked: Asked) -> str:
    """Who opened it: ui, api, alert, detector, system …"""
    first = TimelineEntry.objects.filter(incident=asked.incident, seq=1).values_list("source", flat=True).first()
    return first or ""


def alert_source(asked: Asked) -> list[str]:
    """The names of the sources whose alerts it answers for."""
    return sorted({group.source.name for group in _groups(asked)})


def alert_title(asked: Asked) -> list[str]:
    """What the alerts that it answers for are called."""
    return [group.title for group in _groups(asked)]


def alert_label(asked: Asked) -> list[str]:
    """The labels of the alerts that it answers for, each as name=value."""
    return sorted({f"{name}={value}" for group in _groups(asked) for name, value in group.labels.items()})


def _groups(asked: Asked) -> list[AlertGroup]:
    return list(asked.incident.alert_groups.select_related("source").order_by("pk")[:MOST])


def age_minutes(asked: Asked) -> float:
    """Minutes since it began."""
    return round((asked.now - asked.incident.occurred_from).total_seconds() / 60, 1)


def tied_decisions(asked: Asked) -> int:
    """Decisions tied to it so far."""
    return asked.incident.linked_count


def opt_outs_per_minute(asked: Asked) -> float:
    """Opt-outs a minute over the last five whole minutes, whatever the incident; in a drill, a drill's."""
    return _per_minute(asked, choice=Choice.OPT_OUT)


def opt_ins_without_a_person_per_minute(asked: Asked) -> float:
    """Opt-ins a minute that an import, a default, a repair or a script made, over the last five whole minutes."""
    return _per_minute(asked, choice=Choice.OPT_IN, cause__in=NOT_THEIR_OWN)


def scanner_share(asked: Asked) -> float:
    """Which part (0 to 1) of the opt-outs of the last five whole minutes machines are suspected of."""
    everything = _per_minute(asked, choice=Choice.OPT_OUT)
    return (
        round(_per_minute(asked, choice=Choice.OPT_OUT, cause=Cause.SCANNER_SUSPECTED) / everything, 3)
        if everything
        else 0.0
    )


def guard(asked: Asked) -> str:
    """How strict the database is: observe, protect or freeze."""
    return guard_level()


def sending_trouble(asked: Asked) -> list[str]:
    """What is wrong with sending now: transport-…, mail-overdue, mail-given-up-…, mail-in-doubt."""
    return [condition.key for condition in conditions(asked.now)]


def open_template_faults(asked: Asked) -> int:
    """Published texts that fail and are not mended, a thousand at most."""
    return len(TemplateFault.objects.open().values_list("pk")[:MOST])


def held(asked: Asked) -> list[str]:
    """What is held back now: lane:bulk, template:opt_out_confirmation …"""
    return [f"{hold.scope}:{hold.value}" for hold in SendHold.objects.active(asked.now)[:MOST]]


def decision(asked: Asked) -> str:
    """What a person decided in an earlier step; the condition names it in `step`."""
    return ""


def _per_minute(asked: Asked, **which: Any) -> float:
    end = asked.now.replace(second=0, microsecond=0)
    which["is_drill"] = asked.incident.mode == Incident.Mode.DRILL
    rows = DecisionMinute.objects.filter(minute__gte=end - timedelta(minutes=SPAN), minute__lt=end, **which)
    return round((rows.aggregate(total=Sum("count"))["total"] or 0) / SPAN, 1)


SIGNALS: dict[str, Signal] = {
    "incident_type": Signal(incident_type, TEXT, "type"),
    "incident_severity": Signal(incident_severity, TEXT, "severity"),
    "incident_status": Signal(incident_status, TEXT, "status"),
    "incident_key": Signal(incident_key, TEXT, "dedup_key"),
    "incident_source": Signal(incident_source, TEXT),
    "alert_source": Signal(alert_source, LIST),
    "alert_title": Signal(alert_title, LIST),
    "alert_label": Signal(alert_label, LIST),
    "age_minutes": Signal(age_minutes, NUMBER),
    "tied_decisions": Signal(tied_decisions, NUMBER),
    "opt_outs_per_minute": Signal(opt_outs_per_minute, NUMBER, is_same_for_all=True),
    "opt_ins_without_a_person_per_minute": Signal(opt_ins_without_a_person_per_minute, NUMBER, is_same_for_all=True),
    "scanner_share": Signal(scanner_share, NUMBER, is_same_for_all=True),
    "guard": Signal(guard, TEXT, is_same_for_all=True),
    "sending_trouble": Signal(sending_trouble, LIST, is_same_for_all=True),
    "open_template_faults": Signal(open_template_faults, NUMBER, is_same_for_all=True),
    "held": Signal(held, LIST, is_same_for_all=True),
    "decision": Signal(decision, TEXT),
}


def narrowed(conditions: Sequence[Mapping[str, Any]]) -> Q:
    """Whom they may all hold of, as far as the incident's own row says: the rest of them is asked of those."""
    wanted = Q()
    for condition in conditions:
        column, op = SIGNALS[condition["signal"]].column, condition["op"]
        if column and op == "ne":
            wanted &= ~Q(**{column: condition["value"]})
        elif column:
            wanted &= Q(**{f"{column}__{LOOKUPS[op]}": condition["value"]})
    return wanted


def problems_of(condition: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> list[str]:
    """Why a condition cannot be asked; `choices` are those of the decisions made before it."""
    name, op, value = condition["signal"], condition["op"], condition["value"]
    if name not in SIGNALS:
        return [f"There is no signal {name}. Known: {', '.join(SIGNALS)}."]
    found = []
    if op not in SIGNALS[name].ops:
        found.append(f"{name} cannot be asked with {op}, only with {', '.join(SIGNALS[name].ops)}.")
    elif not isinstance(value, list if op == "in" else (int, float) if SIGNALS[name].ops is NUMBER else str):
        found.append(f"{name} {op} cannot be compared with {value!r}.")
    if name == "decision" and condition.get("step") not in choices:
        found.append("A condition on a decision names an earlier decision step in `step`.")
    elif name == "decision" and op in ("eq", "ne") and value not in choices[condition["step"]]:
        found.append(f"{condition['step']} has no choice {value}.")
    return found
