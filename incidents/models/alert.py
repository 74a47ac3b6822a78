"""Alerts: each delivery as it came, and the group that one incident answers for."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from incidents.models.alert_source import AlertSource
from incidents.models.incident import Incident
from incidents.vocabulary import IncidentType


class AlertGroupQuerySet(models.QuerySet["AlertGroup"]):
    def unopened(self) -> Self:
        """They fire, and no incident answers for them."""
        return self.filter(is_open=True, incident=None)

    def past_keeping(self, before: datetime) -> Self:
        """Over, with an incident that is too, and not heard of since then, with words that nothing holds."""
        has_none_open = Q(incident=None) | Q(incident__status__in=Incident.ENDED)
        over = self.filter(has_none_open, is_open=None, last_at__lt=before)
        return over.exclude(incident__legal_hold=True).exclude(group_key="")


class AlertGroup(models.Model):
    """One cause at its source. At most one is open per key, by constraint; closed ones may repeat.

    What its sender wrote is wiped with the payloads; its key, a digest, and its incident stay.
    """

    class State(models.TextChoices):
        FIRING = "firing", "firing"
        RESOLVED = "resolved", "resolved"

    personal: ClassVar[tuple[str, ...]] = ()

    source = models.ForeignKey(AlertSource, models.PROTECT, related_name="groups")
    key = models.BinaryField(max_length=32, help_text="SHA-256 of the sender's group key.")
    group_key = models.TextField()
    title = models.CharField(max_length=200)
    severity = models.CharField(max_length=10, choices=Incident.Severity.choices, default=Incident.Severity.SEV3)
    type = models.CharField(max_length=30, choices=IncidentType.choices, blank=True)
    labels = models.JSONField(default=dict, help_text="Those that all of its alerts shared when it was opened.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.FIRING)
    is_open = models.BooleanField(null=True, default=True, help_text="True or empty: empty ones may repeat.")
    fingerprints = models.JSONField(default=dict, help_text="Each alert's own state.")
    truncated_count = models.PositiveIntegerField(default=0)
    delivery_count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, help_text="The newest moment that the sender itself gave.")
    incident = models.ForeignKey(
        Incident,
        models.PROTECT,
        null=True,
        related_name="alert_groups",
        help_text="Empty: heard while its source was silenced or only watched.",
    )

    objects = AlertGroupQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "key"], condition=Q(is_open=True), name="alertgroup_one_open_per_key"
            )
        ]
        indexes = [
            models.Index(fields=["source", "key", "-id"], name="alertgroup_newest_of_key"),
            models.Index(fields=["source"], name="alertgroup_unopened", condition=Q(is_open=True, incident=None)),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def ref(self) -> str:
        """Of the incident that answers for it; empty where none does."""
        return self.incident.ref if self.incident else ""


def _about(groups: models.QuerySet[AlertGroup]) -> Q:
    """Of deliveries: about any of the groups, also where it is a batch that told of several."""
    keys = groups.values("pk")
    return Q(group__in=keys) | Q(more_groups__overlap=ArraySubquery(keys))


class AlertDeliveryQuerySet(models.QuerySet["AlertDelivery"]):
    def to_read(self) -> Self:
        return self.filter(outcome=AlertDelivery.Outcome.STORED)

    def heard(self) -> Self:
        """What its sender really sent; what was refused at the door tells nothing about them."""
        return self.exclude(outcome=AlertDelivery.Outcome.REFUSED).exclude(is_test=True)

    def past_keeping(self, before: datetime) -> Self:
        """Read, older than that, with a payload that nothing holds."""
        old = self.filter(received_at__lt=before, wiped_at=None).exclude(outcome=AlertDelivery.Outcome.STORED)
        return old.exclude(_about(AlertGroup.objects.filter(incident__legal_hold=True)))

    def hidden_from(self, user: Any) -> Self:
        """About an incident that the user may not see: what was posted tells what it is called, and more."""
        seen = Incident.objects.visible_to(user).values("pk")
        restricted = AlertGroup.objects.filter(incident__visibility=Incident.Visibility.RESTRICTED)
        return self.filter(_about(restricted.exclude(incident__in=seen)))

    def of_source_since(self, source: AlertSource, since: datetime) -> Self:
        return self.filter(source=source, received_at__gt=since)


class AlertDelivery(models.Model):
    """A delivery as it came, kept also when it was refused. The bytes never change; its fate is written once.

    Three things may happen to it later: it is received again, its payload is wiped, and nothing else.
    """

    class Outcome(models.TextChoices):
        STORED = "stored", "to be read"
        ACCEPTED = "accepted", "accepted"
        DUPLICATE = "duplicate", "duplicate"
        EMPTY = "empty", "without alerts"
        SILENCED = "silenced", "silenced"
        MONITORED = "monitored", "watched only"
        REJECTED = "rejected", "could not be read"
        REFUSED = "refused", "refused at the door"

    class Signature(models.TextChoices):
        NONE = "none", "not signed"
        VALID = "valid", "signature holds"
        INVALID = "invalid", "signature does not hold"

    personal: ClassVar[tuple[str, ...]] = ("raw_body",)
    is_hidden = False  # set for a reader who may not see what was posted

    source = models.ForeignKey(
        AlertSource, models.PROTECT, null=True, related_name="deliveries", help_text="Empty: nobody has its token."
    )
    raw_body = models.BinaryField(blank=True)
    body_digest = models.BinaryField(max_length=32, help_text="SHA-256 of the body; it outlives the body.")
    size = models.PositiveIntegerField(default=0, help_text="Bytes, as received.")
    content_type = models.CharField(max_length=100, blank=True)
    headers = models.JSONField(default=dict, blank=True, help_text="Those that say something about the delivery.")
    signature = models.CharField(max_length=10, choices=Signature.choices, default=Signature.NONE)
    sender_event_id = models.CharField(max_length=200, blank=True, help_text="The same on each attempt of the sender.")
    occurrence = models.PositiveIntegerField(default=1, help_text="How often it was received.")
    is_test = models.BooleanField(default=False)
    was_spooled = models.BooleanField(default=False, help_text="Taken to disk while the database was away.")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.STORED)
    reason = models.CharField(max_length=300, blank=True)
    group = models.ForeignKey(AlertGroup, models.PROTECT, null=True, related_name="deliveries")
    more_groups = ArrayField(
        models.BigIntegerField(), default=list, blank=True, help_text="Of a batch: the other groups that it told of."
    )
    received_at = models.DateTimeField(default=timezone.now)
    parsed_at = models.DateTimeField(null=True)
    wiped_at = models.DateTimeField(null=True)
    wiped_by = models.CharField(max_length=200, blank=True)

    objects = AlertDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "alert deliveries"
        permissions = [("wipe_alertdelivery", "Can wipe the payload of alert delivery")]
        indexes = [
            models.Index(fields=["received_at"], name="alertdelivery_to_read", condition=Q(outcome="stored")),
            models.Index(fields=["source", "received_at"], name="alertdelivery_of_source"),
            models.Index(fields=["received_at"], name="alertdelivery_with_payload", condition=Q(wiped_at=None)),
            models.Index(fields=["body_digest"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "sender_event_id"],
                condition=~Q(sender_event_id=""),
                name="alertdelivery_once_per_sender_event",
            ),
            models.CheckConstraint(
                condition=Q(wiped_at=None, wiped_by="")
                | (Q(wiped_at__isnull=False, raw_body=b"", headers={}, sender_event_id="") & ~Q(wiped_by="")),
                name="alertdelivery_wiped_at_with_wiped_by_and_nothing_left",
                violation_error_message="A wiped payload is empty, and says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(source__isnull=False) | Q(outcome="refused", raw_body=b""),
                name="alertdelivery_of_nobody_is_refused",
                violation_error_message="Of a delivery that nobody has the token of, only digest and size are kept.",
            ),
        ]

    def __str__(self) -> str:
        return f"delivery #{self.pk}"


class AlertOverflow(models.Model):
    """Deliveries of a source that were turned away in a quarter of an hour, announced once."""

    personal: ClassVar[tuple[str, ...]] = ()

    source = models.ForeignKey(AlertSource, models.PROTECT, related_name="overflows")
    began_at = models.DateTimeField(help_text="Begin of the quarter of an hour.")
    count = models.PositiveIntegerField(default=0)
    announced_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "began_at"], name="alertoverflow_one_row")]
        indexes = [models.Index(fields=["began_at"], name="alertoverflow_unsaid", condition=Q(announced_at=None))]

    def __str__(self) -> str:
        return f"{self.count} of {self.source_id}"
