"""How each kind of sender is connected, in the words of whoever has to do it."""

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from incidents.models import AlertSource

Kind = AlertSource.Kind
PASTE = "Press New secret above and paste what it shows as the {0}, or paste the {0} that the sender shows into it."

STEPS: dict[str, tuple[str, ...]] = {
    Kind.ALERTMANAGER: (
        "In alertmanager.yml add a receiver with webhook_configs and the address as its url.",
        "Set send_resolved: true, so that a cause that is over is told, and max_alerts: 0 or at most 200.",
        (
            "Alertmanager cannot sign. Whoever knows the address can post: keep it in url_file, send over TLS, and "
            "renew it when somebody leaves."
        ),
    ),
    Kind.GRAFANA: (
        "Under Alerting, Contact points add a Webhook with the address as its URL and POST as its method.",
        "Under HMAC Signature enter a secret. " + PASTE.format("secret"),
        "If you name a timestamp header there, write the same name into this page: then late repeats are refused.",
        "Leave the payload as it is. A custom payload is not read.",
    ),
    Kind.PAGERDUTY: (
        "Under Integrations, Generic Webhooks (v3) add a subscription with the address as its URL.",
        "PagerDuty shows the signing secret once. Paste it with New secret.",
        "Choose the incident events. Others are kept and change nothing.",
    ),
    Kind.CLOUDEVENTS: (
        "Send events in version 1.0 to the address by POST: structured, in a batch, or with ce- headers.",
        "A sender that asks first with OPTIONS is answered with the rate that it may use.",
        (
            "Without a mapping each source, type and subject is one incident, and every event is firing. Say in the "
            'mapping what ends it: {"status": "/type", "resolved": ["com.example.recovered"]}.'
        ),
        "CloudEvents knows no signature of its own. Choose one if your sender adds it.",
    ),
    Kind.STANDARD_WEBHOOKS: (
        "Add an endpoint with the address at the sender; it shows a secret that begins with whsec_.",
        "Paste that secret with New secret.",
        (
            "Without a mapping each type of event is one incident. Say in the mapping what belongs together and what "
            'ends it: {"key": "/data/id", "status": "/data/status", "resolved": ["closed"]}.'
        ),
    ),
    Kind.GENERIC: (
        "Send one JSON object a message to the address by POST, as application/json.",
        (
            "Say in the mapping where its parts stand, by JSON pointers: what belongs together (key), its title, and "
            "which words of its status end it."
        ),
        "If the sender can sign the body with HMAC-SHA256, choose that and name its header.",
    ),
}


def steps(source: AlertSource, address: str) -> SafeString:
    items = format_html_join("", "<li>{}</li>", ((step,) for step in STEPS[source.kind]))
    shown = format_html("<p>The address is <code>{}</code>. Its token is shown once, when it is made.</p>", address)
    answers = (
        "It answers 202 once a delivery is kept, 401 to a signature that does not hold, 429 to what comes too fast."
    )
    return format_html('{}<ol class="hf-steps">{}</ol><p class="hf-soft">{}</p>', shown, items, answers)
