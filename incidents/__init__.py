"""Incidents: declared or opened by alerts, tied to the decisions made in their window, told as a timeline."""
