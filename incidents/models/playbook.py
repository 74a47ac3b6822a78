"""Playbooks: what to do when something happens, in versions that never change, and each time that it was done."""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import TrackedModel
from incidents.models.incident import LINE, Incident


def _pair(model: str, step: str, words: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(**{f"{step}_at": None, f"{step}_by": ""})
        | (Q(**{f"{step}_at__isnull": False}) & ~Q(**{f"{step}_by": ""})),
        name=f"{model}_{step}_at_with_{step}_by",
        violation_error_message=f"Say when and by whom it was {words}.",
    )


class PlaybookQuerySet(models.QuerySet["Playbook"]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def review_overdue(self, today: date) -> list["Playbook"]:
        return [playbook for playbook in self.active() if playbook.review_due_on < today]


class Playbook(TrackedModel):
    """One subject that people should not have to think about at night. It has an owner who looks at it now and then."""

    slug = models.SlugField(max_length=50, unique=True, help_text="Small letters and hyphens; it never changes.")
    title = models.CharField(max_length=200, validators=[LINE])
    owner = models.CharField(max_length=100, validators=[LINE], help_text="The team that keeps it right.")
    review_every_days = models.PositiveSmallIntegerField(default=90, validators=[MinValueValidator(1)])
    last_reviewed_at = models.DateTimeField(default=timezone.now, editable=False)
    last_reviewed_by = models.CharField(max_length=200, default="system:shipped", editable=False)
    is_active = models.BooleanField(default=True, help_text="Otherwise it is neither suggested nor started.")

    objects = PlaybookQuerySet.as_manager()

    class Meta:
        ordering = ["title"]
        permissions = [("review_playbook", "Can say that a playbook is still right")]
        constraints = [
            models.CheckConstraint(
                condition=Q(review_every_days__gte=1),
                name="playbook_is_reviewed_now_and_then",
                violation_error_message="A playbook is reviewed at least every so many days.",
            )
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def review_due_on(self) -> date:
        return (self.last_reviewed_at + timedelta(days=self.review_every_days)).date()


class PlaybookVersion(models.Model):
    """Steps, and what they are attached to. A draft is edited; once approved it never changes: a trigger refuses it."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        APPROVED = "approved", "approved"
        PUBLISHED = "published", "published"
        RETIRED = "retired", "retired"

    SHIPPED: ClassVar[str] = "system:shipped"  # who wrote and approved what comes with the product
    personal: ClassVar[tuple[str, ...]] = ()

    playbook = models.ForeignKey(Playbook, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    steps = models.JSONField(default=list, help_text="See incidents.playbooks.definition.")
    attached = models.JSONField(
        default=dict, blank=True, help_text="Which incidents it is for, and if it starts alone."
    )
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of steps and attachment.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=200, blank=True)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)
    retired_at = models.DateTimeField(null=True)
    retired_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["playbook", "-number"]
        permissions = [("approve_playbookversion", "Can approve and publish a playbook's version")]
        constraints = [
            models.UniqueConstraint(fields=["playbook", "number"], name="playbookversion_numbered_once"),
            models.UniqueConstraint(
                fields=["playbook"],
                condition=Q(state="published"),
                name="playbookversion_one_is_published",
                violation_error_message="Another version is published: it is retired first.",
            ),
            _pair("playbookversion", "approved", "approved"),
            _pair("playbookversion", "published", "published"),
            _pair("playbookversion", "retired", "retired"),
            models.CheckConstraint(
                condition=~Q(approved_by=F("created_by")) | Q(created_by="system:shipped"),
                name="playbookversion_approved_by_another",
                violation_error_message="A second person approves it, not the one who wrote it.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft", approved_at=None)
                | (~Q(state="draft") & Q(approved_at__isnull=False))
                | Q(state="retired"),
                name="playbookversion_past_draft_is_approved",
                violation_error_message="Only a draft has no approval.",
            ),
            models.CheckConstraint(
                condition=~Q(state="published") | Q(published_at__isnull=False, retired_at=None),
                name="playbookversion_published_with_its_time",
                violation_error_message="A published version says when it was published.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.playbook} v{self.number}"


class PlaybookRunQuerySet(models.QuerySet["PlaybookRun"]):
    def open(self) -> Self:
        return self.filter(ended_at=None)

    def outliving(self) -> Self:
        """Open, of incidents that are over, and nobody was told so yet; what is being taken back goes on."""
        found = self.open().filter(incident__status__in=Incident.ENDED, outlived_at=None)
        return found.exclude(state=PlaybookRun.State.UNDOING)


class PlaybookRun(models.Model):
    """A playbook as it is being done for an incident, with a copy of the steps of its own.

    The row is the work: `next_at` says when somebody looks again, and is never empty while it is open. One at a time
    for an incident and a playbook, by constraint.
    """

    class State(models.TextChoices):
        RUNNING = "running", "running"
        STOPPED = "stopped", "stopped: somebody must decide"
        UNDOING = "undoing", "being undone"
        SUCCEEDED = "succeeded", "done"
        CANCELLED = "cancelled", "cancelled"
        UNDONE = "undone", "undone"

    class Trigger(models.TextChoices):
        PERSON = "person", "a person"
        SERVICE = "service", "a service"
        SIGNAL = "signal", "its signals"

    AT_WORK: ClassVar[list[str]] = [State.RUNNING, State.UNDOING]
    personal: ClassVar[tuple[str, ...]] = ("reason",)

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="playbook_runs")
    playbook = models.ForeignKey(Playbook, models.PROTECT, related_name="runs")
    version = models.ForeignKey(PlaybookVersion, models.PROTECT, related_name="runs")
    steps = models.JSONField(help_text="The steps as they were when it was started.")
    trigger = models.CharField(max_length=10, choices=Trigger.choices)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    position = models.PositiveSmallIntegerField(default=0, help_text="The step that is done now, from 0.")
    next_at = models.DateTimeField(null=True, help_text="When it is looked at again.")
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(default=timezone.now)
    started_by = models.CharField(max_length=200)
    stopped_at = models.DateTimeField(null=True, help_text="Since when somebody must decide.")
    outlived_at = models.DateTimeField(null=True, help_text="Since when its incident is over, and it is not.")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=200, blank=True)
    audited_at = models.DateTimeField(null=True)
    audit_result = models.CharField(
        max_length=200, blank=True, help_text="What the auditor found wrong; empty: nothing."
    )

    objects = PlaybookRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("approve_playbookrun", "Can approve a step of a playbook")]
        indexes = [models.Index(fields=["next_at"], name="playbookrun_due", condition=Q(ended_at=None))]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "playbook"],
                condition=Q(ended_at=None),
                name="playbookrun_one_at_a_time",
                violation_error_message="This playbook is being done for this incident already.",
            ),
            _pair("playbookrun", "ended", "ended"),
            models.CheckConstraint(
                condition=Q(state="stopped", stopped_at__isnull=False) | (~Q(state="stopped") & Q(stopped_at=None)),
                name="playbookrun_stopped_with_its_time",
                violation_error_message="A run that is stopped says since when, and no other does.",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, next_at__isnull=False, state__in=["running", "stopped", "undoing"])
                | Q(ended_at__isnull=False, next_at=None, state__in=["succeeded", "cancelled", "undone"]),
                name="playbookrun_open_has_a_next_time",
                violation_error_message="An open run says when it is looked at again; an ended one has no such time.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.playbook} for {self.incident.ref}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    @property
    def step(self) -> dict[str, Any]:
        """The definition of the step that is done now."""
        found: dict[str, Any] = self.steps[self.position]
        return found


class StepRunQuerySet(models.QuerySet["StepRun"]):
    def to_undo(self) -> Self:
        """What was really done and can be taken back, the last first."""
        return self.exclude(undo=None).filter(state=StepRun.State.SUCCEEDED).order_by("-position")


class StepRun(models.Model):
    """A step of a run. What has succeeded is never begun again: a trigger refuses it."""

    class State(models.TextChoices):
        PENDING = "pending", "to be done"
        RUNNING = "running", "being done"
        WAITING = "waiting", "waits"
        WAITING_APPROVAL = "waiting_approval", "waits for approval"
        SUCCEEDED = "succeeded", "done"
        FAILED = "failed", "failed"
        SKIPPED = "skipped", "skipped"
        COMPENSATED = "compensated", "undone"
        UNKNOWN = "unknown", "nobody knows if it was done"

    ENDED: ClassVar[list[str]] = [State.SUCCEEDED, State.SKIPPED, State.COMPENSATED]
    personal: ClassVar[tuple[str, ...]] = ("reason",)

    run = models.ForeignKey(PlaybookRun, models.PROTECT, related_name="step_runs")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=50)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=10)
    state = models.CharField(max_length=20, choices=State.choices, default=State.PENDING)
    attempt = models.PositiveSmallIntegerField(default=0)
    output = models.JSONField(default=dict, help_text="What it answered, at most 4,000 characters.")
    undo = models.JSONField(null=True, help_text="What takes it back; empty: nothing does.")
    reason = models.CharField(max_length=500, blank=True, help_text="Why it stands as it does.")
    wait_until = models.DateTimeField(null=True, help_text="Until when it waits.")
    begun_at = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True, help_text="Under which claim of the run it is being done.")
    cleared_at = models.DateTimeField(null=True, help_text="Somebody said: do it.")
    cleared_by = models.CharField(max_length=200, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=200, blank=True)

    objects = StepRunQuerySet.as_manager()

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="steprun_once"),
            models.UniqueConstraint(fields=["run", "key"], name="steprun_once_by_key"),
            _pair("steprun", "cleared", "let through"),
            _pair("steprun", "ended", "ended"),
            models.CheckConstraint(
                condition=(Q(state__in=["succeeded", "skipped", "compensated"]) & Q(ended_at__isnull=False))
                | (~Q(state__in=["succeeded", "skipped", "compensated"]) & Q(ended_at=None)),
                name="steprun_ended_with_its_time",
                violation_error_message="A step that is over says since when, and no other does.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position + 1}. {self.title}"

    @property
    def idempotency_key(self) -> str:
        """The same at every attempt, so that whoever takes it can tell a repetition."""
        return f"playbook-{self.run_id}-{self.key}"


class AuditorBeat(models.Model):
    """When the auditor of runs last came round, and if the heartbeat outside heard of it. One row."""

    personal: ClassVar[tuple[str, ...]] = ()

    name = models.CharField(primary_key=True, max_length=20)
    beaten_at = models.DateTimeField()
    answer = models.CharField(
        max_length=200, blank=True, help_text="What the heartbeat outside said; empty: none is set."
    )
    was_heard = models.BooleanField(null=True, help_text="Empty: no heartbeat outside is set.")

    def __str__(self) -> str:
        return self.name

    def age(self, now: datetime) -> timedelta:
        return now - self.beaten_at


class Trouble(models.Model):
    """Something that messaging says is wrong, or a legal clock that ran out: from when to when, and the incident that
    tells it."""

    personal: ClassVar[tuple[str, ...]] = ()

    key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    incident = models.ForeignKey(Incident, models.PROTECT, related_name="+")
    since = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last there.")
    over_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(over_at=None), name="trouble_one_per_key"),
        ]

    def __str__(self) -> str:
        return self.title
