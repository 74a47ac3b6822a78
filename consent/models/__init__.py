"""Subjects, what they may decide about, what they decided, the state that follows, and what they asked for."""

from consent.models.decision import (
    ANY,
    Batch,
    Cause,
    Channel,
    Choice,
    Consent,
    Decision,
    DecisionVoid,
    Evidence,
    FeedCursor,
    GuardChange,
    Reversal,
    ReversalConfirmation,
)
from consent.models.exit_path import ExitPath, ExitPathLatency, ExitPathMinute, LinkFetch
from consent.models.imported import Import, ImportPortion, ImportRow
from consent.models.interrupted import InterruptedOptOut
from consent.models.purpose import Purpose
from consent.models.request import AnswerText, DeadlineRule, PrivacyRequest, RequestEvent
from consent.models.subject import Identifier, Reveal, Subject, SubjectMerge

__all__ = [
    "ANY",
    "AnswerText",
    "Batch",
    "Cause",
    "Channel",
    "Choice",
    "Consent",
    "DeadlineRule",
    "Decision",
    "DecisionVoid",
    "Evidence",
    "ExitPath",
    "ExitPathLatency",
    "ExitPathMinute",
    "FeedCursor",
    "GuardChange",
    "Identifier",
    "Import",
    "ImportPortion",
    "ImportRow",
    "InterruptedOptOut",
    "LinkFetch",
    "PrivacyRequest",
    "Purpose",
    "RequestEvent",
    "Reveal",
    "Reversal",
    "ReversalConfirmation",
    "Subject",
    "SubjectMerge",
]
