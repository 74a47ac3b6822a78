"""A service tells key by key what it holds; what differs from here is found, dealt with, and kept until it is right."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from consent.models import Channel, Choice
from messaging.models.endpoint import Endpoint
from messaging.models.webhook import WebhookDelivery

TOLERANCE = timedelta(seconds=60)  # I4: for a change to reach a service, and for one that was told again


class StateReport(models.Model):
    """What a service held at a moment, sent in parts under one name. Begun once and finished once."""

    personal: ClassVar[tuple[str, ...]] = ()

    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="state_reports")
    name = models.CharField(max_length=100, help_text="The service's own: the same name is the same report.")
    held_at = models.DateTimeField(help_text="When the service looked at what it holds.")
    started_at = models.DateTimeField(default=timezone.now)
    started_by = models.CharField(max_length=200)
    finished_at = models.DateTimeField(null=True)
    finished_by = models.CharField(max_length=200, blank=True)
    is_complete = models.BooleanField(default=False, help_text="Whom it does not name the service does not know.")
    rows = models.PositiveIntegerField(default=0, help_text="Keys that were sent.")
    same = models.PositiveIntegerField(default=0)
    unmeasured = models.PositiveIntegerField(default=0, help_text="They changed here too short a time before.")
    differing = models.PositiveIntegerField(default=0)
    recorded = models.PositiveIntegerField(default=0, help_text="Opt-outs that nobody here knew, taken down.")
    batch_id = models.UUIDField(null=True, help_text="Of those opt-outs, so that they can be undone as one.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "name"], name="statereport_one_per_name"),
            models.CheckConstraint(
                condition=Q(finished_at=None, finished_by="") | Q(finished_at__isnull=False) & ~Q(finished_by=""),
                name="statereport_finished_at_with_finished_by",
                violation_error_message="A report that is finished says when and by whom.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint_id}: {self.name}"


class DifferenceQuerySet(models.QuerySet["Difference"]):
    def open(self) -> Self:
        return self.filter(settled_at=None)

    def lasting(self, now: datetime) -> Self:
        """Told again more than a minute ago, and not taken by then; or taken, and shown to differ by a later report."""
        owed = WebhookDelivery.objects.filter(
            endpoint=OuterRef("endpoint"),
            kind=WebhookDelivery.Kind.CHANGED,
            source_id=OuterRef("source_id"),
            state__in=WebhookDelivery.OWED,
        )
        told = self.open().filter(told_again_at__lt=now - TOLERANCE)
        return told.filter(Q(lasts_since__isnull=False) | Exists(owed))


class Difference(models.Model):
    """One key about which a service and we do not say the same. It stands until a report shows it right."""

    class Kind(models.TextChoices):
        CONTACTABLE = "contactable", "they would write, and here it is an opt-out"
        OLDER = "older", "they hold a no, and a newer yes of the person is here"
        NEWER = "newer", "they hold a no, and an older yes of the person is here"
        NO_YES = "no_yes", "they would write, and nobody here ever heard a yes"
        UNKNOWN = "unknown", "they would write to somebody whom nobody here knows"
        UNHEARD = "unheard", "they held a no that nobody here knew: taken down"

    TOLD_AGAIN: ClassVar[list[str]] = [Kind.CONTACTABLE, Kind.OLDER]
    personal: ClassVar[tuple[str, ...]] = ()

    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="differences")
    first_report = models.ForeignKey(StateReport, models.PROTECT, related_name="+")
    last_report = models.ForeignKey(StateReport, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    person = models.CharField(max_length=64, help_text="The subject's id, or the blind index of an unknown address.")
    subject_id = models.UUIDField(null=True)
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    theirs = models.CharField(max_length=10, choices=Choice.choices)
    theirs_at = models.DateTimeField(null=True, help_text="Since when, as they say.")
    ours = models.CharField(max_length=20, help_text="opted_in, opted_out or never_asked.")
    ours_at = models.DateTimeField(null=True)
    decision_id = models.BigIntegerField(null=True, help_text="What holds here, or what was taken down.")
    source_id = models.BigIntegerField(null=True, help_text="The version of consent that they were told again.")
    found_at = models.DateTimeField(default=timezone.now)
    times_seen = models.PositiveIntegerField(default=1)
    told_again_at = models.DateTimeField(null=True)
    lasts_since = models.DateTimeField(null=True, help_text="A later report showed it, although they were told again.")
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=200, blank=True)
    settled_reason = models.CharField(max_length=200, blank=True)

    objects = DifferenceQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["endpoint", "kind"], name="difference_open", condition=Q(settled_at=None)),
            models.Index(fields=["endpoint", "-id"], name="difference_of_endpoint"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "person", "purpose", "channel"],
                condition=Q(settled_at=None),
                name="difference_open_once_per_key",
            ),
            models.CheckConstraint(
                condition=Q(settled_at=None, settled_by="", settled_reason="")
                | Q(settled_at__isnull=False) & ~Q(settled_by="") & ~Q(settled_reason=""),
                name="difference_settled_at_with_settled_by",
                violation_error_message="Say when, by whom and why it is settled.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.purpose}/{self.channel}"
