"""Where changes are sent: services with an address, what they care about, and secrets that sign what they get."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import TrackedModel


class Endpoint(TrackedModel):
    """A service that is told of every change of state, or of incidents. What is owed while it is paused or disabled is
    kept for it."""

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        PAUSED = "paused", "paused"
        DISABLED = "disabled", "disabled"
        RETIRED = "retired", "retired"

    class About(models.TextChoices):
        CHOICES = "choices", "each change of a choice"
        INCIDENTS = "incidents", "incidents: opened, made worse, over"

    personal: ClassVar[tuple[str, ...]] = ()

    name = models.CharField(
        max_length=50,
        unique=True,
        validators=[
            RegexValidator(r"\A[a-z0-9][a-z0-9-]*\Z", "Use small letters, digits and hyphens: crm, ad-server.")
        ],
        help_text="Small letters, digits and hyphens. It stands in addresses and never changes.",
    )
    about = models.CharField(
        "told of", max_length=10, choices=About.choices, default=About.CHOICES, help_text="It never changes."
    )
    url = models.CharField(max_length=500, help_text="An https:// address on the public internet.")
    owner = models.CharField(max_length=100, help_text="Whom to call when it fails.")
    purposes = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="None: all of them.")
    channels = ArrayField(models.CharField(max_length=10), default=list, blank=True, help_text="None: all of them.")
    with_user_ids = models.BooleanField(
        default=False, help_text="Send the person's user ids too. E-mail addresses and telephone numbers never leave."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    state_reason = models.CharField(max_length=200, blank=True)
    state_changed_at = models.DateTimeField(default=timezone.now)
    state_changed_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(about="choices") | Q(about="incidents", purposes=[], channels=[], with_user_ids=False),
                name="endpoint_about_incidents_has_no_scope",
                violation_error_message="Purposes, channels and user ids are for services that are told of choices.",
            ),
            models.CheckConstraint(
                condition=Q(state="active") | ~Q(state_reason=""),
                name="endpoint_stops_for_a_reason",
                violation_error_message="Say why this service is not told any more.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class EndpointSecret(models.Model):
    """Signs what an endpoint gets. Two overlap while its service learns the newer one."""

    personal: ClassVar[tuple[str, ...]] = ()

    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="secrets")
    sealed = models.BinaryField(help_text="The secret, encrypted.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)
    ends_at = models.DateTimeField(null=True, help_text="It signs until then; empty for the newest one.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("created_at")), name="endpointsecret_ends_after_it_began"
            ),
            models.UniqueConstraint(
                fields=["endpoint"], condition=Q(ends_at=None), name="endpointsecret_one_without_an_end"
            ),
        ]

    def __str__(self) -> str:
        return f"secret of {self.endpoint_id} since {self.created_at:%Y-%m-%d %H:%M}"


class EndpointHealth(models.Model):
    """What the last calls of an endpoint taught, and whose turn it is to call it."""

    personal: ClassVar[tuple[str, ...]] = ()

    endpoint = models.OneToOneField(Endpoint, models.PROTECT, primary_key=True, related_name="health")
    failures_in_a_row = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True, help_text="Not called again before.")
    lease = models.UUIDField(null=True, help_text="Of the one worker that calls it.")
    lease_until = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(lease=None, lease_until=None) | Q(lease__isnull=False, lease_until__isnull=False),
                name="endpointhealth_lease_with_its_end",
            )
        ]

    def __str__(self) -> str:
        return f"health of {self.endpoint_id}"
