"""Incidents, the alerts that opened them, the decisions tied to them and the timeline that tells them."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertOverflow
from incidents.models.alert_source import AlertSecret, AlertSource
from incidents.models.incident import Incident, TimelineEntry
from incidents.models.tied import Backfill, DecisionLink, DecisionMinute, DecisionRollup

__all__ = [
    "AlertDelivery",
    "AlertGroup",
    "AlertOverflow",
    "AlertSecret",
    "AlertSource",
    "Backfill",
    "DecisionLink",
    "DecisionMinute",
    "DecisionRollup",
    "Incident",
    "TimelineEntry",
]
