"""What becomes of a doubt about a message that the law asks for."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from messaging.models.message import Message


class DoubtRuling(models.Model):
    """What two people decided about a message in doubt that the law asks for: one proposes, another agrees."""

    class Verdict(models.TextChoices):
        RESEND = "resend", "send it again, marked as a possible duplicate"
        CLOSE = "close", "close it as unknown"

    personal: ClassVar[tuple[str, ...]] = ()

    message = models.ForeignKey(Message, models.PROTECT, related_name="rulings")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.CharField(max_length=200)
    is_open = models.BooleanField(null=True, default=True, help_text="True or empty: one proposal at a time.")
    proposed_at = models.DateTimeField(default=timezone.now)
    proposed_by = models.CharField(max_length=200)
    agreed_at = models.DateTimeField(null=True)
    agreed_by = models.CharField(max_length=200, blank=True)
    agreed_reason = models.CharField(max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["message"], condition=Q(is_open=True), name="doubtruling_one_open_proposal"
            ),
            models.CheckConstraint(
                condition=~Q(agreed_by=F("proposed_by")),
                name="doubtruling_agreed_by_another",
                violation_error_message="You proposed this: somebody else decides with you.",
            ),
            models.CheckConstraint(
                condition=Q(agreed_at=None, agreed_by="") | (Q(agreed_at__isnull=False) & ~Q(agreed_by="")),
                name="doubtruling_agreed_at_with_agreed_by",
                violation_error_message="An agreement says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None, withdrawn_by="") | (Q(withdrawn_at__isnull=False) & ~Q(withdrawn_by="")),
                name="doubtruling_withdrawn_at_with_withdrawn_by",
                violation_error_message="A withdrawal says when and by whom.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}, proposed by {self.proposed_by}"
