"""Why somebody decided, looked at once more when more was known. The decision itself never changes."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from config.history import AppendOnly
from consent.models import Cause


class CauseAssessment(AppendOnly):
    """What led to a decision, seen beside the message, the incidents and the others of that minute.

    The newest version counts. A decision without one has the cause that was said when it was made.
    """

    decision_id = models.BigIntegerField()
    version = models.PositiveSmallIntegerField(default=1)
    cause = models.CharField(max_length=30, choices=Cause.choices)
    confidence = models.PositiveSmallIntegerField(help_text="How sure the cause is, in percent.")
    reasons = ArrayField(models.CharField(max_length=50), help_text="Codes of what the cause rests on.")
    rules = models.PositiveSmallIntegerField(help_text="The version of the rules that said so.")
    assessed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["decision_id", "version"], name="causeassessment_numbered_once"),
            models.CheckConstraint(
                condition=Q(confidence__lte=100),
                name="causeassessment_confidence_is_a_percentage",
                violation_error_message="Confidence is a percentage.",
            ),
            models.CheckConstraint(
                condition=Q(cause__in=Cause.values),
                name="causeassessment_cause_is_known",
                violation_error_message="Name a known cause.",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.decision_id}: {self.cause} ({self.confidence} %)"


class LookCursor(models.Model):
    """How far somebody has read a table that tells something new: the (tx, id) of the last row they dealt with."""

    personal: ClassVar[tuple[str, ...]] = ()

    name = models.CharField(primary_key=True, max_length=50)
    tx = models.BigIntegerField(default=0)
    last_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name
