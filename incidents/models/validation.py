"""Validation: each run over the invariants, what each of them answered, and what was put right."""

import uuid
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly
from incidents.models.incident import Incident


class ValidationRunQuerySet(models.QuerySet["ValidationRun"]):
    def of_everything(self) -> Self:
        """Runs over the whole product, and not over some keys of a change."""
        return self.exclude(trigger=ValidationRun.Trigger.CHANGE_SET)


class ValidationRun(AppendOnly):
    """One look at the invariants, every one of them: it does not stop at the first that is broken."""

    class Trigger(models.TextChoices):
        PERIODIC = "periodic", "by the clock"
        INCIDENT = "incident", "an incident is open"
        CHANGE_SET = "change_set", "a change was applied"
        DRILL = "drill", "a drill"
        RESTORE = "restore", "the database was restored"
        PERSON = "person", "somebody asked"

    class Verdict(models.TextChoices):
        PASS = "pass", "nothing broken"
        FAIL = "fail", "a promise is broken"
        INCONCLUSIVE = "inconclusive", "something could not be measured"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trigger = models.CharField(max_length=20, choices=Trigger.choices)
    scope = models.CharField(max_length=100, help_text="What it was about: new, everything, or CS-12 batch 3.")
    verdict = models.CharField(max_length=20, choices=Verdict.choices)
    broken = ArrayField(models.CharField(max_length=4), default=list, help_text="The invariants that are broken.")
    unmeasured = ArrayField(models.CharField(max_length=4), default=list, help_text="Those nobody can tell about.")
    log_tx = models.BigIntegerField(help_text="Up to which transaction the log was closed when it began.")
    incident = models.ForeignKey(Incident, models.PROTECT, null=True, related_name="+", help_text="What it opened.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(default=timezone.now)

    objects = ValidationRunQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["-started_at"], name="validationrun_recent")]
        constraints = [
            models.CheckConstraint(condition=Q(ended_at__gte=F("started_at")), name="validationrun_ends_after_it_began")
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}, {self.started_at:%Y-%m-%d %H:%M:%S} UTC"


class ValidationCheck(AppendOnly):
    """What one invariant answered in a run. Offenders are numbers of rows, never addresses: at most twenty, and a
    digest of all."""

    class Verdict(models.TextChoices):
        MET = "met", "met"
        BREACHED = "breached", "broken"
        UNMEASURED = "unmeasured", "unmeasured"

    run = models.ForeignKey(ValidationRun, models.PROTECT, related_name="checks")
    invariant = models.CharField(max_length=4)
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    expected = models.CharField(max_length=100)
    observed = models.CharField(max_length=200)
    words = models.CharField(max_length=500, blank=True, help_text="What breaks it, or why nobody can tell.")
    looked_at = models.BigIntegerField(default=0, help_text="How many rows it looked at.")
    count = models.BigIntegerField(default=0, help_text="How many break it.")
    offenders = ArrayField(models.CharField(max_length=200), default=list)
    offenders_digest = models.BinaryField(max_length=32, help_text="SHA-256 of all offenders, sorted, a line each.")
    duration_ms = models.PositiveIntegerField()

    class Meta:
        ordering = ["run", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "invariant"], name="validationcheck_once_a_run"),
            models.CheckConstraint(
                condition=~Q(verdict="unmeasured") | ~Q(words=""),
                name="validationcheck_unmeasured_says_why",
                violation_error_message="Say why it could not be measured.",
            ),
            models.CheckConstraint(
                condition=~Q(verdict="breached") | Q(count__gt=0),
                name="validationcheck_breached_by_something",
                violation_error_message="Say how many break it.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invariant} {self.verdict}"


class DriftRepair(AppendOnly):
    """States that were not what the log says, found together, and what became of them."""

    class FoundBy(models.TextChoices):
        CHANGES = "changes", "what had just been written"
        SWEEP = "sweep", "the sweep"
        FULL = "full", "a look at everything"

    found_by = models.CharField(max_length=10, choices=FoundBy.choices)
    incident = models.ForeignKey(Incident, models.PROTECT, related_name="drift_repairs")
    kinds = models.JSONField(default=dict, help_text="How many of each kind.")
    count = models.PositiveIntegerField(help_text="How many were found.")
    reversed_count = models.PositiveIntegerField(help_text="How many explicit opt-outs did not count because of it.")
    repaired = models.PositiveIntegerField(help_text="How many are what the log says now.")
    left = ArrayField(
        models.CharField(max_length=100), default=list, help_text="Those that people must deal with, by key."
    )
    sample = ArrayField(models.CharField(max_length=100), default=list, help_text="At most twenty keys.")
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of all keys, sorted, a line each.")
    found_at = models.DateTimeField()
    repaired_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["-found_at"], name="driftrepair_recent")]
        constraints = [
            models.CheckConstraint(condition=Q(count__gt=0), name="driftrepair_of_something"),
            models.CheckConstraint(
                condition=Q(repaired__lte=F("count")), name="driftrepair_repairs_no_more_than_it_found"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.repaired} of {self.count} repaired, {self.found_at:%Y-%m-%d %H:%M:%S} UTC"
