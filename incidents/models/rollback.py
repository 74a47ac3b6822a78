"""Taking back: which decisions were declared bad, by which predicate, and how far undoing them has come."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from consent.models import Decision, Subject
from incidents.models.change import ChangeSet, pair
from incidents.models.incident import Incident


class RollbackQuerySet(models.QuerySet["Rollback"]):
    def open(self) -> Self:
        return self.filter(ended_at=None)

    def due(self, now: datetime) -> Self:
        return self.filter(state=Rollback.State.RUNNING, next_at__lte=now)


class Rollback(models.Model):
    """Non-explicit decisions that somebody declared bad, voided in portions. It can be run again and changes nothing.

    Of a change set, of an import, or of writes that nobody declared: by login and interval, transaction, or batch. What
    would lift opt-outs or is large waits for a second person, but for a set that is stopped while it is at work.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waits for a second person"
        RUNNING = "running", "being done"
        DONE = "done", "done"
        CANCELLED = "cancelled", "cancelled"

    personal: ClassVar[tuple[str, ...]] = ("reason",)

    change_set = models.ForeignKey(ChangeSet, models.PROTECT, null=True, related_name="rollbacks")
    incident = models.ForeignKey(Incident, models.PROTECT, null=True, related_name="rollbacks")
    predicate = models.JSONField(help_text="change_set; or db_user with since and until; or tx; or batch; or import.")
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State.choices)
    item_count = models.PositiveIntegerField(default=0, help_text="Decisions declared bad.")
    opt_out_count = models.PositiveIntegerField(default=0, help_text="Of these, opt-outs that nobody chose.")
    explicit_count = models.PositiveIntegerField(
        default=0, help_text="Explicit decisions that the predicate met and that stay: people's own choices."
    )
    voided_count = models.PositiveIntegerField(default=0)
    checked_to = models.BigIntegerField(default=0, help_text="The last item whose key was projected a second time.")
    rewritten_again = models.PositiveIntegerField(null=True, help_text="Keys that a second projection changed: 0.")
    weakened_count = models.PositiveIntegerField(null=True, help_text="Explicit opt-outs weakened meanwhile: 0.")
    later_count = models.PositiveIntegerField(
        null=True, help_text="Other writes about the same people since, that nobody chose: for somebody to look at."
    )
    later_sample = models.JSONField(default=list, help_text="The ids of some of these decisions.")
    log_before = models.BigIntegerField(default=0, help_text="The newest version of any consent when it began.")
    started_at = models.DateTimeField(default=timezone.now)
    started_by = models.CharField(max_length=200)
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.CharField(max_length=200, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=200, blank=True)
    next_at = models.DateTimeField(null=True, help_text="When a worker looks at it again.")
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    objects = RollbackQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["next_at"], name="rollback_due", condition=Q(next_at__isnull=False))]
        constraints = [
            models.UniqueConstraint(
                fields=["change_set"],
                condition=Q(change_set__isnull=False, state="running"),
                name="rollback_one_at_a_time_of_a_set",
                violation_error_message="This set is being taken back already.",
            ),
            models.CheckConstraint(
                condition=~Q(reason=""), name="rollback_has_a_reason", violation_error_message="Say why."
            ),
            models.CheckConstraint(
                condition=Q(confirmed_by="") | ~Q(confirmed_by=F("started_by")),
                name="rollback_confirmed_by_another",
                violation_error_message="A second person confirms it, not whoever began it.",
            ),
            models.CheckConstraint(
                condition=Q(state="running", next_at__isnull=False) | (~Q(state="running") & Q(next_at=None)),
                name="rollback_running_has_a_next_time",
                violation_error_message="A rollback under way says when it is looked at again, and no other does.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["done", "cancelled"], ended_at__isnull=False)
                | (~Q(state__in=["done", "cancelled"]) & Q(ended_at=None)),
                name="rollback_ended_with_its_time",
                violation_error_message="A rollback that is over says since when, and no other does.",
            ),
            pair("rollback", "confirmed", "confirmed"),
            pair("rollback", "ended", "ended"),
        ]

    def __str__(self) -> str:
        of_nobody = self.predicate.get("import", "undeclared writes")
        return f"rollback {self.pk} of {self.change_set.ref if self.change_set else of_nobody}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


class RollbackItem(models.Model):
    """A decision that a rollback voids. Explicit ones cannot be among them: the database refuses to void those."""

    personal: ClassVar[tuple[str, ...]] = ()

    id = models.BigAutoField(primary_key=True)
    rollback = models.ForeignKey(Rollback, models.PROTECT, db_index=False, related_name="items")
    decision = models.ForeignKey(Decision, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    subject = models.ForeignKey(Subject, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    choice = models.CharField(max_length=10)
    is_done = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rollback", "decision"], name="rollbackitem_once")]
        indexes = [
            models.Index(
                fields=["rollback", "subject", "purpose", "channel"],
                name="rollbackitem_to_do",
                condition=Q(is_done=False),
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.decision_id}"
