"""What surrounds an incident: legal clocks and their rules, follow-ups, its review, and seals over its ties."""

from datetime import date, datetime
from typing import ClassVar, Self

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly, TrackedModel
from config.models import User
from consent.models import DeadlineRule
from incidents.models.incident import LINE, TEXT, Incident

MOST_TEXT = 20_000


class SeverityPolicy(TrackedModel):
    """What a severity asks of those who work on it. A versioned row, edited by officers."""

    severity = models.CharField(primary_key=True, max_length=10, choices=Incident.Severity.choices)
    update_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(5)],
        help_text="How often people hear of it; empty: no clock.",
    )
    needs_review = models.BooleanField(default=False, help_text="Closing it asks for a review.")
    review_days = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(1)], help_text="Working days after closing."
    )
    holidays_of = models.CharField(
        max_length=10,
        blank=True,
        validators=[RegexValidator(r"\A[A-Z]{2}(-[A-Z0-9]{1,3})?\Z", "A code like DE, DE-BY or US.")],
        help_text="Whose public holidays are no working days, like DE, DE-BY or US; empty: only weekends.",
    )

    class Meta:
        verbose_name_plural = "severity policies"
        ordering = ["severity"]
        constraints = [
            models.CheckConstraint(
                condition=Q(review_days__gte=1),
                name="severitypolicy_review_has_a_day",
                violation_error_message="Give a review at least one working day.",
            )
        ]

    def __str__(self) -> str:
        return self.severity.upper()


class IncidentClockRule(TrackedModel):
    """A term that a law sets once something is known about an incident. Whether it applies is a person's decision."""

    class StartsAt(models.TextChoices):
        """The moment that a law counts from; `determination` has no column, whoever starts the clock gives it."""

        OCCURRED = "occurred_from", "when it began"
        AWARE = "detected_at", "when we became aware"
        DECLARED = "declared_at", "when it was declared"
        DETERMINATION = "determination", "when that was determined"

    code = models.CharField(primary_key=True, max_length=50)
    title = models.CharField(max_length=200, validators=[LINE])
    jurisdiction = models.CharField(max_length=20, blank=True)
    citation = models.CharField(max_length=200, validators=[LINE])
    notify = models.CharField("whom to tell", max_length=200, validators=[LINE])
    starts_at = models.CharField(max_length=20, choices=StartsAt.choices)
    amount = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Empty: the law names no number, so none is counted unless somebody gives one."
    )
    unit = models.CharField(max_length=20, choices=DeadlineRule.Unit.choices)
    calendar = models.CharField(
        max_length=20, choices=DeadlineRule.Calendar.choices, default=DeadlineRule.Calendar.WEEKENDS
    )
    rolls_to_working_day = models.BooleanField(
        default=False, help_text="A last day on a weekend or holiday moves to the next working day."
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Where days are counted.")
    text = models.TextField(blank=True, validators=[TEXT], help_text="What has to be done, and what to look out for.")
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code}: {self.title}"

    @property
    def term(self) -> str:
        return f"{self.amount} {self.get_unit_display()}" if self.amount else "no number of days or hours"


class IncidentClockQuerySet(models.QuerySet["IncidentClock"]):
    def running(self) -> Self:
        return self.filter(state=IncidentClock.State.RUNNING)

    def overdue(self, now: datetime) -> Self:
        return self.running().filter(due_at__lt=now)


class IncidentClock(TrackedModel):
    """A rule that somebody decided applies to an incident. The product counts down; it does not decide law."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        MET = "met", "met"
        WAIVED = "waived", "does not apply"

    personal: ClassVar[tuple[str, ...]] = ("answer",)

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="clocks")
    rule = models.ForeignKey(IncidentClockRule, models.PROTECT, related_name="clocks")
    citation = models.CharField(max_length=200, help_text="As the rule said when the clock was started.")
    term = models.CharField(max_length=100, help_text="As the rule said when the clock was started.")
    why = models.CharField(max_length=500, help_text="Why it applies.")
    started_at = models.DateTimeField(help_text="The moment that the term counts from.")
    due_at = models.DateTimeField(null=True, blank=True, help_text="Empty: without undue delay, and no number.")
    decided_at = models.DateTimeField(default=timezone.now)
    decided_by = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    answer = models.CharField(max_length=500, blank=True, help_text="What was done and where it is kept, or why not.")
    answered_at = models.DateTimeField(null=True, blank=True)
    answered_by = models.CharField(max_length=200, blank=True)

    objects = IncidentClockQuerySet.as_manager()

    class Meta:
        ordering = ["due_at", "pk"]
        indexes = [models.Index(fields=["due_at"], name="incidentclock_running", condition=Q(state="running"))]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "rule"],
                condition=Q(state="running"),
                name="incidentclock_runs_once",
                violation_error_message="This clock is running already.",
            ),
            models.CheckConstraint(
                condition=Q(due_at=None) | Q(due_at__gte=F("started_at")),
                name="incidentclock_due_after_it_started",
                violation_error_message="A term ends after it began.",
            ),
            models.CheckConstraint(
                condition=Q(state="running", answered_at=None, answered_by="", answer="")
                | (~Q(state="running") & Q(answered_at__isnull=False) & ~Q(answered_by="") & ~Q(answer="")),
                name="incidentclock_answered_at_with_answered_by",
                violation_error_message="Say when, by whom and with what the clock was answered.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} of {self.incident_id}"

    def is_overdue(self, now: datetime) -> bool:
        return self.state == self.State.RUNNING and self.due_at is not None and self.due_at < now

    @property
    def was_late(self) -> bool:
        if self.state != self.State.MET or self.due_at is None or self.answered_at is None:
            return False
        return self.answered_at > self.due_at


class FollowUpQuerySet(models.QuerySet["FollowUp"]):
    def open(self) -> Self:
        return self.filter(state=FollowUp.State.OPEN)

    def overdue(self, today: date) -> Self:
        return self.open().filter(due_on__lt=today)

    def of(self, user: User) -> Self:
        return self.filter(owner=user)


class FollowUp(TrackedModel):
    """Something that must still be done so that it does not happen again, by whom and by when."""

    class Kind(models.TextChoices):
        DETECTIVE = "detective", "detective: we would notice sooner"
        PREVENTATIVE = "preventative", "preventative: it would not happen"
        CORRECTIVE = "corrective", "corrective: what it broke is mended"

    class State(models.TextChoices):
        OPEN = "open", "open"
        DONE = "done", "done"
        DROPPED = "dropped", "dropped"

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="follow_ups")
    title = models.CharField(max_length=200, validators=[LINE])
    kind = models.CharField(max_length=20, choices=Kind.choices)
    owner = models.ForeignKey(User, models.PROTECT, related_name="+")
    due_on = models.DateField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, editable=False)
    outcome = models.CharField(max_length=500, blank=True, editable=False, help_text="What was done, or why not.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    settled_at = models.DateTimeField(null=True, editable=False)
    settled_by = models.CharField(max_length=200, blank=True, editable=False)

    objects = FollowUpQuerySet.as_manager()

    class Meta:
        verbose_name = "follow-up"
        ordering = ["due_on", "pk"]
        indexes = [models.Index(fields=["due_on"], name="followup_open", condition=Q(state="open"))]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open", settled_at=None, settled_by="", outcome="")
                | (~Q(state="open") & Q(settled_at__isnull=False) & ~Q(settled_by="") & ~Q(outcome="")),
                name="followup_settled_at_with_settled_by",
                violation_error_message="Say when, by whom and how it was settled.",
            )
        ]

    def __str__(self) -> str:
        return self.title

    def is_overdue(self, today: date) -> bool:
        return self.state == self.State.OPEN and self.due_on < today


class PostIncidentReview(TrackedModel):
    """What an incident taught. Every version is kept; a second person approves it."""

    class State(models.TextChoices):
        DUE = "due", "to be written"
        SUBMITTED = "submitted", "to be approved"
        APPROVED = "approved", "approved"
        WAIVED = "waived", "not needed"

    SECTIONS: ClassVar[tuple[str, ...]] = ("what_happened", "causes", "what_helped", "what_hindered", "lessons")
    personal: ClassVar[tuple[str, ...]] = SECTIONS

    incident = models.OneToOneField(Incident, models.PROTECT, related_name="review")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DUE, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    narrative = models.TextField(blank=True, editable=False, help_text="Why people left, as counted from the ties.")
    narrative_as_of = models.DateTimeField(null=True, editable=False)
    what_happened = models.TextField(blank=True, max_length=MOST_TEXT, validators=[TEXT])
    causes = models.TextField("why it happened", blank=True, max_length=MOST_TEXT, validators=[TEXT])
    what_helped = models.TextField(blank=True, max_length=MOST_TEXT, validators=[TEXT])
    what_hindered = models.TextField(blank=True, max_length=MOST_TEXT, validators=[TEXT])
    lessons = models.TextField("what will change", blank=True, max_length=MOST_TEXT, validators=[TEXT])
    submitted_at = models.DateTimeField(null=True, editable=False)
    submitted_by = models.CharField(max_length=200, blank=True, editable=False)
    approved_at = models.DateTimeField(null=True, editable=False)
    approved_by = models.CharField(max_length=200, blank=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(submitted_at=None, submitted_by="") | (Q(submitted_at__isnull=False) & ~Q(submitted_by="")),
                name="postincidentreview_submitted_at_with_submitted_by",
                violation_error_message="A submitted review says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(approved_at=None, approved_by="")
                | (Q(approved_at__isnull=False) & ~Q(approved_by="") & Q(approved_at__gte=F("submitted_at"))),
                name="postincidentreview_approved_at_with_approved_by",
                violation_error_message="An approved review was submitted first, and says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(approved_by="") | ~Q(approved_by=F("submitted_by")),
                name="postincidentreview_approved_by_another",
                violation_error_message="A second person approves it, not the one who submitted it.",
            ),
        ]

    def __str__(self) -> str:
        return f"review of {self.incident_id}"

    @classmethod
    def words_for(cls, section: str) -> str:
        field = cls._meta.get_field(section)
        return str(field.verbose_name) if isinstance(field, models.Field) else section

    def is_overdue(self, now: datetime) -> bool:
        return self.state == self.State.DUE and self.due_at is not None and self.due_at < now


class AffectedSet(AppendOnly):
    """Whom and what an incident touched, counted and sealed: anybody with the ids can make the digests again.

    Each digest is SHA-256 over the ids, sorted, one a line, as `incidents.affected` describes.
    """

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="affected_sets")
    as_of = models.DateTimeField(help_text="Ties with a later linked_at are not in it.")
    decisions = models.PositiveIntegerField()
    decisions_digest = models.BinaryField(max_length=32)
    subjects = models.PositiveIntegerField()
    subjects_digest = models.BinaryField(max_length=32)
    messages = models.PositiveIntegerField()
    messages_digest = models.BinaryField(max_length=32)
    sealed_by = models.CharField(max_length=200)
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.decisions} decisions, {self.subjects} people"

    @property
    def decisions_hex(self) -> str:
        return bytes(self.decisions_digest).hex()

    @property
    def subjects_hex(self) -> str:
        return bytes(self.subjects_digest).hex()

    @property
    def messages_hex(self) -> str:
        return bytes(self.messages_digest).hex()
