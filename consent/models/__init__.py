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
from consent.models.exit_path import ExitPath, ExitPathMinute
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
    "ExitPathMinute",
    "FeedCursor",
    "GuardChange",
    "Identifier",
    "PrivacyRequest",
    "Purpose",
    "RequestEvent",
    "Reveal",
    "Reversal",
    "ReversalConfirmation",
    "Subject",
    "SubjectMerge",
]
