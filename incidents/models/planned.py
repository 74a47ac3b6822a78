"""What belongs to a change set: its approvals, the rows that it was given, what its plan says, and its batches."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly
from consent.models import Batch, Choice, Subject
from incidents.models.change import ChangeSet
from incidents.models.incident import LINE


class ChangeApproval(AppendOnly):
    """Somebody other than the author read this plan, of this revision, and agreed or declined: to nothing else."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", "approved"
        DECLINE = "decline", "declined"

    personal: ClassVar[tuple[str, ...]] = ("comment",)

    change_set = models.ForeignKey(ChangeSet, models.PROTECT, related_name="approvals")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    revision = models.PositiveIntegerField()
    plan_digest = models.BinaryField(max_length=32)
    comment = models.CharField(max_length=500, blank=True, validators=[LINE])
    given_at = models.DateTimeField(default=timezone.now)
    given_by = models.CharField(max_length=200)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["change_set", "revision", "plan_digest", "given_by"],
                name="changeapproval_once_a_person",
                violation_error_message="You have answered for this plan already.",
            ),
            models.CheckConstraint(
                condition=Q(verdict="approve") | ~Q(comment=""),
                name="changeapproval_declined_with_a_reason",
                violation_error_message="Say why you decline it.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} by {self.given_by}"


class ChangeRow(models.Model):
    """A row that a script or an import brings with it: what it wants for one key. Read when the set is planned."""

    personal: ClassVar[tuple[str, ...]] = ()

    change_set = models.ForeignKey(ChangeSet, models.PROTECT, related_name="rows")
    subject = models.ForeignKey(Subject, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    choice = models.CharField(max_length=10, choices=Choice.choices)
    decided_at = models.DateTimeField(null=True, help_text="When it was decided, where that is known.")

    def __str__(self) -> str:
        return f"{self.choice} {self.purpose}/{self.channel}"


class PlannedWrite(models.Model):
    """What the plan says about one key, and what became of it. A plan that is made again replaces its rows."""

    class Effect(models.TextChoices):
        CHANGES = "changes", "changes"
        SAME = "same", "is so already"
        PROTECTED = "protected", "an explicit choice stands: not written"

    class Outcome(models.TextChoices):
        WRITTEN = "written", "written"
        MOVED = "moved", "changed meanwhile: left out"
        REFUSED = "refused", "an explicit opt-out covers it, or the person was merged: left out"

    personal: ClassVar[tuple[str, ...]] = ()

    id = models.BigAutoField(primary_key=True)
    change_set = models.ForeignKey(
        ChangeSet, models.PROTECT, db_constraint=False, db_index=False, related_name="writes"
    )  # a trigger looks per statement, not per row
    position = models.PositiveIntegerField(help_text="In the order of writing: opt-outs, opt-ins, then what is not.")
    subject = models.ForeignKey(Subject, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    choice = models.CharField(max_length=10, choices=Choice.choices)
    decided_at = models.DateTimeField(null=True, help_text="Empty: when it is applied.")
    version = models.PositiveIntegerField(help_text="Of the consent that it was planned on; 0: there was none.")
    before = models.CharField(max_length=10, choices=Choice.choices, null=True)
    before_explicit = models.BooleanField()
    region = models.CharField(max_length=10, help_text="The region of the person's locale, or unknown.")
    effect = models.CharField(max_length=10, choices=Effect.choices)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, null=True)
    batch = models.PositiveIntegerField(null=True, help_text="The number of the batch that it was applied with.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["change_set", "subject", "purpose", "channel"], name="plannedwrite_one_per_key"
            ),
            models.CheckConstraint(
                condition=Q(effect="changes") | Q(outcome=None),
                name="plannedwrite_only_changes_are_written",
                violation_error_message="What stands by a person's own choice is never written.",
            ),
        ]
        indexes = [models.Index(fields=["change_set", "position"], name="plannedwrite_order")]

    def __str__(self) -> str:
        return f"{self.position}: {self.choice} {self.purpose}/{self.channel}"


class ChangeBatch(models.Model):
    """A part of a set that is written in one transaction and judged before the next; one operation of configuration."""

    class State(models.TextChoices):
        WRITTEN = "written", "written; not judged yet"
        PASSED = "passed", "passed"
        FAILED = "failed", "failed"
        INCONCLUSIVE = "inconclusive", "could not be judged"

    personal: ClassVar[tuple[str, ...]] = ()

    change_set = models.ForeignKey(ChangeSet, models.PROTECT, related_name="batches")
    number = models.PositiveIntegerField()
    first_position = models.PositiveIntegerField()
    last_position = models.PositiveIntegerField()
    batch = models.ForeignKey(
        Batch, models.PROTECT, null=True, related_name="+", help_text="Of the decisions; none: configuration."
    )
    state = models.CharField(max_length=20, choices=State.choices, default=State.WRITTEN)
    written_count = models.PositiveIntegerField(default=0)
    moved_count = models.PositiveIntegerField(default=0)
    refused_count = models.PositiveIntegerField(default=0)
    log_before = models.BigIntegerField(default=0, help_text="The newest version of any consent before it was written.")
    undo = models.JSONField(null=True, help_text="What takes an operation of configuration back.")
    words = ArrayField(models.CharField(max_length=500), default=list, help_text="What the verdict rests on.")
    applied_at = models.DateTimeField(default=timezone.now)
    judged_at = models.DateTimeField(null=True)
    rolled_back_at = models.DateTimeField(null=True)
    validation = models.UUIDField(null=True, help_text="The validation run that judged it.")

    class Meta:
        ordering = ["number"]
        verbose_name_plural = "change batches"
        constraints = [
            models.UniqueConstraint(fields=["change_set", "number"], name="changebatch_numbered_once"),
            models.CheckConstraint(
                condition=Q(last_position__gte=F("first_position")),
                name="changebatch_is_not_empty",
                violation_error_message="A batch holds something.",
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.number}"
