"""What came in: each webhook delivery as it was posted, and each mail or text message, with what became of it."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from messaging.models.message import Message


class HookDelivery(models.Model):
    """A post of a provider as it came, kept also when refused. Its bytes never change, and are emptied after a while.
    Its fate is written once.
    """

    class Kind(models.TextChoices):
        TRACKING = "tracking", "delivery events"
        INBOUND = "inbound", "incoming mail"
        TEXT = "text", "incoming text message"

    class Outcome(models.TextChoices):
        STORED = "stored", "to be read"
        READ = "read", "read"
        EMPTY = "empty", "without news"
        REJECTED = "rejected", "could not be used"
        REFUSED = "refused", "refused at the door"

    personal: ClassVar[tuple[str, ...]] = ("body",)

    provider = models.CharField(max_length=50)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    headers = models.JSONField(default=dict, help_text="Those that say how to read it; never a secret.")
    body = models.BinaryField(null=True, help_text="As it came; emptied after 30 days.")
    body_digest = models.BinaryField(max_length=32)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.STORED)
    reason = models.CharField(max_length=300, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "hook deliveries"
        indexes = [
            models.Index(fields=["received_at"], name="hookdelivery_to_read", condition=Q(outcome="stored")),
            models.Index(fields=["-received_at"], name="hookdelivery_refused", condition=Q(outcome="refused")),
            models.Index(fields=["received_at"], name="hookdelivery_to_forget", condition=Q(body__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"delivery #{self.pk} of {self.provider}"


class InboundQuerySet(models.QuerySet["InboundMessage"]):
    def long_dealt_with(self, before: datetime) -> Self:
        """Settled by rule or by a person before that moment, and still as it came."""
        done = [InboundMessage.State.SETTLED, InboundMessage.State.ANSWERED, InboundMessage.State.CLOSED]
        old = self.filter(raw__isnull=False, state__in=done, received_at__lt=before)
        return old.filter(Q(handled_at=None) | Q(handled_at__lt=before))

    def for_a_person(self) -> Self:
        """Waits for somebody of the staff."""
        return self.filter(state=InboundMessage.State.OPEN)


class InboundMessage(models.Model):
    """A mail or a text message to us: stored before it is understood, dealt with by rule or by a person."""

    class Kind(models.TextChoices):
        UNREAD = "unread", "not read yet"
        BOUNCE = "bounce", "bounce"
        COMPLAINT = "complaint", "complaint"
        AUTO_REPLY = "auto_reply", "automatic answer"
        UNSUBSCRIBE = "unsubscribe", "unsubscribe"
        HELP = "help", "call for help"
        REPLY = "reply", "reply"
        UNKNOWN = "unknown", "unknown"

    class State(models.TextChoices):
        STORED = "stored", "to be read"
        SETTLED = "settled", "settled by rule"
        OPEN = "open", "waits for a person"
        ANSWERED = "answered", "answered"
        CLOSED = "closed", "closed"

    personal: ClassVar[tuple[str, ...]] = ("raw", "sender", "recipient", "subject")

    channel = models.CharField(max_length=10, default="email")
    source = models.CharField(max_length=50, help_text="How it came: smtp, or a provider's name.")
    sender = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    raw = models.BinaryField(
        null=True, help_text="As it came; emptied when its person is erased, and 30 days after it was dealt with."
    )
    raw_digest = models.BinaryField(max_length=32)
    hook = models.ForeignKey(
        HookDelivery,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="What came in place of a letter.",
    )
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.UNREAD)
    state = models.CharField(max_length=10, choices=State.choices, default=State.STORED)
    outcome = models.CharField(max_length=300, blank=True, help_text="What was done, in words.")
    message = models.ForeignKey(Message, models.PROTECT, null=True, related_name="answers")
    subject_id = models.UUIDField(null=True, help_text="The person, where that is known.")
    decision_id = models.BigIntegerField(null=True, help_text="The opt-out that it led to.")
    assigned_to = models.CharField(max_length=200, blank=True)
    handled_at = models.DateTimeField(null=True)
    handled_by = models.CharField(max_length=200, blank=True)
    handled_reason = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(default=timezone.now)

    objects = InboundQuerySet.as_manager()

    class Meta:
        verbose_name = "reply"
        verbose_name_plural = "replies"
        indexes = [
            models.Index(fields=["received_at"], name="inboundmessage_to_read", condition=Q(state="stored")),
            models.Index(fields=["-received_at", "-id"], name="inboundmessage_recent"),
            models.Index(fields=["subject_id"], name="inboundmessage_of_subject"),
            models.Index(fields=["hook"], name="inboundmessage_of_hook", condition=Q(hook__isnull=False)),
            models.Index(
                fields=["received_at"],
                name="inboundmessage_to_forget",
                condition=Q(raw__isnull=False, state__in=["settled", "answered", "closed"]),
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["raw_digest", "recipient"], name="inboundmessage_kept_once"),
            models.CheckConstraint(
                condition=Q(handled_at=None, handled_by="")
                | (Q(handled_at__isnull=False) & ~Q(handled_by="") & ~Q(handled_reason="")),
                name="inboundmessage_handled_at_with_handled_by",
                violation_error_message="What a person dealt with says when, by whom and how.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["answered", "closed"]) | Q(handled_at__isnull=False),
                name="inboundmessage_closed_by_somebody",
                violation_error_message="Say who dealt with it.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"
