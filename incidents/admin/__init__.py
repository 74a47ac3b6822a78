"""Incidents at the desk: declared, told, contained and closed here; who may post alerts, and what they posted."""

from incidents.admin import alert_sources, alerts, incidents, playbooks, register

__all__ = ["alert_sources", "alerts", "incidents", "playbooks", "register"]
