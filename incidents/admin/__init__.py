"""Incidents at the desk: the alerts and alarms that open them, what is done about them, and the watched ways out."""

from incidents.admin import (
    alarms,
    alert_sources,
    alerts,
    causes,
    changes,
    incidents,
    playbooks,
    register,
    restores,
    rollbacks,
    validation,
    watches,
)

__all__ = [
    "alarms",
    "alert_sources",
    "alerts",
    "causes",
    "changes",
    "incidents",
    "playbooks",
    "register",
    "restores",
    "rollbacks",
    "validation",
    "watches",
]
