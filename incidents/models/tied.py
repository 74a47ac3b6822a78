"""Decisions as incidents see them: tied to one, rolled up per minute, and looked at again when one is declared late."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from config.history import AppendOnly
from incidents.models.incident import Incident


class DecisionLink(AppendOnly):
    """A decision made in an incident's window and scope. Found by the reader of the log, once."""

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="links")
    decision_id = models.BigIntegerField()
    subject_id = models.UUIDField()
    linked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["incident", "decision_id"], name="decisionlink_once")]
        indexes = [models.Index(fields=["decision_id"]), models.Index(fields=["subject_id"])]

    def __str__(self) -> str:
        return f"{self.incident_id} ↔ #{self.decision_id}"


class DecisionRollup(models.Model):
    """Tied decisions of one minute, way out, choice and cause: the timeline's line instead of one a person."""

    personal: ClassVar[tuple[str, ...]] = ()

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="rollups")
    minute = models.DateTimeField()
    exit_path = models.CharField(max_length=50, blank=True)
    choice = models.CharField(max_length=10)
    cause = models.CharField(max_length=30)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["minute"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "minute", "exit_path", "choice", "cause"], name="decisionrollup_one_row"
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%H:%M} {self.exit_path} {self.cause}: {self.count}"


class DecisionMinute(models.Model):
    """All decisions of one minute (UTC), by what they are about, way out, choice and cause, whatever the incident.

    What the charts draw. The cause is the assessed one, where somebody looked again (`CauseAssessment`).
    """

    personal: ClassVar[tuple[str, ...]] = ()

    minute = models.DateTimeField()
    purpose = models.CharField(max_length=50, default="*")
    channel = models.CharField(max_length=10, default="*")
    exit_path = models.CharField(max_length=50, blank=True, help_text="Empty: none was named.")
    choice = models.CharField(max_length=10)
    cause = models.CharField(max_length=30)
    is_drill = models.BooleanField(default=False)
    count = models.PositiveIntegerField(default=0)
    unexplained = models.PositiveIntegerField(default=0, help_text="Of these, how many nobody knows a reason of.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "choice", "purpose", "channel", "exit_path", "cause", "is_drill"],
                name="decisionminute_one_row",
            ),
        ]
        indexes = [
            models.Index(
                fields=["purpose", "channel", "minute"],
                name="decisionminute_watched",
                condition=Q(choice="opt_out", is_drill=False),
            ),
            models.Index(
                fields=["exit_path", "minute"],
                name="decisionminute_by_way_out",
                condition=Q(choice="opt_out", is_drill=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.choice} {self.exit_path} {self.cause}: {self.count}"


class Backfill(models.Model):
    """Owed to an incident that was declared late or widened: a look at the decisions that the reader has passed.

    The row is the work. `next_id` is where it goes on after a break; empty bounds mean that it has not begun.
    """

    personal: ClassVar[tuple[str, ...]] = ()

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="backfills")
    carries = models.ForeignKey(
        Incident, models.PROTECT, null=True, related_name="+", help_text="A merged incident whose ties are taken over."
    )
    reason = models.CharField(max_length=200)
    next_id = models.BigIntegerField(null=True, help_text="The next decision to look at.")
    last_id = models.BigIntegerField(null=True, help_text="The last decision to look at.")
    look_id = models.BigIntegerField(
        default=0, help_text="The next decision, of those it tied, whose cause is looked at again."
    )
    requested_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], name="backfill_owed", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return f"backfill of {self.incident_id}: {self.reason}"
