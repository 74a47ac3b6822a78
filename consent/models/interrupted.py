"""Opt-outs that were tried and did not come through: kept until they are recorded or their person was asked."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from consent.models.subject import Identifier


class InterruptedQuerySet(models.QuerySet["InterruptedOptOut"]):
    def unsettled(self) -> Self:
        return self.filter(settled_at=None)

    def recordable(self) -> Self:
        """Whose it is and what was wanted is beyond doubt, and their way out works again."""
        return self.filter(is_certain=True, path_works_at__isnull=False, settled_at=None)


class InterruptedOptOut(models.Model):
    """Somebody tried to opt out and was not served: who, where, when, what was in the way, and what became of it."""

    class State(models.TextChoices):
        WAITING = "waiting", "waits until the way out works"
        OPEN = "open", "to be looked at"
        RETRIED = "retried", "recorded afterwards"
        CONTACTED = "contacted", "the person was asked"
        CLOSED = "closed", "closed"

    SETTLED: ClassVar[list[str]] = [State.RETRIED, State.CONTACTED, State.CLOSED]
    personal: ClassVar[tuple[str, ...]] = ("sealed_identifier",)

    key = models.BinaryField(max_length=32, help_text="The same attempt again, until it is settled, is the same row.")
    subject_id = models.UUIDField(null=True, help_text="The person, where a link or a service named them.")
    identifier_kind = models.CharField(max_length=10, choices=Identifier.Kind.choices, blank=True)
    sealed_identifier = models.BinaryField(null=True, help_text="What a service called the person, encrypted.")
    exit_path = models.CharField(max_length=50)
    purpose = models.CharField(max_length=50, blank=True, help_text="Empty: it could not be read.")
    channel = models.CharField(max_length=10, blank=True)
    message_id = models.UUIDField(null=True, help_text="The message whose link was used.")
    is_certain = models.BooleanField(default=False, help_text="Who wants what is beyond doubt: it can be recorded.")
    tried_at = models.DateTimeField(help_text="The first attempt.")
    last_tried_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=1)
    place = models.CharField(max_length=100, help_text="Where it ended.")
    error_code = models.CharField(max_length=50)
    error = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    path_works_at = models.DateTimeField(null=True, help_text="Others came through again by the same way.")
    decision_id = models.BigIntegerField(null=True, help_text="The opt-out that was recorded afterwards.")
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=200, blank=True)
    settled_reason = models.CharField(max_length=200, blank=True)
    recorded_at = models.DateTimeField(default=timezone.now)

    objects = InterruptedQuerySet.as_manager()

    class Meta:
        verbose_name = "interrupted opt-out"
        permissions = [("settle_interruptedoptout", "Can settle an opt-out that was interrupted")]
        indexes = [
            models.Index(fields=["exit_path"], name="interrupted_unsettled", condition=Q(settled_at=None)),
            models.Index(fields=["-tried_at"]),
            models.Index(fields=["key"], name="interrupted_by_key"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(settled_at=None),
                name="interruptedoptout_one_unsettled_of_a_key",
                violation_error_message="This attempt is kept already: it waits to be settled.",
            ),
            models.CheckConstraint(
                condition=Q(settled_at=None, settled_by="", state__in=["waiting", "open"])
                | (Q(settled_at__isnull=False, state__in=["retried", "contacted", "closed"]) & ~Q(settled_by="")),
                name="interruptedoptout_settled_at_with_settled_by",
                violation_error_message="A settled attempt says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(is_certain=False)
                | (
                    ~Q(purpose="") & ~Q(channel="") & (Q(subject_id__isnull=False) | Q(sealed_identifier__isnull=False))
                ),
                name="interruptedoptout_certain_says_who_and_what",
                violation_error_message="A certain wish names its person, purpose and channel.",
            ),
            models.CheckConstraint(
                condition=~Q(state="retried") | Q(decision_id__isnull=False),
                name="interruptedoptout_retried_has_its_decision",
                violation_error_message="Name the decision that was recorded.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.exit_path} {self.tried_at:%Y-%m-%d %H:%M}: {self.error_code}"
