"""Reading Standard Webhooks: `{"type", "timestamp", "data"}` with an id in the headers."""

from collections.abc import Mapping

from incidents.alerts.adapters.generic import mapped
from incidents.alerts.reading import Notification, Rules, checked, moment, object_of, title_of


def event_id(headers: Mapping[str, str]) -> str:
    return headers.get("webhook-id") or headers.get("svix-id", "")


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable. Without a mapping the type of the event is what belongs together."""
    message = object_of(body)
    kind = message.get("type")
    key = checked(kind, "type") if isinstance(kind, str) else ""
    told_at = moment(message.get("timestamp"), "timestamp")
    return [mapped(message, rules, key=key, title=title_of(kind, otherwise=""), told_at=told_at)]
