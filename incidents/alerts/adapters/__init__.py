"""One module per sender: bytes and headers in, notifications out. None of them asks the database anything."""

from collections.abc import Callable, Mapping

from incidents.alerts.adapters import alertmanager, cloudevents, generic, grafana, pagerduty, standard_webhooks
from incidents.alerts.reading import Notification, Rules
from incidents.models import AlertSource

Adapter = Callable[[bytes, Mapping[str, str], Rules], list[Notification]]
Kind = AlertSource.Kind

ADAPTERS: Mapping[str, Adapter] = {
    Kind.ALERTMANAGER: alertmanager.read,
    Kind.GRAFANA: grafana.read,
    Kind.PAGERDUTY: pagerduty.read,
    Kind.CLOUDEVENTS: cloudevents.read,
    Kind.STANDARD_WEBHOOKS: standard_webhooks.read,
    Kind.GENERIC: generic.read,
}
EVENT_IDS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    Kind.PAGERDUTY: pagerduty.event_id,
    Kind.CLOUDEVENTS: cloudevents.event_id,
    Kind.STANDARD_WEBHOOKS: standard_webhooks.event_id,
}
