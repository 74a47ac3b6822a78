"""Incidents, the alerts that opened them, the decisions tied to them and the timeline that tells them."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertSource
from incidents.models.detection import (
    Alarm,
    BaselineVersion,
    BucketScore,
    DetectionCursor,
    DetectorSettings,
    Episode,
    FacetBucket,
    Marker,
    RateBucket,
    Series,
)
from incidents.models.incident import Incident, TimelineEntry
from incidents.models.tied import Backfill, DecisionLink, DecisionMinute, DecisionRollup
from incidents.models.watch import ExitPathProbe, ExitPathWatch

__all__ = [
    "Alarm",
    "AlertDelivery",
    "AlertGroup",
    "AlertSource",
    "Backfill",
    "BaselineVersion",
    "BucketScore",
    "DecisionLink",
    "DecisionMinute",
    "DecisionRollup",
    "DetectionCursor",
    "DetectorSettings",
    "Episode",
    "ExitPathProbe",
    "ExitPathWatch",
    "FacetBucket",
    "Incident",
    "Marker",
    "RateBucket",
    "Series",
    "TimelineEntry",
]
