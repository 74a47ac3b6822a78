"""Alerts: who may send them, each delivery as it came, and the group that one incident answers for."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from config.history import TrackedModel
from incidents.models.incident import Incident


class AlertSource(TrackedModel):
    """Something that may post alerts here, known by the token in its address (Alertmanager cannot sign)."""

    class Kind(models.TextChoices):
        ALERTMANAGER = "alertmanager", "Alertmanager"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.ALERTMANAGER)
    token_digest = models.BinaryField(max_length=32, unique=True, editable=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name


class AlertGroup(models.Model):
    """One cause at its source. At most one is open per key, by constraint; closed ones may repeat."""

    class State(models.TextChoices):
        FIRING = "firing", "firing"
        RESOLVED = "resolved", "resolved"

    personal: ClassVar[tuple[str, ...]] = ()

    source = models.ForeignKey(AlertSource, models.PROTECT, related_name="groups")
    key = models.BinaryField(max_length=32, help_text="SHA-256 of the sender's group key.")
    group_key = models.TextField()
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.FIRING)
    is_open = models.BooleanField(null=True, default=True, help_text="True or empty: empty ones may repeat.")
    fingerprints = models.JSONField(default=dict, help_text="Each alert's own state.")
    truncated_count = models.PositiveIntegerField(default=0)
    delivery_count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    incident = models.ForeignKey(Incident, models.PROTECT, related_name="alert_groups")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "key"], condition=Q(is_open=True), name="alertgroup_one_open_per_key"
            )
        ]

    def __str__(self) -> str:
        return self.title


class AlertDelivery(models.Model):
    """A delivery as it came, kept also when it was refused. The bytes never change; its fate is written once."""

    class Outcome(models.TextChoices):
        STORED = "stored", "to be read"
        ACCEPTED = "accepted", "accepted"
        DUPLICATE = "duplicate", "duplicate"
        EMPTY = "empty", "without alerts"
        REJECTED = "rejected", "rejected"

    personal: ClassVar[tuple[str, ...]] = ("raw_body",)

    source = models.ForeignKey(AlertSource, models.PROTECT, related_name="deliveries")
    raw_body = models.BinaryField()
    body_digest = models.BinaryField(max_length=32)
    content_type = models.CharField(max_length=100, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.STORED)
    reason = models.CharField(max_length=300, blank=True)
    group = models.ForeignKey(AlertGroup, models.PROTECT, null=True, related_name="deliveries")
    received_at = models.DateTimeField(default=timezone.now)
    parsed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "alert deliveries"
        indexes = [
            models.Index(fields=["received_at"], name="alertdelivery_to_read", condition=Q(outcome="stored")),
            models.Index(fields=["body_digest"]),
        ]

    def __str__(self) -> str:
        return f"delivery #{self.pk}"
