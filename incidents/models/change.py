"""Change sets: what a fix, an import or a script wants to do to many people's choices, planned before anything is done.

A plan is bound to a state of the log and of the configuration; approvals are bound to the plan; what is written is
written in batches, each judged before the next, and all of it can be taken back without touching what people chose.
"""

from datetime import datetime
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import TrackedModel
from incidents.models.incident import LINE, TEXT, Incident


def pair(model: str, step: str, words: str) -> models.CheckConstraint:
    """A moment and its person come together."""
    return models.CheckConstraint(
        condition=Q(**{f"{step}_at": None, f"{step}_by": ""})
        | (Q(**{f"{step}_at__isnull": False}) & ~Q(**{f"{step}_by": ""})),
        name=f"{model}_{step}_at_with_{step}_by",
        violation_error_message=f"Say when and by whom it was {words}.",
    )


class ChangeSetQuerySet(models.QuerySet["ChangeSet"]):
    def open(self) -> Self:
        """Neither over nor given up: applied ones may still be taken back, and are over."""
        return self.exclude(state__in=ChangeSet.ENDED)

    def named(self, ref: str) -> Self:
        """By its number, CS-12; none for what is no number of ours."""
        number = ref.strip().removeprefix("CS-")
        is_number = number.isascii() and number.isdigit() and len(number) <= 18
        return self.filter(pk=int(number)) if is_number else self.none()

    def at_work(self) -> Self:
        return self.filter(state__in=ChangeSet.AT_WORK)

    def review_overdue(self, now: datetime) -> Self:
        """Let through in an emergency, and nobody has looked at it since."""
        return self.filter(reviewed_at=None, review_due_at__lt=now)


class ChangeSet(TrackedModel):
    """A unit of change that nobody chose for themselves: written down, planned, approved, applied, and undone, as one.

    A set writes choices or changes configuration, never both. The row is the work: `next_at` says when a worker looks
    again at one that is being applied, or that waits for its time.
    """

    class Kind(models.TextChoices):
        IMPORT = "import", "import"
        BULK_EDIT = "bulk_edit", "bulk edit"
        RESTORE = "restore", "restore"
        SEGMENT = "segment", "segment"
        BACKFILL = "backfill", "backfill"
        MIGRATION = "migration", "script or migration"
        CONFIG = "config", "configuration"
        TEMPLATE = "template", "text"

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        IN_REVIEW = "in_review", "in review"
        APPROVED = "approved", "approved"
        SCHEDULED = "scheduled", "scheduled"
        APPLYING = "applying", "being applied"
        VALIDATING = "validating", "applied; being watched"
        APPLIED = "applied", "applied"
        PAUSED = "paused", "paused: somebody must decide"
        ROLLING_BACK = "rolling_back", "being taken back"
        ROLLED_BACK = "rolled_back", "taken back"
        REJECTED = "rejected", "rejected"
        CANCELLED = "cancelled", "cancelled"
        STALE = "stale", "stale: plan it again"

    AT_WORK: ClassVar[list[str]] = [State.APPLYING, State.VALIDATING]  # what is taken back is a Rollback's work
    ENDED: ClassVar[list[str]] = [State.APPLIED, State.ROLLED_BACK, State.REJECTED, State.CANCELLED]
    EDITABLE: ClassVar[list[str]] = [
        State.DRAFT, State.IN_REVIEW, State.APPROVED, State.SCHEDULED, State.STALE, State.REJECTED,
    ]  # fmt: skip
    personal: ClassVar[tuple[str, ...]] = (
        "reason", "bypass_reason", "review_result", "paused_reason", "rollback_reason", "ended_reason",
    )  # fmt: skip

    title = models.CharField(max_length=200, validators=[LINE])
    reason = models.TextField(validators=[TEXT], help_text="Why this must be done, for whoever reads it in a year.")
    kind = models.CharField(max_length=20, choices=Kind.choices, editable=False, help_text="By its operations.")
    incident = models.ForeignKey(
        Incident, models.PROTECT, null=True, blank=True, related_name="change_sets", help_text="What it helps to end."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    editors = ArrayField(
        models.CharField(max_length=200), default=list, editable=False, help_text="Whoever edited it beside its author."
    )
    operations = models.JSONField(default=list, help_text="What is done, in order: see incidents.changes.operations.")
    selector = models.JSONField(default=dict, blank=True, help_text="To whom: see incidents.changes.selecting.")
    leaves_protected = models.BooleanField(
        "leaves out whoever opted out",
        default=False,
        help_text="It may go on although people who opted out themselves are among those selected; they stay out.",
    )
    state = models.CharField(max_length=20, choices=State.choices, default=State.DRAFT, editable=False)
    revision = models.PositiveIntegerField(default=1, editable=False, help_text="Each edit makes a new one.")
    batch_size = models.PositiveIntegerField(
        default=1000, validators=[MinValueValidator(1), MaxValueValidator(20_000)], help_text="Rows at a time."
    )
    validation_policy = models.JSONField(
        default=dict,
        blank=True,
        help_text="interval_s, count, failure_limit, inconclusive: see incidents.changes.policy.",
    )

    planned_at = models.DateTimeField(null=True, editable=False)
    planned_by = models.CharField(max_length=200, blank=True, editable=False)
    base_revision = models.JSONField(default=dict, editable=False, help_text="The state that the plan was made on.")
    plan_digest = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of operations and planned rows.")
    change_count = models.PositiveIntegerField(default=0, editable=False, help_text="Keys that it would change.")
    same_count = models.PositiveIntegerField(default=0, editable=False, help_text="Keys that are so already.")
    protected_count = models.PositiveIntegerField(
        default=0, editable=False, help_text="Keys where an explicit choice stands: never written."
    )
    protected_touched = models.PositiveIntegerField(
        default=0, editable=False, help_text="Of these, opt-outs that it would have made contactable."
    )
    matrix = models.JSONField(default=list, editable=False, help_text="purpose, region, before, after, count.")
    forecast = models.JSONField(default=dict, editable=False, help_text="messages, webhooks, seconds.")
    sample = models.JSONField(default=list, editable=False, help_text="Some of the planned rows.")
    configuration = models.JSONField(default=list, editable=False, help_text="Per operation: before and after.")
    required_approvals = models.PositiveSmallIntegerField(default=1, editable=False)

    submitted_at = models.DateTimeField(null=True, editable=False)
    submitted_by = models.CharField(max_length=200, blank=True, editable=False)
    scheduled_for = models.DateTimeField(null=True, editable=False)
    scheduled_by = models.CharField(max_length=200, blank=True, editable=False)
    bypassed_at = models.DateTimeField("approvals bypassed at", null=True, editable=False)
    bypassed_by = models.CharField(max_length=200, blank=True, editable=False)
    bypass_reason = models.CharField(max_length=500, blank=True, editable=False)
    bypass_digest = models.BinaryField(max_length=32, null=True, help_text="The plan that the bypass was asked for.")
    second_person = models.CharField(
        max_length=200, blank=True, editable=False, help_text="Who was asked to confirm the bypass: user:anna."
    )
    seconded_at = models.DateTimeField(null=True, editable=False)
    seconded_by = models.CharField(max_length=200, blank=True, editable=False)
    review_due_at = models.DateTimeField(null=True, editable=False)
    reviewed_at = models.DateTimeField(null=True, editable=False)
    reviewed_by = models.CharField(max_length=200, blank=True, editable=False)
    review_result = models.CharField(max_length=500, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    started_by = models.CharField(max_length=200, blank=True, editable=False)
    paused_at = models.DateTimeField(null=True, editable=False)
    paused_by = models.CharField(max_length=200, blank=True, editable=False)
    paused_reason = models.CharField(max_length=500, blank=True, editable=False)
    applied_at = models.DateTimeField(null=True, editable=False)
    rolled_back_at = models.DateTimeField(null=True, editable=False)
    rolled_back_by = models.CharField(max_length=200, blank=True, editable=False)
    rollback_reason = models.CharField(max_length=500, blank=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False, help_text="When it was rejected or cancelled.")
    ended_by = models.CharField(max_length=200, blank=True, editable=False)
    ended_reason = models.CharField(max_length=500, blank=True, editable=False)
    failures = models.PositiveSmallIntegerField(default=0, editable=False, help_text="Verdicts that said: breached.")
    looks = models.PositiveSmallIntegerField(default=0, editable=False, help_text="Verdicts since the last batch.")
    looked_to = models.PositiveIntegerField(default=0, editable=False, help_text="How far the look under way has come.")
    next_at = models.DateTimeField(null=True, editable=False, help_text="When a worker looks at it again.")
    lease = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    objects = ChangeSetQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("approve_changeset", "Can approve or decline a change set"),
            ("apply_changeset", "Can apply, pause and resume a change set"),
            ("bypass_changeset", "Can let a change set through without approvals, in an emergency"),
            ("roll_back_changeset", "Can take back what was written"),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="changeset_due", condition=Q(next_at__isnull=False)),
            models.Index(fields=["state", "-id"], name="changeset_by_state"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="changeset_has_a_reason",
                violation_error_message="Say why this must be done.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "stale", "cancelled", "rejected"]) | Q(plan_digest__isnull=False),
                name="changeset_past_draft_has_a_plan",
                violation_error_message="Plan it first: nobody can judge what it would do without a plan.",
            ),
            models.CheckConstraint(
                condition=Q(required_approvals__gte=1) | Q(kind="migration", operations=[{"operation": "rows"}]),
                name="changeset_only_a_script_needs_nobody",
                violation_error_message="Only the rows of a script need no approval, and nothing beside them.",
            ),
            models.CheckConstraint(
                condition=Q(seconded_by="") | ~Q(seconded_by=F("bypassed_by")),
                name="changeset_bypass_seconded_by_another",
                violation_error_message="A second person confirms the bypass, not whoever asked for it.",
            ),
            models.CheckConstraint(
                condition=Q(
                    bypassed_at=None, bypass_digest=None, review_due_at=None, bypass_reason="", second_person=""
                )
                | (
                    Q(bypassed_at__isnull=False, review_due_at__isnull=False, bypass_digest__isnull=False)
                    & ~Q(bypass_reason="")
                ),
                name="changeset_bypass_has_a_reason_and_a_review",
                violation_error_message="A bypass says why, for which plan, and by when somebody reviews it.",
            ),
            models.CheckConstraint(
                condition=Q(state="scheduled", scheduled_for__isnull=False)
                | (~Q(state="scheduled") & Q(scheduled_for=None)),
                name="changeset_scheduled_with_its_time",
                violation_error_message="A scheduled set says when it is applied, and no other does.",
            ),
            models.CheckConstraint(
                condition=Q(state="paused", paused_at__isnull=False) | (~Q(state="paused") & Q(paused_at=None)),
                name="changeset_paused_with_its_time",
                violation_error_message="A paused set says since when, and no other does.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["applying", "validating", "scheduled"], next_at__isnull=False)
                | (~Q(state__in=["applying", "validating", "scheduled"]) & Q(next_at=None)),
                name="changeset_at_work_has_a_next_time",
                violation_error_message="A set at work says when it is looked at again, and no other does.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["rejected", "cancelled"], ended_at__isnull=False)
                | (~Q(state__in=["rejected", "cancelled"]) & Q(ended_at=None)),
                name="changeset_ended_with_its_time",
                violation_error_message="A set that was given up says since when, and no other does.",
            ),
            pair("changeset", "planned", "planned"),
            pair("changeset", "submitted", "submitted"),
            pair("changeset", "bypassed", "let through"),
            pair("changeset", "seconded", "confirmed"),
            pair("changeset", "reviewed", "reviewed"),
            pair("changeset", "started", "begun"),
            pair("changeset", "paused", "paused"),
            pair("changeset", "rolled_back", "taken back"),
            pair("changeset", "ended", "given up"),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"

    @property
    def ref(self) -> str:
        return f"CS-{self.pk}"

    @property
    def authors(self) -> list[str]:
        """Whoever wrote any of its revisions: none of them answers for its plan."""
        return [self.created_by, *self.editors]

    @property
    def writes_choices(self) -> bool:
        return self.kind not in (self.Kind.CONFIG, self.Kind.TEMPLATE)

    @property
    def is_bypassed(self) -> bool:
        """Let through in an emergency and confirmed by a second person: approvals are not asked for."""
        return self.seconded_at is not None

    @property
    def batch_count(self) -> int:
        """How many batches a plan needs at most; opt-outs and opt-ins never share one."""
        return -(-self.change_count // self.batch_size) if self.writes_choices else len(self.operations)
