"""Incidents, the alerts that opened them, the decisions tied to them, the timeline, detection, and change sets."""

from incidents.models.alert import AlertDelivery, AlertGroup, AlertOverflow
from incidents.models.alert_source import AlertSecret, AlertSource
from incidents.models.assessment import CauseAssessment, LookCursor
from incidents.models.case import (
    AffectedSet,
    FollowUp,
    IncidentClock,
    IncidentClockRule,
    PostIncidentReview,
    SeverityPolicy,
)
from incidents.models.change import ChangeSet
from incidents.models.detection import (
    Alarm,
    BaselineVersion,
    BucketScore,
    DetectionCursor,
    DetectorSettings,
    Episode,
    FacetBucket,
    Marker,
    PastMix,
    Series,
)
from incidents.models.incident import Incident
from incidents.models.parts import IncidentMoment, IncidentRelation, IncidentRole
from incidents.models.planned import ChangeApproval, ChangeBatch, ChangeRow, PlannedWrite
from incidents.models.playbook import AuditorBeat, Playbook, PlaybookRun, PlaybookVersion, StepRun, Trouble
from incidents.models.restore import Restore
from incidents.models.rollback import Rollback, RollbackItem
from incidents.models.tied import Backfill, DecisionLink, DecisionMinute, DecisionRollup
from incidents.models.timeline import TimelineEntry
from incidents.models.validation import DriftRepair, ValidationCheck, ValidationRun
from incidents.models.watch import ExitPathProbe, ExitPathWatch

__all__ = [
    "AffectedSet",
    "Alarm",
    "AlertDelivery",
    "AlertGroup",
    "AlertOverflow",
    "AlertSecret",
    "AlertSource",
    "AuditorBeat",
    "Backfill",
    "BaselineVersion",
    "BucketScore",
    "CauseAssessment",
    "ChangeApproval",
    "ChangeBatch",
    "ChangeRow",
    "ChangeSet",
    "DecisionLink",
    "DecisionMinute",
    "DecisionRollup",
    "DetectionCursor",
    "DetectorSettings",
    "DriftRepair",
    "Episode",
    "ExitPathProbe",
    "ExitPathWatch",
    "FacetBucket",
    "FollowUp",
    "Incident",
    "IncidentClock",
    "IncidentClockRule",
    "IncidentMoment",
    "IncidentRelation",
    "IncidentRole",
    "LookCursor",
    "Marker",
    "PastMix",
    "PlannedWrite",
    "Playbook",
    "PlaybookRun",
    "PlaybookVersion",
    "PostIncidentReview",
    "Restore",
    "Rollback",
    "RollbackItem",
    "Series",
    "SeverityPolicy",
    "StepRun",
    "TimelineEntry",
    "Trouble",
    "ValidationCheck",
    "ValidationRun",
]
