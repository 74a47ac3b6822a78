"""Incidents at the desk: declared, told, contained and closed here; who may post alerts, and what they posted."""

from incidents.admin import alerts, causes, incidents

__all__ = ["alerts", "causes", "incidents"]
