"""Reading PagerDuty's webhooks, version 3: one event a delivery, whose data differ by what the event is about."""

from collections.abc import Mapping
from typing import Any

from incidents.alerts.reading import Alert, Notification, Rules, child, moment, object_of, plain, text, title_of

OVER = "resolved"
# News that an incident's status does not tell; the rest of its events repeats the status.
TOLD = {
    "incident.acknowledged": "acknowledged at PagerDuty",
    "incident.unacknowledged": "no longer acknowledged at PagerDuty",
    "incident.escalated": "escalated at PagerDuty",
    "incident.delegated": "handed on at PagerDuty",
    "incident.reassigned": "given to somebody else at PagerDuty",
    "incident.reopened": "reopened at PagerDuty",
    "incident.annotated": "a note was added at PagerDuty",
    "incident.status_update_published": "a status update was published at PagerDuty",
    "incident.responder.added": "a responder was added at PagerDuty",
    "incident.responder.replied": "a responder replied at PagerDuty",
}


def event_id(headers: Mapping[str, str]) -> str:
    """The same on every attempt."""
    return headers.get("x-webhook-id", "")


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable. Events of other things than an incident may say something about one; they open none."""
    message = object_of(body)
    event = child(message, "event")
    kind, data = text(event, "event_type", "event", 100), child(event, "data", "event")
    is_incident = data.get("type") == "incident"
    incident = data if is_incident else child(_first_role(data), "incident", "event.data")
    if not incident.get("id"):
        return []  # pagey.ping, service events
    number = text(incident, "id", "event.data", 100)
    service, title = child(data, "service", "event.data"), incident.get("title")
    return [
        Notification(
            group_key=number,
            title=title_of(
                service.get("summary"), title or incident.get("summary"), otherwise=f"PagerDuty incident {number}"
            ),
            severity=rules.severity(_severities(data)),
            alerts=(_alert(number, data),) if is_incident else (),
            is_whole=False,
            told_at=moment(event.get("occurred_at"), "event.occurred_at"),
            note=TOLD.get(kind, "" if is_incident else f"{plain(kind)[:80]} at PagerDuty"),
            event_id=event["id"] if isinstance(event.get("id"), str) else "",
            type=rules.type_in(message),
        )
    ]


def _first_role(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Roles are given several at once, each with its incident, which is the same one."""
    roles = data.get("incident_role_assignments")
    return roles[0] if isinstance(roles, list) and roles and isinstance(roles[0], dict) else data


def _alert(number: str, data: Mapping[str, Any]) -> Alert:
    title = data.get("title")
    return Alert(
        fingerprint=number,
        is_firing=text(data, "status", "event.data", 40) != OVER,
        name=plain(title)[:100] if isinstance(title, str) else "",
        starts_at=moment(data.get("created_at"), "event.data.created_at"),
    )


def _severities(data: Mapping[str, Any]) -> list[Any]:
    priority = child(data, "priority", "event.data").get("summary")
    return [priority] if priority else [data.get("urgency")]
