"""Incidents, the alerts that opened them, the decisions tied to them and the timeline that tells them."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertSource
from incidents.models.assessment import CauseAssessment, LookCursor
from incidents.models.incident import Incident, TimelineEntry
from incidents.models.tied import Backfill, DecisionLink, DecisionMinute, DecisionRollup

__all__ = [
    "AlertDelivery",
    "AlertGroup",
    "AlertSource",
    "Backfill",
    "CauseAssessment",
    "DecisionLink",
    "DecisionMinute",
    "DecisionRollup",
    "Incident",
    "LookCursor",
    "TimelineEntry",
]
