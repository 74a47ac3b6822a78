"""The desks of officers and support staff: what is shown, and the buttons that call a service."""

from consent.admin import (
    configuration,
    consents,
    decisions,
    guard,
    imports,
    interrupted,
    privacy_requests,
    reversals,
    subjects,
)

__all__ = [
    "configuration",
    "consents",
    "decisions",
    "guard",
    "imports",
    "interrupted",
    "privacy_requests",
    "reversals",
    "subjects",
]
