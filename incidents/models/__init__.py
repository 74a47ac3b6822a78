"""Incidents, the alerts that opened them, the decisions tied to them and the timeline that tells them."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertSource
from incidents.models.incident import DecisionLink, DecisionRollup, Incident, TimelineEntry

__all__ = [
    "AlertDelivery",
    "AlertGroup",
    "AlertSource",
    "DecisionLink",
    "DecisionRollup",
    "Incident",
    "TimelineEntry",
]
