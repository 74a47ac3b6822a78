"""An incident has a window and a scope; decisions inside both are tied to it, also those found later."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import TrackedModel
from config.text import CONTROL, CONTROL_IN_LINES
from incidents.vocabulary import DpvType, IncidentType

LINE = RegexValidator(CONTROL, "Remove the control characters.", inverse_match=True)
TEXT = RegexValidator(CONTROL_IN_LINES, "Remove the control characters.", inverse_match=True)
SKEW = timedelta(minutes=5)  # how far the clocks of those who tell us may be ahead
CHANGE_SET = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._:/#-]{0,99}\Z", "A reference like CS-12: letters, digits and . _ : / # -"
)


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> Self:
        return self.exclude(status__in=Incident.ENDED)

    def touching(self, first: datetime, last: datetime) -> Self:
        """Incidents whose window meets the span; a closed one still owns what was received while it was open."""
        return self.exclude(status__in=Incident.DISOWNED).filter(
            Q(occurred_to=None) | Q(occurred_to__gte=first), occurred_from__lte=last
        )

    def unrestricted(self) -> Self:
        return self.filter(visibility=Incident.Visibility.OPEN)

    def visible_to(self, user: Any) -> Self:
        """A restricted incident is seen by who holds a role in it, and by those who may see all restricted ones."""
        if user.has_perm("incidents.view_restricted"):
            return self
        in_a_role = Q(roles__person=user.pk, roles__renounced_at=None)
        return self.filter(
            Q(visibility=Incident.Visibility.OPEN) | Q(pk__in=Incident.objects.filter(in_a_role).values("pk"))
        )

    def near_misses(self) -> Self:
        return self.filter(is_near_miss=True)

    def update_overdue(self, now: datetime) -> Self:
        """Open, and somebody still waits for the next word about it."""
        return self.open().filter(next_update_due__lt=now)

    def with_next_clock(self) -> Self:
        """`clock_due`: by when the first of its running legal clocks must be answered."""
        running = Q(clocks__state="running", clocks__due_at__isnull=False)
        return self.annotate(clock_due=models.Min("clocks__due_at", filter=running))


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

    class Priority(models.TextChoices):
        P1 = "p1", "P1: drop everything"
        P2 = "p2", "P2: today"
        P3 = "p3", "P3: this week"
        P4 = "p4", "P4: when there is time"

    class Visibility(models.TextChoices):
        OPEN = "open", "open"
        RESTRICTED = "restricted", "restricted"

    class AttorneyReview(models.TextChoices):
        NOT_ASKED = "", "not asked for"
        REQUESTED = "requested", "asked for"
        DONE = "done", "done"

    DISOWNED: ClassVar[list[str]] = [Status.DECLINED, Status.MERGED]
    ENDED: ClassVar[list[str]] = [Status.CLOSED, *DISOWNED]
    personal: ClassVar[tuple[str, ...]] = ("summary", "impact", "resolution", "near_miss_prevented_by")

    ref = models.CharField(max_length=20, unique=True, editable=False)
    title = models.CharField(max_length=200, validators=[LINE])
    summary = models.TextField(blank=True, validators=[TEXT])
    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.REAL)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DECLARED, editable=False)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.SEV3)
    priority = models.CharField(max_length=2, choices=Priority.choices, default=Priority.P3)
    type = models.CharField(max_length=30, choices=IncidentType.choices, blank=True, help_text="What went wrong.")
    dpv_types = ArrayField(
        models.CharField(max_length=40, choices=DpvType.choices),
        default=list,
        blank=True,
        help_text="The same in the words of the W3C Data Privacy Vocabulary.",
    )
    impact = models.TextField(blank=True, validators=[TEXT], help_text="What it did to people.")
    resolution = models.TextField(blank=True, validators=[TEXT], help_text="What ended it.")
    is_near_miss = models.BooleanField(default=False, help_text="It was stopped before it reached anybody.")
    near_miss_prevented_by = models.CharField("what stopped it", max_length=300, blank=True, validators=[LINE])
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.OPEN, editable=False)
    legal_hold = models.BooleanField(default=False, editable=False, help_text="Nothing about it may be thrown away.")
    attorney_review = models.CharField(
        max_length=10, choices=AttorneyReview.choices, blank=True, default="", editable=False
    )
    purposes = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="Empty: all purposes.")
    exit_paths = ArrayField(models.CharField(max_length=50), default=list, blank=True, help_text="Empty: all ways out.")
    occurred_from = models.DateTimeField(help_text="Decisions received from here on belong to it.")
    occurred_to = models.DateTimeField(null=True, blank=True, help_text="Empty while it goes on.")
    declared_at = models.DateTimeField(default=timezone.now, editable=False)
    declared_by = models.CharField(max_length=200, editable=False)
    detected_at = models.DateTimeField(
        null=True, blank=True, help_text="When we became aware: legal clocks start here."
    )
    acknowledged_at = models.DateTimeField(null=True, editable=False)
    acknowledged_by = models.CharField(max_length=200, blank=True, editable=False)
    contained_at = models.DateTimeField(null=True, editable=False)
    contained_by = models.CharField(max_length=200, blank=True, editable=False)
    recovered_at = models.DateTimeField(null=True, editable=False)
    recovered_by = models.CharField(max_length=200, blank=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    closed_by = models.CharField(max_length=200, blank=True, editable=False)
    commander = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    next_update_due = models.DateTimeField(null=True, editable=False, help_text="By when people hear the next word.")
    duplicate_of = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="duplicates",
        help_text="It was merged into this.",
    )
    caused_by_change_set = models.CharField(max_length=100, blank=True, validators=[CHANGE_SET])
    dedup_key = models.CharField(max_length=200, blank=True, editable=False, help_text="What a detector opened it for.")
    is_open_key = models.BooleanField(
        null=True, editable=False, help_text="True or empty: one open incident per key, ended ones may repeat."
    )
    linked_count = models.PositiveIntegerField(default=0, editable=False, help_text="Decisions tied so far.")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-occurred_from"]
        permissions = [
            ("close_incident", "Can close incident"),
            ("view_restricted", "Can see restricted incidents"),
            ("restrict_incident", "Can restrict an incident and put it under legal hold"),
        ]
        indexes = [
            models.Index(
                fields=["next_update_due"], name="incident_update_due", condition=Q(next_update_due__isnull=False)
            ),
            models.Index(fields=["dedup_key", "-id"], name="incident_of_key", condition=~Q(dedup_key="")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["dedup_key"],
                condition=Q(is_open_key=True),
                name="incident_one_open_per_key",
                violation_error_message="Another incident is open for the same cause: merge the two.",
            ),
            models.CheckConstraint(
                condition=Q(is_open_key=None)
                | (Q(is_open_key=True) & ~Q(dedup_key="") & ~Q(status__in=["closed", "declined", "merged"])),
                name="incident_open_key_is_of_an_open_one",
                violation_error_message="Only an open incident keeps its cause for itself.",
            ),
            models.CheckConstraint(
                condition=Q(detected_at=None) | Q(detected_at__gte=F("occurred_from")),
                name="incident_detected_after_it_began",
                violation_error_message="An incident is noticed after it began.",
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at=None) | Q(detected_at=None) | Q(acknowledged_at__gte=F("detected_at")),
                name="incident_acknowledged_after_it_was_detected",
                violation_error_message="An incident is acknowledged after it was noticed.",
            ),
            models.CheckConstraint(
                condition=Q(recovered_at=None) | Q(contained_at__isnull=False, recovered_at__gte=F("contained_at")),
                name="incident_recovered_after_it_was_contained",
                violation_error_message="An incident is recovered from after it was contained.",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(recovered_at=None) | Q(closed_at__gte=F("recovered_at")),
                name="incident_closed_after_it_was_recovered",
                violation_error_message="An incident is closed after it was recovered from.",
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at=None, acknowledged_by="")
                | (Q(acknowledged_at__isnull=False) & ~Q(acknowledged_by="")),
                name="incident_acknowledged_at_with_acknowledged_by",
                violation_error_message="An acknowledged incident says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(recovered_at=None, recovered_by="") | (Q(recovered_at__isnull=False) & ~Q(recovered_by="")),
                name="incident_recovered_at_with_recovered_by",
                violation_error_message="A recovered incident says when and by whom.",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["contained", "recovering", "monitoring"]) | Q(contained_at__isnull=False),
                name="incident_past_containment_says_since_when",
                violation_error_message="Say since when it has been contained.",
            ),
            models.CheckConstraint(
                condition=Q(status="closed", closed_at__isnull=False) | ~Q(status="closed") & Q(closed_at=None),
                name="incident_closed_with_its_time",
                violation_error_message="A closed incident says when it was closed, and no other does.",
            ),
            models.CheckConstraint(
                condition=Q(status="merged", duplicate_of__isnull=False) | ~Q(status="merged") & Q(duplicate_of=None),
                name="incident_merged_into_another",
                violation_error_message="A merged incident names the one that goes on, and no other does.",
            ),
            models.CheckConstraint(
                condition=~Q(duplicate_of=F("id")),
                name="incident_not_merged_into_itself",
                violation_error_message="An incident cannot be merged into itself.",
            ),
            models.CheckConstraint(
                condition=Q(is_near_miss=False) | ~Q(near_miss_prevented_by=""),
                name="incident_near_miss_says_what_stopped_it",
                violation_error_message="Say what stopped it: that is what a near miss teaches.",
            ),
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
    def public_name(self) -> str:
        """For lists whose readers may not see it: a restricted incident's title stays with those who do."""
        return self.ref if self.is_restricted else str(self)

    @property
    def survivor(self) -> "Incident":
        """Where it goes on: at the end of its chain of merges, or in itself."""
        found = self
        while found.duplicate_of is not None:
            found = found.duplicate_of
        return found

    @property
    def is_open(self) -> bool:
        return self.status not in self.ENDED

    @property
    def is_restricted(self) -> bool:
        return self.visibility == self.Visibility.RESTRICTED
