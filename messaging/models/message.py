"""A message is owed before it is sent: the row is the work. Submission is ours and strict; delivery is heard about."""

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Exists, Expression, F, OuterRef, Q
from django.utils import timezone

from config.history import AppendOnly
from config.keys import Seal
from consent.identifiers import unseal
from consent.models import Channel, Identifier
from messaging.models.hold import SendHold
from messaging.models.template import MessageClass, TemplateVersion


class MessageQuerySet(models.QuerySet["Message"]):
    def due(self, now: datetime | Expression) -> Self:
        """May be claimed now."""
        return self.filter(not_before__lte=now, state__in=Message.WAITING)

    def wait_for_us(self, now: datetime | Expression) -> Self:
        """Due, or never tried: not those that a recipient's server or a pause keeps until later."""
        return self.filter(Q(not_before__lte=now) | Q(attempts_made=0), state__in=Message.WAITING)

    def kept_back(self, holds: Iterable[SendHold]) -> Self:
        """Those that one of the holds is about."""
        about = Q(pk=None)
        for hold in holds:
            about |= hold.about
        return self.filter(about)

    def abandoned(self, now: datetime | Expression) -> Self:
        """Claimed by a worker that never came back."""
        return self.filter(state=Message.State.SENDING, lease_until__lt=now)

    def overdue(self, now: datetime | Expression) -> Self:
        """Owed by now, and neither sent nor visibly given up."""
        return self.filter(owed_by__lt=now, state__in=Message.UNSETTLED)

    def in_trouble(self) -> Self:
        """Not sent, and nothing happens to it until a person looks. Of what the law asks for that is also what was kept
        from an address that is suppressed, or came too late: somebody has to find another way.
        """
        kept_back = Q(state__in=Message.KEPT_BACK, message_class__in=FOUR_EYES, sealed_recipient__isnull=False)
        return self.filter(Q(state__in=Message.TROUBLE) | kept_back)

    def maybe_sent(self) -> Self:
        """Of which an attempt may have been sent, whatever was tried or planned after it."""
        return self.filter(Exists(DeliveryAttempt.objects.maybe_sent().filter(message=OuterRef("pk"))))

    def open_to_evidence(self) -> Self:
        """In doubt, or about to be sent once more for want of an answer: one that comes makes that needless."""
        attempts = DeliveryAttempt.objects.filter(message=OuterRef("pk"))
        again = Q(state__in=[Message.State.RETRY_WAIT, Message.State.HELD]) & (
            Q(possible_duplicate=True) | Q(is_pinned=True)
        )
        answered = attempts.filter(outcome__in=[Message.State.REJECTED, Message.State.ACCEPTED])
        unanswered = Exists(attempts.filter(outcome=Message.State.IN_DOUBT)) & ~Exists(answered)
        return self.filter(Q(state=Message.State.IN_DOUBT) | again & unanswered)


# By which identifier a channel reaches a person.
RECIPIENTS = {Channel.EMAIL.value: Identifier.Kind.EMAIL.value, Channel.SMS.value: Identifier.Kind.PHONE.value}
BYTES, CONTEXT = Seal("message-bytes"), Seal("message-context")
# What the law asks for.
FOUR_EYES = frozenset({MessageClass.PRIVACY_NOTICE, MessageClass.INCIDENT_NOTICE})


class Message(models.Model):
    """Exactly one recipient, one channel, one purpose. Content is frozen at insert and at rendering."""

    class State(models.TextChoices):
        PENDING = "pending", "to be rendered"
        READY = "ready", "ready"
        HELD = "held", "held"
        SENDING = "sending", "sending"
        RETRY_WAIT = "retry_wait", "waiting to try again"
        IN_DOUBT = "in_doubt", "in doubt"
        ACCEPTED = "accepted", "accepted by the relay"
        REJECTED = "rejected", "rejected"
        FAILED = "failed", "failed"
        SUPPRESSED = "suppressed", "suppressed"
        CANCELLED = "cancelled", "cancelled"
        EXPIRED = "expired", "expired"
        RENDER_FAILED = "render_failed", "could not be rendered"
        FILED = "filed", "written to a file"
        CLOSED_UNKNOWN = "closed_unknown", "closed as unknown"

    class Delivery(models.TextChoices):
        NONE = "none", "nothing heard"
        QUEUED = "queued", "queued"
        DEFERRED = "deferred", "deferred"
        DELIVERED = "delivered", "delivered"
        BOUNCED_SOFT = "bounced_soft", "bounced, for now"
        BOUNCED_HARD = "bounced_hard", "bounced"

    class OnDoubt(models.TextChoices):
        RESEND = "resend", "send again, marked as a possible duplicate"
        NEVER = "never", "never send again"
        ASK = "ask", "ask a person"

    class Lane(models.TextChoices):
        """Which workers send it, the most urgent first: a text is owed within minutes and stands behind no mail, and a
        bulk never stands before what a person or the law waits for.
        """

        TEXT = "text", "a text message"
        CRITICAL = "critical", "a person or the law waits for it"
        BULK = "bulk", "one of many"

    UNSETTLED: ClassVar[list[str]] = [
        State.PENDING, State.READY, State.HELD, State.SENDING, State.RETRY_WAIT, State.IN_DOUBT, State.RENDER_FAILED,
    ]  # fmt: skip
    WAITING: ClassVar[list[str]] = [State.PENDING, State.READY, State.RETRY_WAIT]
    # Perhaps sent, and nobody knows: also where it was given up to find out.
    DOUBTFUL: ClassVar[list[str]] = [State.IN_DOUBT, State.CLOSED_UNKNOWN]
    # See `in_trouble`.
    TROUBLE: ClassVar[list[str]] = [
        State.FAILED, State.REJECTED, State.RENDER_FAILED, State.IN_DOUBT, State.FILED,
    ]  # fmt: skip
    KEPT_BACK: ClassVar[list[str]] = [State.SUPPRESSED, State.EXPIRED]
    personal: ClassVar[tuple[str, ...]] = ("sealed_recipient", "sealed_context", "sealed_raw")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    intent = models.BinaryField(max_length=32, unique=True, help_text="Hash of why, to whom and with what: owed once.")
    message_class = models.CharField(max_length=20, choices=MessageClass.choices)
    channel = models.CharField(max_length=10, default="email")
    purpose = models.CharField(max_length=50, blank=True, help_text="What the message is about.")
    subject_id = models.UUIDField(help_text="The person.")
    decision_id = models.BigIntegerField(null=True, blank=True, help_text="The decision that it confirms.")
    request_id = models.BigIntegerField(null=True, blank=True, help_text="The privacy request that it answers.")
    incident_id = models.BigIntegerField(null=True, blank=True, help_text="The incident that it is about.")
    notice = models.ForeignKey("Notice", models.PROTECT, null=True, blank=True, related_name="messages", db_index=False)
    held_with_notice = models.BooleanField(default=False, help_text="Held because its notice is, and let go with it.")
    sealed_recipient = models.BinaryField(null=True, help_text="The address, encrypted; empty where none is known.")
    template_version = models.ForeignKey(
        TemplateVersion, models.PROTECT, null=True, related_name="messages", db_index=False
    )
    template_key = models.CharField(max_length=50)
    sealed_context = models.BinaryField(null=True, help_text="What its text names, as JSON, encrypted.")
    locale = models.CharField(max_length=35, default="en")
    lane = models.CharField(max_length=10, choices=Lane.choices, default=Lane.CRITICAL)
    on_doubt = models.CharField(max_length=10, choices=OnDoubt.choices, default=OnDoubt.RESEND)

    not_before = models.DateTimeField(default=timezone.now)
    owed_by = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    state = models.CharField(max_length=20, choices=State.choices, default=State.PENDING)
    delivery = models.CharField(max_length=20, choices=Delivery.choices, default=Delivery.NONE)
    is_degraded = models.BooleanField(default=False, help_text="Rendered from an older version, the newest one failed.")
    possible_duplicate = models.BooleanField(default=False)
    transport = models.CharField(
        max_length=50, blank=True, help_text="Had it last, or has it next; empty: the first one that works."
    )
    is_pinned = models.BooleanField(
        default=False, help_text="In doubt at a transport that makes one message of two: only that one is asked again."
    )
    sealed_raw = models.BinaryField(null=True, help_text="The bytes on the wire, frozen at rendering, encrypted.")
    render_hash = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of the bytes on the wire.")
    lease = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts_made = models.PositiveIntegerField(default=0)
    given_back = models.PositiveIntegerField(default=0, help_text="Attempts that were given back untried.")
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(
        null=True, blank=True, help_text="When the person said that it reached them."
    )
    complained_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was first reported as spam; hides no delivery."
    )

    objects = MessageQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["lane", "not_before", "created_at"],
                name="message_due",
                condition=Q(state__in=["pending", "ready", "retry_wait"]),
            ),
            # Not by the lease's end: passing the point of no return moves that, and would write every index anew.
            models.Index(fields=["id"], name="message_leased", condition=Q(state="sending")),
            models.Index(fields=["owed_by"], name="message_owed", condition=Q(settled_at=None)),
            models.Index(fields=["subject_id", "-created_at"], name="message_of_subject"),
            models.Index(fields=["decision_id"], name="message_of_decision"),
            models.Index(fields=["notice", "state"], name="message_of_notice", condition=Q(notice__isnull=False)),
            models.Index(fields=["incident_id"], name="message_of_incident", condition=Q(incident_id__isnull=False)),
            models.Index(fields=["-created_at", "-id"], name="message_recent"),
            models.Index(
                fields=["-created_at"],
                name="message_in_trouble",
                condition=Q(state__in=["failed", "rejected", "render_failed", "in_doubt", "filed"])
                | Q(
                    state__in=["suppressed", "expired"],
                    message_class__in=["privacy_notice", "incident_notice"],
                    sealed_recipient__isnull=False,
                ),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="sending", lease__isnull=False, lease_until__isnull=False)
                | ~Q(state="sending") & Q(lease=None, lease_until=None),
                name="message_sending_under_a_lease",
                violation_error_message="A message is sent under a lease, and only then.",
            ),
            models.CheckConstraint(
                condition=Q(sealed_raw=None) | Q(render_hash__isnull=False),  # the hash outlives bytes that were erased
                name="message_rendered_with_its_hash",
                violation_error_message="Rendered bytes come with their hash.",
            ),
            models.CheckConstraint(
                condition=Q(sealed_recipient__isnull=False)
                | ~Q(state__in=["pending", "ready", "sending", "retry_wait"]),
                name="message_sent_to_somebody",
                violation_error_message="A message that is to be sent has a recipient.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_message_class_display()} {self.pk}"

    @property
    def recipient_kind(self) -> str:
        """Which of a person's identifiers its channel writes to."""
        return RECIPIENTS[self.channel]

    @property
    def recipient(self) -> str:
        """The address in clear; empty where none is known, or where it was erased."""
        return unseal(self.recipient_kind, bytes(self.sealed_recipient)) if self.sealed_recipient else ""

    @property
    def what(self) -> str:
        """Which text it is, in words."""
        return self.template_key.replace("_", " ")

    @property
    def tries(self) -> int:
        """How often a transport was asked to take it."""
        return self.attempts_made - self.given_back

    @property
    def context(self) -> dict[str, Any]:
        """What its text names: an answer holds all that is known of a person. Empty where it was erased."""
        return json.loads(CONTEXT.open(self.sealed_context, str(self.pk))) if self.sealed_context else {}

    @context.setter
    def context(self, clear: Mapping[str, Any]) -> None:
        self.sealed_context = CONTEXT.close(json.dumps(clear), str(self.pk))

    @property
    def raw(self) -> bytes:
        """The bytes on the wire, which hold the address and the person's own links; none where they were not made yet,
        or were erased. Raises cryptography's InvalidTag where they belong to another message or another key.
        """
        return BYTES.open_bytes(self.sealed_raw, str(self.pk)) if self.sealed_raw else b""

    @raw.setter
    def raw(self, clear: bytes) -> None:
        self.sealed_raw = BYTES.close_bytes(clear, str(self.pk))

    @property
    def needs_two(self) -> bool:
        """A doubt about what the law asks for is not decided by one person alone."""
        return self.message_class in FOUR_EYES


class DeliveryAttemptQuerySet(models.QuerySet["DeliveryAttempt"]):
    def maybe_sent(self) -> Self:
        """Nobody knows: under way past the point of no return, or ended without an answer that can be relied on."""
        return self.filter(Q(outcome=Message.State.IN_DOUBT) | Q(outcome="", phase=DeliveryAttempt.Phase.PONR))


class DeliveryAttempt(models.Model):
    """One try through one transport. Its phase only moves forward; what it ended with is written once."""

    class Phase(models.TextChoices):
        INTENT = "intent", "begun"
        PONR = "ponr", "past the point of no return"
        REPLIED = "replied", "answered"

    personal: ClassVar[tuple[str, ...]] = ("reply_text",)

    message = models.ForeignKey(
        Message, models.PROTECT, related_name="attempts", db_index=False
    )  # it is numbered by it
    number = models.PositiveIntegerField()
    transport = models.CharField(max_length=50)
    lease = models.UUIDField()
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.INTENT)
    outcome = models.CharField(max_length=20, blank=True, help_text="The submission state that it led to.")
    reply_code = models.PositiveSmallIntegerField(null=True)
    enhanced_status = models.CharField(max_length=20, blank=True)
    reply_text = models.CharField(max_length=500, blank=True)
    queue_id = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    ended_tx = models.BigIntegerField(
        null=True, editable=False, help_text="The transaction that ended it: by this, what ended is read in log order."
    )

    objects = DeliveryAttemptQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["message", "number"], name="deliveryattempt_numbered_once"),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("started_at")),
                name="deliveryattempt_ends_after_it_began",
            ),
        ]
        indexes = [
            models.Index(fields=["queue_id"], name="deliveryattempt_queued_as", condition=~Q(queue_id="")),
            models.Index(
                fields=["ended_tx", "id"], name="deliveryattempt_log_order", condition=Q(ended_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.message_id}"


class DeliveryEvent(AppendOnly):
    """Something that befell a message besides attempts: heard from outside (a bounce), or done by staff (a hold)."""

    personal: ClassVar[tuple[str, ...]] = ("payload",)

    message = models.ForeignKey(Message, models.PROTECT, null=True, related_name="events")
    source = models.CharField(max_length=50)
    event_key = models.BinaryField(max_length=32, help_text="Hash that is the same when the event is told again.")
    kind = models.CharField(max_length=30)
    occurred_at = models.DateTimeField()
    recipient = models.BinaryField(max_length=32, null=True, help_text="Blind index of the address it is about.")
    provider_id = models.CharField(max_length=250, blank=True, help_text="The provider's own id of the message.")
    payload = models.JSONField(default=dict)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "event_key"], name="deliveryevent_told_once")]

    def __str__(self) -> str:
        return f"{self.kind} from {self.source}"
