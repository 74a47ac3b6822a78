"""What an endpoint is told: one row per endpoint and change, every call of it, and whether both sides agree."""

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Expression, F, Q
from django.utils import timezone

from config.history import AppendOnly
from consent.models import Choice
from messaging.models.endpoint import Endpoint


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def owed(self) -> Self:
        """Not taken by its service yet, and not given up."""
        return self.filter(state__in=WebhookDelivery.OWED)

    def abandoned(self, now: datetime | Expression) -> Self:
        """Claimed by a worker that never came back."""
        return self.filter(state=WebhookDelivery.State.SENDING, lease_until__lt=now)


class WebhookDelivery(models.Model):
    """One event for one endpoint. Told at least once under one id; a killed worker's call is made again."""

    class Kind(models.TextChoices):
        CHANGED = "consent.changed", "a change of state"
        MERGED = "subject.merged", "two records found to be one person"
        OPENED = "incident.opened", "an incident"
        ESCALATED = "incident.escalated", "an incident that became worse"
        CLOSED = "incident.closed", "an incident that is over"
        TEST = "webhook.test", "a test"

    class State(models.TextChoices):
        DUE = "due", "due"
        SENDING = "sending", "sending"
        RETRY_WAIT = "retry_wait", "waiting to try again"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed"

    OWED: ClassVar[list[str]] = [State.DUE, State.SENDING, State.RETRY_WAIT]
    OF_INCIDENTS: ClassVar[list[str]] = [Kind.OPENED, Kind.ESCALATED, Kind.CLOSED]
    WAITING: ClassVar[list[str]] = [State.DUE, State.RETRY_WAIT]
    personal: ClassVar[tuple[str, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="deliveries", db_index=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    source_id = models.BigIntegerField(
        null=True, help_text="The version of consent or incident, or the merge, that it tells."
    )
    facts = models.JSONField(null=True, help_text="What is told of an incident.")
    subject_id = models.UUIDField(null=True)
    into_id = models.UUIDField(null=True, help_text="Of a merge: who speaks for both.")
    merged = ArrayField(models.UUIDField(), default=list, help_text="Who else the subject spoke for at the time.")
    purpose = models.CharField(max_length=50, blank=True)
    channel = models.CharField(max_length=10, blank=True)
    before = models.CharField(max_length=10, choices=Choice.choices, null=True)
    after = models.CharField(max_length=10, choices=Choice.choices, null=True)
    explicit = models.BooleanField(default=False)
    cause = models.CharField(max_length=30, blank=True)
    decision_id = models.BigIntegerField(null=True)
    version = models.PositiveIntegerField(default=0)
    occurred_at = models.DateTimeField(help_text="When the state changed.")

    state = models.CharField(max_length=20, choices=State.choices, default=State.DUE)
    not_before = models.DateTimeField(default=timezone.now)
    attempts_made = models.PositiveIntegerField(default=0)
    tries = models.PositiveIntegerField(default=0, help_text="Since it became due, or was replayed.")
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(
                fields=["endpoint", "not_before", "source_id"],
                name="webhookdelivery_due",
                condition=Q(state__in=["due", "retry_wait"]),
            ),
            models.Index(fields=["endpoint"], name="webhookdelivery_failed", condition=Q(state="failed")),
            models.Index(fields=["lease_until"], name="webhookdelivery_leased", condition=Q(state="sending")),
            models.Index(
                fields=["decision_id"], name="webhookdelivery_of_decision", condition=Q(decision_id__isnull=False)
            ),
            models.Index(fields=["-created_at", "-id"], name="webhookdelivery_recent"),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="webhookdelivery_of_endpoint"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "kind", "source_id"], name="webhookdelivery_owed_once"),
            models.CheckConstraint(
                condition=Q(state="sending", lease__isnull=False, lease_until__isnull=False)
                | ~Q(state="sending") & Q(lease=None, lease_until=None),
                name="webhookdelivery_sending_under_a_lease",
                violation_error_message="A delivery is sent under a lease, and only then.",
            ),
            models.CheckConstraint(
                condition=Q(kind="webhook.test")
                | Q(source_id__isnull=False, subject_id__isnull=False)
                | Q(kind__startswith="incident.", source_id__isnull=False, facts__isnull=False),
                name="webhookdelivery_tells_of_something",
                violation_error_message="A delivery names what it tells of.",
            ),
        ]

    def __str__(self) -> str:
        return self.webhook_id

    @property
    def webhook_id(self) -> str:
        """The same over all tries and replays, so that a receiver knows what it has seen."""
        return f"msg_{self.pk.hex}"


class WebhookAttempt(AppendOnly):
    """One call of an endpoint and how it ended. `error` is empty where it was answered."""

    delivery = models.ForeignKey(WebhookDelivery, models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(default=timezone.now)
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the HTTP answer.")
    reply = models.CharField(max_length=500, blank=True, help_text="How the answer began.")
    error = models.CharField(max_length=50, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="webhookattempt_numbered_once"),
            models.CheckConstraint(
                condition=Q(ended_at__gte=F("started_at")), name="webhookattempt_ends_after_it_began"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"


class WebhookReplay(AppendOnly):
    """Somebody asked for deliveries to be sent again: which, how many, who and why."""

    class What(models.TextChoices):
        ONE = "one", "one delivery"
        FAILED = "failed", "all that failed"
        SINCE = "since", "all that changed since"
        KEYS = "keys", "what a report showed to differ"
        TEST = "test", "a test event"

    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="replays")
    what = models.CharField(max_length=10, choices=What.choices)
    delivery = models.ForeignKey(WebhookDelivery, models.PROTECT, null=True, related_name="replays")
    since = models.DateTimeField(null=True)
    count = models.PositiveIntegerField()
    reason = models.CharField(max_length=200)
    requested_at = models.DateTimeField(default=timezone.now)
    requested_by = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="webhookreplay_has_a_reason",
                violation_error_message="Say why it is sent again.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_what_display()} of {self.endpoint_id}"


class Reconciliation(AppendOnly):
    """A service told what it holds; compared with what holds here. While it is behind, nothing can be said."""

    class Outcome(models.TextChoices):
        IN_STEP = "in_step", "in step"
        DIFFERS = "differs", "differs"
        UNMEASURED = "unmeasured", "not measured: still behind"

    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="reconciliations")
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    behind = models.PositiveIntegerField(help_text="Deliveries owed at the time.")
    findings = models.JSONField(default=list, help_text="Where the two differ: purpose, channel, ours, theirs.")
    compared_at = models.DateTimeField(default=timezone.now)
    compared_by = models.CharField(max_length=200)

    class Meta:
        indexes = [models.Index(fields=["endpoint", "-id"], name="reconciliation_newest")]

    def __str__(self) -> str:
        return f"{self.endpoint_id}: {self.outcome}"
