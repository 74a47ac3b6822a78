"""An incident has a window and a scope; decisions inside both are tied to it, also those found later."""

from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly, TrackedModel


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> Self:
        return self.exclude(status__in=Incident.ENDED)


class Incident(TrackedModel):
    """From first signal to review. Times say when things happened; the timeline says when they were written down."""

    class Mode(models.TextChoices):
        REAL = "real", "real"
        DRILL = "drill", "drill"
        RETROSPECTIVE = "retrospective", "retrospective"

    class Status(models.TextChoices):
        TRIAGE = "triage", "triage"
        DECLARED = "declared", "declared"
        CONTAINED = "contained", "contained"
        RECOVERING = "recovering", "recovering"
        MONITORING = "monitoring", "monitoring"
        CLOSED = "closed", "closed"
        DECLINED = "declined", "declined"
        MERGED = "merged", "merged"

    class Severity(models.TextChoices):
        SEV1 = "sev1", "SEV1: people's choices are being broken now"
        SEV2 = "sev2", "SEV2: a promise is at risk"
        SEV3 = "sev3", "SEV3: degraded, nobody harmed"
        SEV4 = "sev4", "SEV4: for the record"

    ENDED: ClassVar[list[str]] = [Status.CLOSED, Status.DECLINED, Status.MERGED]

    ref = models.CharField(max_length=20, unique=True, editable=False)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.REAL)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DECLARED, editable=False)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.SEV3)
    purposes = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="Empty: all purposes.")
    exit_paths = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="Empty: all ways out.")
    occurred_from = models.DateTimeField(help_text="Decisions received from here on belong to it (UTC).")
    occurred_to = models.DateTimeField(null=True, blank=True, help_text="Empty while it goes on.")
    declared_at = models.DateTimeField(default=timezone.now, editable=False)
    declared_by = models.CharField(max_length=200, editable=False)
    contained_at = models.DateTimeField(null=True, editable=False)
    contained_by = models.CharField(max_length=200, blank=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    closed_by = models.CharField(max_length=200, blank=True, editable=False)
    commander = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    linked_count = models.PositiveIntegerField(default=0, editable=False, help_text="Decisions tied so far.")
    backfilled_to = models.BigIntegerField(
        default=0,
        editable=False,
        help_text="Decisions up to this id were looked at when the incident was declared late.",
    )

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-occurred_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(occurred_to=None) | Q(occurred_to__gte=F("occurred_from")),
                name="incident_ends_after_it_began",
                violation_error_message="An incident ends after it began.",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None, closed_by="") | (Q(closed_at__isnull=False) & ~Q(closed_by="")),
                name="incident_closed_at_with_closed_by",
                violation_error_message="A closed incident says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(contained_at=None, contained_by="") | (Q(contained_at__isnull=False) & ~Q(contained_by="")),
                name="incident_contained_at_with_contained_by",
                violation_error_message="A contained incident says when and by whom.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"


class TimelineEntry(AppendOnly):
    """One line of the story. `occurred_at` is when it happened, `recorded_at` when it was written; `seq` has no gap."""

    class Kind(models.TextChoices):
        DECLARED = "declared", "declared"
        ALERT = "alert", "alert"
        STATUS = "status", "status"
        NOTE = "note", "note"
        DECISIONS = "decisions", "decisions"
        MESSAGE = "message", "messages"
        GUARD = "guard", "guard"

    personal: ClassVar[tuple[str, ...]] = ("text",)

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="timeline")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    text = models.TextField()
    old = models.CharField(max_length=200, blank=True)
    new = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=20, help_text="ui, api, alert, system.")
    actor = models.CharField(max_length=200)
    supersedes = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    occurred_at = models.DateTimeField(default=timezone.now)
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "timeline entries"
        ordering = ["occurred_at", "seq"]
        constraints = [models.UniqueConstraint(fields=["incident", "seq"], name="timelineentry_numbered_once")]

    def __str__(self) -> str:
        return f"{self.incident_id}.{self.seq} {self.kind}"


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
