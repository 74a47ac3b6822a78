"""Incidents, the alerts that opened them, the decisions tied to them and the timeline that tells them."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertSource
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
from incidents.models.tied import Backfill, DecisionLink, DecisionMinute, DecisionRollup
from incidents.models.timeline import TimelineEntry

__all__ = [
    "AffectedSet",
    "AlertDelivery",
    "AlertGroup",
    "AlertSource",
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
    "PostIncidentReview",
    "SeverityPolicy",
    "TimelineEntry",
]
