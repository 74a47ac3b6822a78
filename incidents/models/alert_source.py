"""Who may send alerts: an address with a token, a signature where the sender can sign, and how it is listened to."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from config.history import TrackedModel
from incidents.mapping import check_mapping, check_severity_map
from incidents.models.incident import LINE
from incidents.vocabulary import IncidentType

HEADER = RegexValidator(r"^[A-Za-z0-9-]*$", "A header's name has letters, digits and hyphens.")


class AlertSource(TrackedModel):
    """Something that may post alerts here."""

    class Kind(models.TextChoices):
        ALERTMANAGER = "alertmanager", "Alertmanager"
        GRAFANA = "grafana", "Grafana Alerting"
        PAGERDUTY = "pagerduty", "PagerDuty (webhooks v3)"
        CLOUDEVENTS = "cloudevents", "CloudEvents 1.0"
        STANDARD_WEBHOOKS = "standard_webhooks", "Standard Webhooks"
        GENERIC = "generic", "other JSON, with a mapping"

    class Mode(models.TextChoices):
        ACTIVE = "active", "on: alerts open incidents"
        MONITOR = "monitor", "watched only: alerts are read and open nothing"
        OFF = "off", "off: deliveries are turned away"

    class Signature(models.TextChoices):
        NONE = "none", "none: the address alone lets in"
        GRAFANA = "grafana", "Grafana (HMAC, bare hex)"
        PAGERDUTY = "pagerduty", "PagerDuty (v1=…)"
        STANDARD_WEBHOOKS = "standard_webhooks", "Standard Webhooks (v1,…)"
        HMAC = "hmac", "HMAC-SHA256 of the body in hex (GitHub style)"
        SLACK = "slack", "Slack (v0=…)"

    # What a source signs with unless somebody says otherwise; Alertmanager and plain CloudEvents cannot sign.
    USUAL: ClassVar[dict[str, str]] = {
        Kind.GRAFANA: Signature.GRAFANA,
        Kind.PAGERDUTY: Signature.PAGERDUTY,
        Kind.STANDARD_WEBHOOKS: Signature.STANDARD_WEBHOOKS,
    }

    name = models.CharField(max_length=100, unique=True, validators=[LINE])
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.ALERTMANAGER)
    token_digest = models.BinaryField(max_length=32, unique=True, editable=False)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.ACTIVE)
    is_drill = models.BooleanField(
        "for drills", default=False, help_text="Incidents that it opens are drills, and counted as such."
    )
    signature = models.CharField(max_length=20, choices=Signature.choices, default=Signature.NONE)
    signature_header = models.CharField(
        max_length=60, blank=True, validators=[HEADER], help_text="Empty: the header that this kind of sender uses."
    )
    timestamp_header = models.CharField(
        max_length=60, blank=True, validators=[HEADER], help_text="Grafana only, where its contact point names one."
    )
    tolerance = models.DurationField(
        default=timedelta(minutes=5),
        validators=[MinValueValidator(timedelta(seconds=1)), MaxValueValidator(timedelta(hours=1))],
        help_text="How far a signed time may be from ours, either way, as hh:mm:ss.",
    )
    mapping = models.JSONField(
        default=dict,
        blank=True,
        validators=[check_mapping],
        help_text='For other JSON, CloudEvents and Standard Webhooks: {"key": "/service", "title": "/summary"} … '
        'Of every sender: {"type": "/commonLabels/incident_type"}.',
    )
    severity_map = models.JSONField(
        default=dict,
        blank=True,
        validators=[check_severity_map],
        help_text='The sender\'s words that are not known here: {"red": "sev1"}.',
    )
    type = models.CharField(
        "what its alerts are about",
        max_length=30,
        choices=IncidentType.choices,
        blank=True,
        help_text="The type of the incidents that it opens, unless the mapping's `type` finds one: playbooks go by it.",
    )
    rate_limit = models.PositiveIntegerField(
        default=6000,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="Deliveries a minute; what is above is turned away with 429, counted and announced.",
    )
    heartbeat_timeout = models.DurationField(
        null=True,
        blank=True,
        validators=[MinValueValidator(timedelta(minutes=1)), MaxValueValidator(timedelta(days=7))],
        help_text="Nothing heard for so long opens an incident. Empty: silence is fine.",
    )
    watched_since = models.DateTimeField(default=timezone.now, editable=False)
    silenced_until = models.DateTimeField(null=True, blank=True, editable=False)
    silenced_by = models.CharField(max_length=200, blank=True, editable=False)
    silence_reason = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        permissions = [("silence_alertsource", "Can silence alert source")]
        constraints = [
            models.CheckConstraint(
                condition=Q(silenced_until=None, silenced_by="", silence_reason="")
                | (Q(silenced_until__isnull=False) & ~Q(silenced_by="") & ~Q(silence_reason="")),
                name="alertsource_silence_has_an_end_a_person_and_a_reason",
                violation_error_message="A silence says until when, by whom and why.",
            ),
            models.CheckConstraint(
                condition=Q(rate_limit__gte=1),
                name="alertsource_lets_something_in",
                violation_error_message="A limit below one a minute lets nothing in: switch the source off instead.",
            ),
            models.CheckConstraint(
                condition=~Q(kind="alertmanager") | Q(signature="none"),
                name="alertsource_alertmanager_cannot_sign",
                violation_error_message="Alertmanager cannot sign what it sends: its address is all that lets it in.",
            ),
            models.CheckConstraint(
                condition=~Q(kind="generic") | Q(mapping__has_key="key"),
                name="alertsource_generic_says_what_belongs_together",
                violation_error_message="Other JSON needs a mapping that says in `key` what belongs together.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.timestamp_header and self.signature != self.Signature.GRAFANA:
            raise ValidationError({"timestamp_header": "Only Grafana's signature takes its time from a named header."})

    def is_silenced(self, now: datetime) -> bool:
        return self.silenced_until is not None and now < self.silenced_until

    def opens_incidents(self, now: datetime) -> bool:
        return self.mode == self.Mode.ACTIVE and not self.is_silenced(now)


class AlertSecret(models.Model):
    """What a sender signs with, sealed. Several hold at once while one is changed for another."""

    personal: ClassVar[tuple[str, ...]] = ()

    source = models.ForeignKey(AlertSource, models.PROTECT, related_name="secrets")
    sealed = models.BinaryField(help_text="Sealed by PRIVACY_KEY; empty once it is retired.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)
    retired_at = models.DateTimeField(null=True)
    retired_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(retired_at=None, retired_by="") | (Q(retired_at__isnull=False) & ~Q(retired_by="")),
                name="alertsecret_retired_at_with_retired_by",
                violation_error_message="A retired secret says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(retired_at=None) | Q(sealed=b""),
                name="alertsecret_retired_is_gone",
                violation_error_message="A retired secret is emptied.",
            ),
        ]

    def __str__(self) -> str:
        return f"secret {self.pk} of {self.created_at:%Y-%m-%d %H:%M}"
