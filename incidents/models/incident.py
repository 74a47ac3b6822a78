"""An incident has a window and a scope; decisions inside both are tied to it, also those found later."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly, TrackedModel
from config.text import CONTROL, CONTROL_IN_LINES

LINE = RegexValidator(CONTROL, "Remove the control characters.", inverse_match=True)
TEXT = RegexValidator(CONTROL_IN_LINES, "Remove the control characters.", inverse_match=True)
SKEW = timedelta(minutes=5)  # how far the clocks of those who tell us may be ahead


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> Self:
        return self.exclude(status__in=Incident.ENDED)

    def touching(self, first: datetime, last: datetime) -> Self:
        """Incidents whose window meets the span; a closed one still owns what was received while it was open."""
        return self.exclude(status__in=Incident.DISOWNED).filter(
            Q(occurred_to=None) | Q(occurred_to__gte=first), occurred_from__lte=last
        )


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

    DISOWNED: ClassVar[list[str]] = [Status.DECLINED, Status.MERGED]
    ENDED: ClassVar[list[str]] = [Status.CLOSED, *DISOWNED]
    personal: ClassVar[tuple[str, ...]] = ("summary",)

    ref = models.CharField(max_length=20, unique=True, editable=False)
    title = models.CharField(max_length=200, validators=[LINE])
    summary = models.TextField(blank=True, validators=[TEXT])
    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.REAL)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DECLARED, editable=False)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.SEV3)
    purposes = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="Empty: all purposes.")
    exit_paths = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="Empty: all ways out.")
    occurred_from = models.DateTimeField(help_text="Decisions received from here on belong to it.")
    occurred_to = models.DateTimeField(null=True, blank=True, help_text="Empty while it goes on.")
    declared_at = models.DateTimeField(default=timezone.now, editable=False)
    declared_by = models.CharField(max_length=200, editable=False)
    contained_at = models.DateTimeField(null=True, editable=False)
    contained_by = models.CharField(max_length=200, blank=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    closed_by = models.CharField(max_length=200, blank=True, editable=False)
    commander = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    linked_count = models.PositiveIntegerField(default=0, editable=False, help_text="Decisions tied so far.")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-occurred_from"]
        permissions = [("close_incident", "Can close incident")]
        constraints = [
            models.CheckConstraint(
                condition=Q(occurred_to=None) | Q(occurred_to__gte=F("occurred_from")),
                name="incident_ends_after_it_began",
                violation_error_message="An incident ends after it began.",
            ),
            models.CheckConstraint(
                condition=Q(contained_at=None) | Q(contained_at__gte=F("occurred_from")),
                name="incident_contained_after_it_began",
                violation_error_message="An incident is contained after it began.",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(contained_at=None) | Q(closed_at__gte=F("contained_at")),
                name="incident_closed_after_it_was_contained",
                violation_error_message="An incident is closed after it was contained.",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(occurred_to__isnull=False, occurred_to__lte=F("closed_at")),
                name="incident_closed_has_an_end",
                violation_error_message="A closed incident has ended: say when.",
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

    @property
    def is_open(self) -> bool:
        return self.status not in self.ENDED


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

    class Source(models.TextChoices):
        UI = "ui", "typed in"
        API = "api", "service"
        ALERT = "alert", "alert"
        SYSTEM = "system", "this product"

    personal: ClassVar[tuple[str, ...]] = ("text",)

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="timeline")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    text = models.TextField(validators=[TEXT])
    old = models.CharField(max_length=200, blank=True)
    new = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=20, choices=Source.choices)
    actor = models.CharField(max_length=200)
    supersedes = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    occurred_at = models.DateTimeField(default=timezone.now)
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "timeline entries"
        ordering = ["occurred_at", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["incident", "seq"], name="timelineentry_numbered_once"),
            models.UniqueConstraint(
                fields=["supersedes"],
                condition=Q(supersedes__isnull=False),
                name="timelineentry_corrected_once",
                violation_error_message="This line was corrected already: correct the newer one.",
            ),
            models.CheckConstraint(
                condition=Q(occurred_at__lte=F("recorded_at") + SKEW),
                name="timelineentry_tells_what_has_happened",
                violation_error_message="A line tells what has happened: its time cannot lie ahead.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.incident_id}.{self.seq} {self.kind}"
