"""The timeline of an incident: lines that are only added, numbered without a gap and chained."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly
from incidents.models.incident import LINE, SKEW, TEXT, Incident


class TimelineEntry(AppendOnly):
    """One line of the story. `occurred_at` is when it happened, `recorded_at` when it was written; `seq` has no gap,
    and each line's digest goes into the next one's: see `incidents.chain`."""

    class Kind(models.TextChoices):
        DECLARED = "declared", "declared"
        ALERT = "alert", "alert"
        STATUS = "status", "status"
        NOTE = "note", "note"
        DECISIONS = "decisions", "decisions"
        MESSAGE = "message", "messages"
        GUARD = "guard", "guard"
        UPDATE = "update", "update"
        FACTS = "facts", "facts"
        MOMENT = "moment", "time"
        ROLE = "role", "role"
        CLOCK = "clock", "legal clock"
        FOLLOW_UP = "follow_up", "follow-up"
        REVIEW = "review", "review"
        RELATION = "relation", "relation"
        DETECTOR = "detector", "detector"
        PLAYBOOK = "playbook", "playbook"
        CHANGE_SET = "change_set", "change set"
        SEND = "send", "sending"
        DRILL = "drill", "drill"
        EXPORT = "export", "export"
        PIN = "pin", "pin"

    class Source(models.TextChoices):
        UI = "ui", "typed in"
        API = "api", "service"
        ALERT = "alert", "alert"
        EMAIL = "email", "mail"
        DETECTOR = "detector", "detector"
        PLAYBOOK = "playbook", "playbook"
        GUARD = "guard", "guard"
        DRILL = "drill", "drill"
        SYSTEM = "system", "this product"

    personal: ClassVar[tuple[str, ...]] = ("text",)

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="timeline")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    text = models.TextField(validators=[TEXT])
    old = models.CharField(max_length=200, blank=True)
    new = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=20, choices=Source.choices)
    actor = models.CharField(max_length=200)
    supersedes = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    pins = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", help_text="The line that it pins or lets go."
    )
    evidence = models.CharField(max_length=500, blank=True, validators=[LINE], help_text="Where what shows it is kept.")
    evidence_digest = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of what is kept there.")
    skew_ms = models.IntegerField(
        null=True, blank=True, help_text="How far the sender's clock was ahead of ours, when known."
    )
    occurred_at = models.DateTimeField(default=timezone.now)
    recorded_at = models.DateTimeField(default=timezone.now)
    prev_digest = models.BinaryField(
        max_length=32, default=bytes, help_text="The digest of the line before; empty: none."
    )
    digest = models.BinaryField(max_length=32, default=bytes, help_text="SHA-256 of the line and of prev_digest.")

    class Meta:
        verbose_name_plural = "timeline entries"
        ordering = ["occurred_at", "seq"]
        indexes = [models.Index(fields=["incident", "occurred_at", "seq"], name="timelineentry_story")]
        constraints = [
            models.UniqueConstraint(fields=["incident", "seq"], name="timelineentry_numbered_once"),
            models.UniqueConstraint(
                fields=["supersedes"],
                condition=Q(supersedes__isnull=False),
                name="timelineentry_corrected_once",
                violation_error_message="This line was corrected already: correct the newer one.",
            ),
            models.CheckConstraint(
                condition=Q(occurred_at__lte=F("recorded_at") + SKEW),
                name="timelineentry_tells_what_has_happened",
                violation_error_message="A line tells what has happened: its time cannot lie ahead.",
            ),
            models.CheckConstraint(
                condition=Q(evidence_digest=None) | ~Q(evidence=""),
                name="timelineentry_digest_is_of_evidence",
                violation_error_message="Say where the evidence is kept that this digest is of.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.incident_id}.{self.seq} {self.kind}"

    @property
    def evidence_hex(self) -> str:
        return bytes(self.evidence_digest).hex() if self.evidence_digest is not None else ""
