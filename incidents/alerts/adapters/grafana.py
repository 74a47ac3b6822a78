"""Reading what Grafana Alerting sends: Alertmanager's outline as version 1, with a title of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from incidents.alerts.adapters.alertmanager import notification_of
from incidents.alerts.reading import Alert, Notification, Rules, Unreadable, labels, object_of, shown, title_of

EVERYTHING = "{}:{}"  # the key of whoever groups by nothing
WITHOUT_DATA = ("DatasourceNoData", "DatasourceError")  # what the alert is called instead of its rule
# States of a rule before there were groups: is it firing? Those with None are no news.
STATES = {"alerting": True, "no_data": True, "ok": False, "paused": None, "pending": None}


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable."""
    message = object_of(body)
    if "ruleId" in message and "alerts" not in message:
        return _before_version_nine(message, rules)
    found = notification_of(message, "1", rules)
    if found.title.startswith("Alerts of "):
        found = replace(found, title=title_of(_told(message), otherwise=found.title))
    if found.labels.get("alertname") in WITHOUT_DATA and "rulename" in found.labels:
        found = replace(found, title=title_of(found.labels["alertname"], found.labels["rulename"], otherwise=""))
    if found.group_key == EVERYTHING:
        # Several organisations and contact points of one Grafana would share it.
        found = replace(found, group_key=f"{message.get('orgId', '')}:{message.get('receiver', '')}:{EVERYTHING}")
    return [found]


def _before_version_nine(message: Mapping[str, Any], rules: Rules) -> list[Notification]:
    """A rule of the alerting that older Grafanas have: one alert, whose state is the message."""
    state = message.get("state")
    if not isinstance(state, str) or state not in STATES:
        raise Unreadable(f"state must be one of {', '.join(STATES)}, not {shown(state)}.")
    is_firing = STATES[state]
    if is_firing is None:
        return []
    rule = f"{shown(message.get('orgId'))}:{shown(message.get('dashboardId'))}:{shown(message['ruleId'])}"
    name = message.get("ruleName")
    title = title_of(name, otherwise=f"Rule {rule}")
    tags = labels(message, "tags")
    return [
        Notification(
            group_key=f"rule:{rule}",
            title=title,
            severity=rules.severity([tags.get("severity")]),
            alerts=(Alert(rule[:64], is_firing, title[:100]),),
            type=rules.type_in(message),
            labels=tags,
        )
    ]


def _told(message: Mapping[str, Any]) -> str:
    """`[FIRING:1] InstanceDown (…)` says by its first word what the state says, and changes with it."""
    title = message.get("title")
    return title.partition("] ")[2] or title if isinstance(title, str) else ""
