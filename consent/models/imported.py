"""Files of other senders' opt-outs and preferences: what came, what it would do, what it did, and what was left out."""

from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from config.history import AppendOnly
from consent.models.decision import ANY, Batch, Channel, Choice
from consent.models.subject import Identifier

KEPT_FOR = timedelta(days=30)  # how long what a file said about people is kept


class ImportQuerySet(models.QuerySet["Import"]):
    def to_be_emptied(self, now: Any) -> Self:
        """What they said about people has been kept for as long as it may."""
        return self.filter(emptied_at=None, created_at__lte=now - KEPT_FOR)

    def of_file(self, digest: bytes) -> Self:
        return self.filter(digest=digest)


class Import(models.Model):
    """One file: read when it came, planned before it is applied, undone as one."""

    personal: ClassVar[tuple[str, ...]] = ()

    file_name = models.CharField(max_length=200)
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the file.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sender = models.CharField(max_length=30, help_text="Whose columns the file has.")
    sheet = models.CharField(max_length=100, blank=True)
    columns = models.JSONField(default=list, help_text="The first row, as it was found.")
    purpose = models.CharField(max_length=50, help_text="For rows that name none; * for all.")
    channel = models.CharField(max_length=10, choices=[*Channel.choices, (ANY, "all channels")])
    opt_outs_only = models.BooleanField(default=False, help_text="Opt-ins were left out when it was read.")
    moment = models.DateTimeField(help_text="When the rows count from that name no time.")
    is_dated = models.BooleanField(default=False, help_text="Somebody said that the list is of that moment.")
    rows = models.PositiveIntegerField(help_text="The number of its last row, as a spreadsheet counts them.")
    counts = models.JSONField(default=dict, help_text="How many rows would do what, when it was planned last.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)
    planned_at = models.DateTimeField(null=True)
    applied_at = models.DateTimeField(null=True)
    applied_by = models.CharField(max_length=200, blank=True)
    taken_by = models.CharField(
        max_length=30, blank=True, help_text="What else its rows became part of, and is written by: CS-12."
    )
    undone_at = models.DateTimeField(null=True)
    undone_by = models.CharField(max_length=200, blank=True)
    undone_reason = models.CharField(max_length=200, blank=True)
    emptied_at = models.DateTimeField(null=True, help_text="Since then it holds nothing of what it said about people.")

    objects = ImportQuerySet.as_manager()

    class Meta:
        permissions = [("undo_import", "Can undo an import")]
        indexes = [
            models.Index(fields=["digest"], name="import_by_file"),
            models.Index(fields=["-created_at"], name="import_newest"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(channel__in=[*Channel.values, ANY]),
                name="import_channel_is_known",
                violation_error_message="Name a known channel, or * for all.",
            ),
            models.CheckConstraint(
                condition=Q(applied_at=None, applied_by="") | (Q(applied_at__isnull=False) & ~Q(applied_by="")),
                name="import_applied_at_with_applied_by",
                violation_error_message="An applied import says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(undone_at=None, undone_by="", undone_reason="")
                | (Q(undone_at__isnull=False) & ~Q(undone_by="") & ~Q(undone_reason="")),
                name="import_undone_at_with_undone_by",
                violation_error_message="An import that was undone says when, by whom and why.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.file_name}"

    @property
    def ref(self) -> str:
        return f"IM-{self.pk}"


class ImportRowQuerySet(models.QuerySet["ImportRow"]):
    def naming(self, subject_id: UUID) -> Self:
        """Rows of whatever file that name this person."""
        same = Identifier.objects.filter(subject_id=subject_id, kind=OuterRef("kind"), digest=OuterRef("digest"))
        return self.filter(Exists(same))


class ImportRow(models.Model):
    """A row of a file that waits to be applied, or that was left out and why.

    What was written is gone from here: its decision bears the batch of its portion.
    """

    class Effect(models.TextChoices):
        CHANGES = "changes", "changes what stands"
        KEPT = "kept", "opted out already, by what can be undone: kept beside it"
        OLDER_OUT = "older_out", "an opt-out older than what stands: kept, changes nothing"
        OUTWEIGHED = "outweighed", "the person opted in themselves: kept, changes nothing"
        SAME = "same", "stands already"
        REPEATED = "repeated", "the file says it of this person in another row too"
        PROTECTED = "protected", "the person opted out themselves: never written"
        OLDER = "older", "an opt-in older than what stands: not written"
        MOVED = "moved", "something else stands than when it was planned: not written"
        REFUSED = "refused", "cannot be read as a choice"

    WRITTEN: ClassVar[list[str]] = [Effect.CHANGES, Effect.KEPT, Effect.OLDER_OUT, Effect.OUTWEIGHED]
    LEFT_OUT: ClassVar[list[str]] = [Effect.PROTECTED, Effect.OLDER, Effect.MOVED, Effect.REFUSED]
    personal: ClassVar[tuple[str, ...]] = ("sealed",)

    imported = models.ForeignKey(
        Import, models.PROTECT, db_constraint=False, db_index=False, related_name="staged", db_column="import_id"
    )
    number = models.PositiveIntegerField(help_text="As a spreadsheet counts its rows.")
    kind = models.CharField(max_length=10, choices=Identifier.Kind.choices, blank=True)
    digest = models.BinaryField(max_length=32, null=True, help_text="Blind index of whom it names.")
    sealed = models.BinaryField(null=True, help_text="Whom it names, or the row that was refused, encrypted.")
    purpose = models.CharField(max_length=50, blank=True)
    channel = models.CharField(max_length=10, blank=True)
    choice = models.CharField(max_length=10, choices=Choice.choices, blank=True)
    decided_at = models.DateTimeField(null=True, help_text="Empty: the import's moment.")
    why = models.CharField(max_length=200, blank=True, help_text="What the file says led to it, or why it was refused.")
    effect = models.CharField(max_length=10, choices=Effect.choices, default=Effect.CHANGES)

    objects = ImportRowQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["imported", "number"], name="importrow_one_of_a_number"),
            models.CheckConstraint(
                condition=Q(effect="refused")
                | (
                    Q(digest__isnull=False, choice__in=Choice.values)
                    & ~Q(kind="")
                    & ~Q(purpose="")
                    & Q(channel__in=[*Channel.values, ANY])
                ),
                name="importrow_says_who_and_what",
                violation_error_message="A row names whom, for what, by which channel, and which way.",
            ),
        ]

    def __str__(self) -> str:
        return f"row {self.number}"


class ImportPortion(AppendOnly):
    """A portion of a file that was written, in one transaction and as one batch."""

    imported = models.ForeignKey(Import, models.PROTECT, related_name="portions", db_column="import_id")
    number = models.PositiveIntegerField()
    batch = models.OneToOneField(Batch, models.PROTECT, related_name="import_portion")
    written = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, help_text="How many rows did what.")
    applied_at = models.DateTimeField(default=timezone.now)
    applied_by = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["imported", "number"], name="importportion_written_once")]

    def __str__(self) -> str:
        return f"portion {self.number} of {self.imported_id}"
