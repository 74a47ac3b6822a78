"""Ways out, watched: how often each ought to be used, when it is tried, and how the tries went."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from config.history import TrackedModel
from consent.models import ExitPath


class ExitPathWatch(TrackedModel):
    """What is to be expected of a way out: used at least so often, and working whenever it is tried."""

    exit_path = models.OneToOneField(ExitPath, models.PROTECT, primary_key=True, related_name="watch")
    used_within_hours = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="An alarm where nobody used it for so long. Empty: where it is silent against its own usual at these "
        "hours, once three weeks of it are known.",
    )
    probe_every_minutes = models.PositiveIntegerField(
        default=0, help_text="A canary opts out by it so often, end to end. 0: it is not tried."
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        verbose_name = "watch over a way out"
        verbose_name_plural = "watches over ways out"
        ordering = ["exit_path"]
        constraints = [
            models.CheckConstraint(
                condition=Q(probe_every_minutes=0) | Q(probe_every_minutes__gte=5, probe_every_minutes__lte=10_080),
                name="exitpathwatch_probed_at_a_sane_pace",
                violation_error_message="Try it every 5 minutes at most, once a week at least; 0: never.",
            ),
            models.CheckConstraint(
                condition=Q(used_within_hours=None) | Q(used_within_hours__gte=1, used_within_hours__lte=1008),
                name="exitpathwatch_use_is_expected_within_hours",
                violation_error_message="Give 1 to 1008 hours (six weeks), or leave it empty.",
            ),
        ]

    def __str__(self) -> str:
        return f"watch over {self.exit_path_id}"


class ExitPathProbe(models.Model):
    """A canary's way out, end to end: each step with how long it took and whether it held."""

    class Verdict(models.TextChoices):
        RUNNING = "running", "running"
        MET = "met", "works"
        NO_MAIL = "no_mail", "works, mail unmeasured"
        BREACHED = "breached", "broken"
        UNMEASURED = "unmeasured", "unmeasured"

    WORKS: ClassVar[list[str]] = [Verdict.MET, Verdict.NO_MAIL]  # the person is out, which is what a way out is for
    personal: ClassVar[tuple[str, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    exit_path = models.ForeignKey(ExitPath, models.PROTECT, related_name="probes")
    canary = models.UUIDField(null=True, help_text="The subject that opted out: nobody real.")
    decision_id = models.BigIntegerField(null=True)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, default=Verdict.RUNNING)
    steps = models.JSONField(default=list, help_text="Name, verdict, seconds and words of each.")
    started_at = models.DateTimeField(default=timezone.now)
    started_by = models.CharField(max_length=200, default="system:probe")
    lease_until = models.DateTimeField(help_text="Whoever runs it is given up for dead after that.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["exit_path", "-started_at"], name="exitpathprobe_of_path"),
            models.Index(fields=["started_at"], name="exitpathprobe_running", condition=Q(ended_at=None)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(verdict="running", ended_at=None) | ~Q(verdict="running") & Q(ended_at__isnull=False),
                name="exitpathprobe_ends_with_a_verdict",
                violation_error_message="A probe that has ended has a verdict.",
            ),
            models.UniqueConstraint(
                fields=["exit_path"], condition=Q(ended_at=None), name="exitpathprobe_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.exit_path_id} {self.started_at:%Y-%m-%d %H:%M}"
