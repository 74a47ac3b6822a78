"""Incidents, the alerts that opened them, the decisions tied to them, the timeline that tells them, and detection."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertOverflow
from incidents.models.alert_source import AlertSecret, AlertSource
from incidents.models.case import (
    AffectedSet,
    FollowUp,
    IncidentClock,
    IncidentClockRule,
    PostIncidentReview,
    SeverityPolicy,
)
from incidents.models.incident import Incident
from incidents.models.parts import IncidentMoment, IncidentRelation, IncidentRole
from incidents.models.playbook import (
    AuditorBeat,
    Playbook,
    PlaybookRun,
    PlaybookVersion,
    StepRun,
    Trouble,
)
from incidents.models.tied import Backfill, DecisionLink, DecisionMinute, DecisionRollup
from incidents.models.timeline import TimelineEntry

__all__ = [
    "AffectedSet",
    "AlertDelivery",
    "AlertGroup",
    "AlertOverflow",
    "AlertSecret",
    "AlertSource",
    "AuditorBeat",
    "Backfill",
    "DecisionLink",
    "DecisionMinute",
    "DecisionRollup",
    "FollowUp",
    "Incident",
    "IncidentClock",
    "IncidentClockRule",
    "IncidentMoment",
    "IncidentRelation",
    "IncidentRole",
    "Playbook",
    "PlaybookRun",
    "PlaybookVersion",
    "PostIncidentReview",
    "SeverityPolicy",
    "StepRun",
    "TimelineEntry",
    "Trouble",
]
