"""Privacy requests: what a person asked for, by when it must be answered, and what was done."""

from datetime import date, datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly, TrackedModel
from consent.deadlines import day_of
from consent.models.subject import Subject


class DeadlineRule(TrackedModel):
    """How long the law leaves. A versioned row, never a constant: which law applies is the officer's decision."""

    class Unit(models.TextChoices):
        HOURS = "hours", "hours"
        CALENDAR_DAYS = "calendar_days", "calendar days"
        BUSINESS_DAYS = "business_days", "business days"
        MONTHS = "months", "months"

    class Calendar(models.TextChoices):
        WEEKENDS = "weekends", "Monday to Friday"
        US_FEDERAL = "us_federal", "Monday to Friday without US federal holidays"

    code = models.CharField(primary_key=True, max_length=50)
    title = models.CharField(max_length=200)
    jurisdiction = models.CharField(max_length=20, blank=True)
    request_kind = models.CharField(max_length=20, help_text="The kind of request that this rule clocks.")
    amount = models.PositiveSmallIntegerField()
    unit = models.CharField(max_length=20, choices=Unit.choices)
    calendar = models.CharField(max_length=20, choices=Calendar.choices, default=Calendar.WEEKENDS)
    rolls_to_working_day = models.BooleanField(
        default=False,
        help_text="A last day on a weekend or holiday moves to the next working day (Reg. 1182/71 art. 3).",
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Where the day of receipt is counted.")
    extension = models.PositiveSmallIntegerField(
        default=0,
        help_text="So many units more, once, where the person is told why before the first deadline. 0: none.",
    )
    citation = models.CharField(max_length=200)
    is_default = models.BooleanField(default=False, help_text="Used where nobody chose a rule for the kind.")

    class Meta:
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(
                fields=["request_kind"],
                condition=Q(is_default=True),
                name="deadlinerule_one_default_per_kind",
                violation_error_message="Another rule is the default for this kind of request already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.amount} {self.get_unit_display()}"


class PrivacyRequestQuerySet(models.QuerySet["PrivacyRequest"]):
    def open(self) -> Self:
        return self.exclude(state=PrivacyRequest.State.CLOSED)

    def unanswered(self) -> Self:
        return self.filter(state__in=[PrivacyRequest.State.OPEN, PrivacyRequest.State.IN_PROGRESS])

    def overdue(self, now: datetime) -> Self:
        """Still without an answer after the last moment for one."""
        return self.unanswered().filter(due_at__lt=now)

    def due_within(self, days: int, now: datetime) -> Self:
        return self.unanswered().filter(due_at__gte=now, due_at__lt=now + timedelta(days=days))


class PrivacyRequest(TrackedModel):
    """What a person asked for. An opt-out takes effect on receipt; the rest is answered by `due_at`."""

    class Kind(models.TextChoices):
        OPT_OUT = "opt_out", "opt-out"
        ACCESS = "access", "access"
        DELETION = "deletion", "deletion"
        CORRECTION = "correction", "correction"

    class State(models.TextChoices):
        OPEN = "open", "open"
        IN_PROGRESS = "in_progress", "in progress"
        ANSWERED = "answered", "answered"
        CLOSED = "closed", "closed"

    class Outcome(models.TextChoices):
        DONE = "done", "done"
        DENIED = "denied", "denied"
        WITHDRAWN = "withdrawn", "withdrawn"
        DUPLICATE = "duplicate", "duplicate"

    personal: ClassVar[tuple[str, ...]] = ("details",)

    ref = models.CharField(max_length=20, unique=True, editable=False)
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="requests")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    state = models.CharField(max_length=20, choices=State.choices, default=State.OPEN, editable=False)
    received_via = models.CharField(
        max_length=20,
        choices=[
            ("email", "e-mail"),
            ("phone", "telephone"),
            ("post", "letter"),
            ("web", "web form"),
            ("api", "service"),
        ],
    )
    received_at = models.DateTimeField(default=timezone.now, help_text="The legal clock starts here.")
    rule = models.ForeignKey(DeadlineRule, models.PROTECT, related_name="+")
    due_at = models.DateTimeField(editable=False)
    locale = models.CharField(max_length=35, default="en")
    details = models.TextField(blank=True, help_text="What the person wrote or said.")
    assignee = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    logged_by = models.CharField(max_length=200, editable=False)
    extended_at = models.DateTimeField(null=True, editable=False)
    extended_by = models.CharField(max_length=200, blank=True, editable=False)
    extended_reason = models.CharField(max_length=500, blank=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    closed_by = models.CharField(max_length=200, blank=True, editable=False)
    outcome = models.CharField(max_length=20, choices=Outcome.choices, blank=True, editable=False)
    close_reason = models.CharField(max_length=500, blank=True, editable=False)

    objects = PrivacyRequestQuerySet.as_manager()

    class Meta:
        ordering = ["due_at", "pk"]
        indexes = [models.Index(fields=["state", "due_at"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False)
                & ~Q(closed_by="")
                & ~Q(outcome="")
                & ~Q(close_reason="")
                | ~Q(state="closed") & Q(closed_at=None, closed_by="", outcome="", close_reason=""),
                name="privacyrequest_closed_with_a_reason",
                violation_error_message="A closed request says when, by whom, with what outcome and why.",
            ),
            models.CheckConstraint(
                condition=Q(extended_at=None, extended_by="", extended_reason="")
                | Q(extended_at__isnull=False) & ~Q(extended_by="") & ~Q(extended_reason=""),
                name="privacyrequest_extended_with_a_reason",
                violation_error_message="An extended request says when, by whom and why.",
            ),
            models.CheckConstraint(
                condition=Q(received_at__lte=F("due_at")),
                name="privacyrequest_due_after_receipt",
                violation_error_message="A request cannot be due before it was received.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} ({self.get_kind_display()})"

    @property
    def is_closed(self) -> bool:
        return self.state == self.State.CLOSED

    @property
    def received_on(self) -> date:
        return day_of(self.received_at, self.rule.time_zone)

    @property
    def due_on(self) -> date:
        """The last day, as people are told it: the moment at its end is another day elsewhere."""
        return day_of(self.due_at, self.rule.time_zone)

    def is_overdue(self, now: datetime) -> bool:
        return self.state in (self.State.OPEN, self.State.IN_PROGRESS) and self.due_at < now


class RequestEvent(AppendOnly):
    """What happened to a request, in order: logged, assigned, acted on, answered, closed."""

    class Kind(models.TextChoices):
        LOGGED = "logged", "logged"
        ASSIGNED = "assigned", "assigned"
        ACTED = "acted", "acted on"
        EXTENDED = "extended", "extended"
        ANSWERED = "answered", "answered"
        CLOSED = "closed", "closed"
        NOTE = "note", "note"

    personal: ClassVar[tuple[str, ...]] = ("text",)

    request = models.ForeignKey(PrivacyRequest, models.PROTECT, related_name="events")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    text = models.TextField(blank=True)
    answer = models.ForeignKey("AnswerText", models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)
    recorded_by = models.CharField(max_length=200)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.kind}"


class AnswerText(TrackedModel):
    """An answer that support staff start from. `{ref}`, `{received}`, `{due}`, `{organisation}` and, for an
    access request, `{data}` are filled in."""

    title = models.CharField(max_length=100)
    request_kind = models.CharField(max_length=20, choices=PrivacyRequest.Kind.choices)
    locale = models.CharField(max_length=35, default="en")
    body = models.TextField()

    class Meta:
        ordering = ["request_kind", "title"]
        constraints = [
            models.UniqueConstraint(
                fields=["request_kind", "title", "locale"], name="answertext_one_per_title_and_locale"
            )
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.locale})"
