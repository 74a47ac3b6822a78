"""The database went back in time: what shows it, what was put back, what is gone, and who let sending go on."""

import uuid
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from incidents.models.incident import Incident


class RestoreQuerySet(models.QuerySet["Restore"]):
    def open(self) -> Self:
        return self.exclude(state=Restore.State.LET_GO)


class Restore(models.Model):
    """Found by the product itself, put right by itself, and let go by a person. `epoch` names the life of the database
    that began with it: marks outside bear it.
    """

    class State(models.TextChoices):
        FOUND = "found", "found: opt-outs are being put back"
        REPLAYED = "replayed", "put back: sending waits for a person"
        LET_GO = "let_go", "let go"

    personal: ClassVar[tuple[str, ...]] = ()

    epoch = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.FOUND)
    incident = models.ForeignKey(Incident, models.PROTECT, related_name="restores")
    found_at = models.DateTimeField(default=timezone.now)
    witness = models.CharField(max_length=20, help_text="What knew more than the database: file, valkey, journal.")
    marked_at = models.DateTimeField(null=True, help_text="When the newest mark outside was written.")
    copy_at = models.DateTimeField(null=True, help_text="When the newest choice that the copy holds was received.")
    mark = models.JSONField(default=dict, help_text="How far the database had come, as the mark says.")
    here = models.JSONField(default=dict, help_text="How far it had come when this was found.")
    times_found = models.PositiveIntegerField(default=1, help_text="It went back again before anybody let go.")
    guard_before = models.CharField(max_length=10)
    holds = ArrayField(models.BigIntegerField(), default=list, help_text="What keeps messages back meanwhile.")

    opt_outs = models.PositiveIntegerField(default=0, help_text="Opt-outs that were missing and put back.")
    people = models.PositiveIntegerField(default=0, help_text="Of how many people.")
    people_made = models.PositiveIntegerField(default=0, help_text="Of whom the copy knew nothing.")
    erased = models.PositiveIntegerField(default=0, help_text="People who were erased again.")
    messages_held = models.PositiveIntegerField(
        default=0, help_text="Messages that were due in the copy and may have gone out before it was restored."
    )
    lost = models.JSONField(default=dict, help_text="What cannot be put back: how many numbers of each kind are gone.")
    uncovered = models.JSONField(default=list, help_text="Spans of time about which the journal knows nothing.")
    journals = models.JSONField(default=dict, help_text="Each journal's newest comparison with the database.")
    counter_is_behind = models.BooleanField(
        default=False, help_text="New transactions get numbers that the log has used: its readers see nothing new."
    )
    replayed_at = models.DateTimeField(null=True)
    let_go_at = models.DateTimeField(null=True)
    let_go_by = models.CharField(max_length=200, blank=True)
    let_go_reason = models.CharField(max_length=200, blank=True)

    objects = RestoreQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("let_go_restore", "Can let sending go after the database went back in time")]
        constraints = [
            models.CheckConstraint(
                condition=Q(let_go_at=None, let_go_by="", let_go_reason="")
                | Q(let_go_at__isnull=False) & ~Q(let_go_by="") & ~Q(let_go_reason=""),
                name="restore_let_go_at_with_let_go_by",
                violation_error_message="Say who lets sending go, when and why.",
            ),
            models.CheckConstraint(
                condition=Q(state="let_go", let_go_at__isnull=False) | ~Q(state="let_go") & Q(let_go_at=None),
                name="restore_is_let_go_by_somebody",
                violation_error_message="A restore is let go by a person, and says by whom.",
            ),
            models.UniqueConstraint(models.Value(1), condition=~Q(state="let_go"), name="restore_one_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"database went back in time, found {self.found_at:%Y-%m-%d %H:%M}"
