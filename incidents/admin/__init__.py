"""Incidents at the desk: declared, told, contained and closed here; who may post alerts, and what they posted."""

from incidents.admin import alarms, alerts, incidents, watches

__all__ = ["alarms", "alerts", "incidents", "watches"]
