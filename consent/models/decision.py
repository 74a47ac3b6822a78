"""Decisions are the truth and only grow; consent is the state that the database projects from them."""

import uuid
from datetime import timedelta
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from config.history import AppendOnly, DatabaseVersion, WrittenByDatabase
from consent.models.subject import TX, Subject

ANY = "*"  # every purpose, or every channel, also those created later

CLOCK = RawSQL("clock_timestamp()", ())
SESSION_USER = RawSQL("session_user::text", ())


class Channel(models.TextChoices):
    EMAIL = "email", "e-mail"
    SMS = "sms", "text message"
    PHONE = "phone", "telephone"
    POST = "post", "post"
    PUSH = "push", "push notification"
    WEB = "web", "web"


class Choice(models.TextChoices):
    OPT_IN = "opt_in", "opt in"
    OPT_OUT = "opt_out", "opt out"


class Cause(models.TextChoices):
    SUBJECT_CHOICE = "subject_choice", "the person's choice"
    INCIDENT_NOTICE = "incident_notice", "reaction to an alert or notice"
    PRIVACY_REQUEST = "privacy_request", "privacy request"
    AUTOMATED_SCRIPT = "automated_script", "automated script"
    SCANNER_SUSPECTED = "scanner_suspected", "link scanner suspected"
    PREFERENCE_SIGNAL = "preference_signal", "browser signal"
    KEYWORD = "keyword", "STOP keyword"
    COMPLAINT = "complaint", "spam complaint"
    AGENT = "agent", "authorised agent"
    SUPPORT = "support", "support desk"
    IMPORT = "import", "import"
    DEFAULT = "default", "default"
    REPAIR = "repair", "repair"


class Batch(AppendOnly):
    """A unit of non-explicit writes that can be undone as one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=30)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.kind} of {self.created_at:%Y-%m-%d %H:%M}"


class Decision(AppendOnly):
    """One choice or instruction about (subject, purpose, channel).

    Rows enter through `consent.services.record` only; `tx`, `received_at` and `db_user` are the database's own
    and no role may name them. `(tx, id)` is the order in which the log is read.
    """

    id = models.BigAutoField(primary_key=True)
    subject = models.ForeignKey(Subject, models.PROTECT, db_constraint=False, db_index=False, related_name="decisions")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    choice = models.CharField(max_length=10, choices=Choice.choices)
    explicit = models.BooleanField(db_default=False, help_text="The subject, their agent or their signal said so.")
    cause = models.CharField(max_length=30, choices=Cause.choices)
    confidence = models.PositiveSmallIntegerField(db_default=100, help_text="How sure the cause is, in percent.")
    reasons = ArrayField(models.CharField(max_length=50), db_default=[], help_text="Codes of what the cause rests on.")
    exit_path = models.CharField(max_length=50, blank=True, db_default="")
    decided_at = models.DateTimeField(help_text="When the person decided.")
    actor = models.CharField(max_length=200, help_text="Who wrote it down: subject, user:anna, service:shop, system:….")
    notice_version = models.CharField(max_length=100, blank=True, db_default="", help_text="The text the person saw.")
    locale = models.CharField(max_length=35, blank=True, db_default="")
    commitment = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of salt and evidence.")
    idempotency_key = models.CharField(max_length=200, null=True)
    batch = models.ForeignKey(Batch, models.PROTECT, null=True, db_constraint=False, db_index=False)
    reversal = models.ForeignKey(
        "Reversal", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="decisions"
    )
    message_id = models.UUIDField(null=True, help_text="The message whose link was used.")
    restates = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        help_text="The choice that a merge carried over.",
    )
    received_at = models.DateTimeField(db_default=CLOCK)
    tx = models.BigIntegerField(db_default=TX)
    db_user = models.TextField(db_default=SESSION_USER)

    class Meta:
        permissions = [("record_opt_out", "Can record an opt-out that a person asked for")]
        indexes = [
            models.Index(fields=["subject", "purpose", "channel"], name="decision_of_key"),
            models.Index(fields=["tx", "id"], name="decision_log_order"),
            models.Index(fields=["batch"], name="decision_batch", condition=Q(batch__isnull=False)),
            BrinIndex(fields=["received_at"], name="decision_received", autosummarize=True),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_at__gte="2000-01-01T00:00:00Z"),
                name="decision_not_ancient",
                violation_error_message="decided_at lies before the year 2000.",
            ),
            models.CheckConstraint(
                condition=Q(decided_at__lte=F("received_at") + timedelta(minutes=5)),
                name="decision_not_from_the_future",
                violation_error_message="decided_at lies more than five minutes in the future.",
            ),
            models.CheckConstraint(
                condition=Q(choice__in=Choice.values),
                name="decision_choice_is_known",
                violation_error_message="A choice is opt_in or opt_out.",
            ),
            models.CheckConstraint(
                condition=Q(channel__in=[*Channel.values, ANY]),
                name="decision_channel_is_known",
                violation_error_message="Name a known channel, or * for all.",
            ),
            models.CheckConstraint(
                condition=Q(cause__in=Cause.values),
                name="decision_has_a_cause",
                violation_error_message="Say what led to this choice.",
            ),
            models.CheckConstraint(
                condition=~Q(explicit=True, cause__in=[Cause.IMPORT, Cause.DEFAULT]),
                name="decision_import_is_not_explicit",
                violation_error_message="An import or a default is not a person's own choice.",
            ),
            models.CheckConstraint(
                condition=Q(confidence__lte=100),
                name="decision_confidence_is_a_percentage",
                violation_error_message="Confidence is a percentage.",
            ),
            models.UniqueConstraint(
                fields=["idempotency_key"], condition=Q(idempotency_key__isnull=False), name="decision_recorded_once"
            ),
            models.UniqueConstraint(
                fields=["reversal"], condition=Q(reversal__isnull=False), name="decision_uses_a_reversal_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_choice_display()} {self.purpose}/{self.channel} #{self.pk}"


class DecisionVoid(AppendOnly):
    """A non-explicit decision that is declared bad: it stays in the log and no longer counts."""

    decision = models.OneToOneField(Decision, models.PROTECT, primary_key=True, related_name="void")
    reason = models.CharField(max_length=200)
    voided_at = models.DateTimeField(db_default=CLOCK)
    voided_by = models.CharField(max_length=200)
    confirmed_by = models.CharField(max_length=200, blank=True, db_default="", help_text="The second person.")
    tx = models.BigIntegerField(db_default=TX)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_by="") | ~Q(confirmed_by=F("voided_by")),
                name="decisionvoid_confirmed_by_another",
                violation_error_message="A second person confirms it, not whoever asked.",
            )
        ]

    def __str__(self) -> str:
        return f"void of #{self.decision_id}"


class Evidence(models.Model):
    """What shows that a choice was made. It may be erased; the decision keeps a salted commitment to it."""

    personal: ClassVar[tuple[str, ...]] = ("content",)

    decision = models.OneToOneField(Decision, models.PROTECT, primary_key=True, related_name="evidence")
    salt = models.BinaryField(max_length=32)
    content = models.JSONField()

    class Meta:
        verbose_name_plural = "evidence"

    def __str__(self) -> str:
        return f"evidence of #{self.decision_id}"


class ConsentQuerySet(models.QuerySet["Consent"]):
    def opted_out(self) -> Self:
        return self.filter(state=Choice.OPT_OUT)

    def explicitly_opted_out(self) -> Self:
        return self.filter(state=Choice.OPT_OUT, explicit=True)


class HistoryFacts(DatabaseVersion):
    """What the trigger writes beside each version: the transaction, the login and the leaf hash."""

    tx = models.BigIntegerField(db_default=TX)
    db_user = models.TextField(db_default=SESSION_USER)
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        abstract = True


class Consent(models.Model):
    """The state of one (subject, purpose, channel) now. Only the projection trigger writes it.

    `state` is empty where every decision about the key was voided: nobody has decided.
    """

    personal: ClassVar[tuple[str, ...]] = ()

    subject = models.ForeignKey(Subject, models.PROTECT, db_constraint=False, db_index=False, related_name="consents")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    state = models.CharField(max_length=10, choices=Choice.choices, null=True)
    explicit = models.BooleanField(db_default=False)
    cause = models.CharField(max_length=30, choices=Cause.choices, blank=True, db_default="")
    actor = models.CharField(max_length=200, blank=True, db_default="")
    decided_at = models.DateTimeField(null=True)
    decision = models.ForeignKey(
        Decision, models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    version = models.PositiveIntegerField()
    previous = models.CharField(
        max_length=10, choices=Choice.choices, null=True, help_text="The state before this version."
    )
    changed_at = models.DateTimeField(db_default=CLOCK)

    history = WrittenByDatabase(
        bases=[HistoryFacts],
        history_id_field=models.BigAutoField(),
        history_user_id_field=models.TextField(null=True),
        history_user_getter=lambda row: row.history_user_id,
        history_user_setter=lambda row, user: None,
        history_change_reason_field=models.TextField(null=True),
        no_db_index=["id", "subject", "decision"],
        indexes=[models.Index(fields=["tx", "history_id"], name="historicalconsent_log_order")],
    )
    objects = ConsentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject", "purpose", "channel"], name="consent_one_row_per_key")
        ]

    def __str__(self) -> str:
        return f"{self.purpose}/{self.channel} of {str(self.subject_id)[:8]}…"

    @property
    def is_explicitly_opted_out(self) -> bool:
        return self.explicit and self.state == Choice.OPT_OUT


class Reversal(AppendOnly):
    """The first step back in after an explicit opt-out. Nothing changes until it is confirmed, later."""

    class Kind(models.TextChoices):
        SUBJECT = "subject", "the person, in two steps"
        STAFF = "staff", "two of the staff, with evidence"

    personal: ClassVar[tuple[str, ...]] = ("evidence",)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="reversals")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    reason = models.CharField(max_length=200, blank=True)
    evidence = models.CharField(max_length=500, blank=True, help_text="Where the proof of the person's wish is kept.")
    requested_by = models.CharField(max_length=200)
    requested_at = models.DateTimeField(db_default=CLOCK)
    tx = models.BigIntegerField(db_default=TX)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind="staff") | (~Q(evidence="") & ~Q(reason="")),
                name="reversal_by_staff_has_evidence",
                violation_error_message="Say why, and where the proof of the person's wish is kept.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose}/{self.channel} for {str(self.subject_id)[:8]}…"


class ReversalConfirmation(AppendOnly):
    """The second step: by the person again, or by a second member of staff."""

    reversal = models.OneToOneField(Reversal, models.PROTECT, primary_key=True, related_name="confirmation")
    confirmed_by = models.CharField(max_length=200)
    confirmed_at = models.DateTimeField(db_default=CLOCK)
    tx = models.BigIntegerField(db_default=TX)

    def __str__(self) -> str:
        return f"confirmation of {self.reversal_id}"


class GuardChange(AppendOnly):
    """How strict the database is with non-explicit opt-ins; the newest row rules. Opt-outs pass at every level."""

    class Level(models.TextChoices):
        OBSERVE = "observe", "observe: recorded; explicit choices stand anyway"
        PROTECT = "protect", "protect: refused where it meets an explicit opt-out, or comes without a batch"
        FREEZE = "freeze", "freeze: no non-explicit opt-in at all"

    level = models.CharField(max_length=10, choices=Level.choices)
    reason = models.CharField(max_length=200)
    changed_by = models.CharField(max_length=200)
    changed_at = models.DateTimeField(db_default=CLOCK)

    class Meta:
        permissions = [("set_guard", "Can set the guard")]
        constraints = [
            models.CheckConstraint(
                condition=Q(level__in=["observe", "protect", "freeze"]) & ~Q(reason=""),
                name="guardchange_level_is_known_and_has_a_reason",
                violation_error_message="Choose observe, protect or freeze, and say why.",
            )
        ]

    def __str__(self) -> str:
        return self.level


class FeedCursor(models.Model):
    """How far a reader of the log has come: the (tx, id) of the last decision it has dealt with."""

    personal: ClassVar[tuple[str, ...]] = ()

    reader = models.CharField(primary_key=True, max_length=50)
    tx = models.BigIntegerField(default=0)
    decision = models.BigIntegerField(default=0)
    advanced_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.reader
