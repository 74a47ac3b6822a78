"""Reading what Grafana Alerting sends: Alertmanager's outline as version 1, with a title of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from incidents.alerts.adapters.alertmanager import notification_of
from incidents.alerts.reading import Notification, Rules, object_of, title_of

EVERYTHING = "{}:{}"  # the key of whoever groups by nothing


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable."""
    message = object_of(body)
    found = notification_of(message, "1", rules)
    if found.title.startswith("Alerts of "):
        found = replace(found, title=title_of(_told(message), otherwise=found.title))
    if found.group_key == EVERYTHING:
        # Several organisations and contact points of one Grafana would share it.
        found = replace(found, group_key=f"{message.get('orgId', '')}:{message.get('receiver', '')}:{EVERYTHING}")
    return [found]


def _told(message: Mapping[str, Any]) -> str:
    """`[FIRING:1] InstanceDown (…)` says by its first word what the state says, and changes with it."""
    title = message.get("title")
    return title.partition("] ")[2] or title if isinstance(title, str) else ""
