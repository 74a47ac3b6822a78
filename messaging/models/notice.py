"""A notice: one text that goes to many people, counted first, approved by another person, and sent in batches."""

from datetime import timedelta
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from config.history import AppendOnly
from messaging import belonging
from messaging.models.message import Message
from messaging.models.template import Template, TemplateVersion

FASTEST = 6000  # a minute


def pair(what: str, words: str) -> models.CheckConstraint:
    """A moment comes with its person."""
    at, by = f"{what}_at", f"{what}_by"
    return models.CheckConstraint(
        condition=Q(**{at: None, by: ""}) | Q(**{f"{at}__isnull": False}) & ~Q(**{by: ""}),
        name=f"notice_{at}_with_{by}",
        violation_error_message=f"A notice that was {words} says when and by whom.",
    )


class NoticeQuerySet(models.QuerySet["Notice"]):
    def lean(self) -> Self:
        """Without the list that somebody uploaded: up to 100,000 ids."""
        return self.defer("listed")

    def visible_to(self, viewer: Any) -> Self:
        """Who may not see an incident does not see what is sent about it: its recipients are that incident's people."""
        return self.filter(belonging.visible_to(viewer))


class Notice(models.Model):
    """What is to be said to whom. Whatever changes its text, its facts or its cohort makes it a draft again.

    `fingerprint` covers the cohort, the text and the facts; an approval is of that and of nothing else.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        COUNTED = "counted", "counted"
        APPROVED = "approved", "approved"
        SENDING = "sending", "being sent"
        PAUSED = "paused", "paused"
        DONE = "done", "done"
        CANCELLED = "cancelled", "cancelled"

    class Kind(models.TextChoices):
        INCIDENT = "incident", "people tied to an incident"
        QUERY = "query", "people by what they chose"
        LIST = "list", "a list of people"

    OPEN: ClassVar[list[str]] = [State.DRAFT, State.COUNTED, State.APPROVED]
    personal: ClassVar[tuple[str, ...]] = ()

    ref = models.CharField(max_length=20, unique=True, editable=False)
    title = models.CharField(max_length=200, help_text="For the staff; people do not see it.")
    template = models.ForeignKey(Template, models.PROTECT, related_name="notices")
    version = models.ForeignKey(
        TemplateVersion,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="notices",
        help_text="The text, fixed at counting.",
    )
    context = models.JSONField(default=dict, blank=True, help_text="What the text names.")
    purpose = models.CharField(max_length=50, blank=True)
    incident_id = models.BigIntegerField(null=True, blank=True, help_text="The incident that it is about.")
    reason = models.CharField(max_length=500, help_text="Why these people must be told.")
    cohort_kind = models.CharField(max_length=10, choices=Kind.choices)
    cohort = models.JSONField(default=dict, blank=True, help_text="Filters of a query; what was found in a list.")
    listed = ArrayField(models.UUIDField(), default=list, blank=True, help_text="The people of a list.")
    rate = models.PositiveIntegerField(
        "a minute at most", default=600, validators=[MinValueValidator(1), MaxValueValidator(FASTEST)]
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)

    to_write = models.PositiveIntegerField(default=0, help_text="People that it goes to.")
    left_out = models.PositiveIntegerField(default=0, help_text="People of the cohort that it does not go to.")
    cohort_digest = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of the sorted ids it goes to.")
    fingerprint = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of cohort, text and facts.")
    approved_fingerprint = models.BinaryField(max_length=32, null=True)

    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=200)
    edited_at = models.DateTimeField(null=True, editable=False)
    edited_by = models.CharField(max_length=200, blank=True)
    counted_at = models.DateTimeField(null=True, editable=False)
    counted_by = models.CharField(max_length=200, blank=True)
    approved_at = models.DateTimeField(null=True, editable=False)
    approved_by = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True, editable=False)
    started_by = models.CharField(max_length=200, blank=True)
    cancelled_at = models.DateTimeField(null=True, editable=False)
    cancelled_by = models.CharField(max_length=200, blank=True)
    done_at = models.DateTimeField(
        null=True, editable=False, help_text="Everybody was written to, or visibly could not be."
    )

    objects = NoticeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["state"], name="notice_at_work", condition=Q(state__in=["sending", "paused"])),
            models.Index(fields=["incident_id"], name="notice_of_incident", condition=Q(incident_id__isnull=False)),
        ]
        permissions = [
            ("approve_notice", "Can approve a notice that a colleague wrote"),
            ("send_notice", "Can send, resume and cancel a notice"),
            ("pause_notice", "Can pause a notice"),
        ]
        constraints = [
            pair("edited", "changed"),
            pair("counted", "counted"),
            pair("approved", "approved"),
            pair("started", "sent"),
            pair("cancelled", "cancelled"),
            models.CheckConstraint(
                condition=Q(approved_by="")
                | ~Q(approved_by=F("created_by")) & ~Q(approved_by=F("edited_by")) & ~Q(approved_by=F("counted_by")),
                name="notice_approved_by_another",
                violation_error_message="You wrote, changed or counted this notice: ask a colleague to approve it.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "sending", "paused", "done"])
                | Q(approved_at__isnull=False, version__isnull=False)
                & Q(approved_fingerprint__isnull=False, fingerprint__isnull=False)
                & Q(approved_fingerprint=F("fingerprint")),
                name="notice_sent_as_approved",
                violation_error_message="A notice is sent as it was approved, and not before.",
            ),
            models.CheckConstraint(
                condition=~Q(state="counted")
                | Q(counted_at__isnull=False, cohort_digest__isnull=False, fingerprint__isnull=False),
                name="notice_counted_has_a_fingerprint",
                violation_error_message="A counted notice says when, by whom, and what was counted.",
            ),
            models.CheckConstraint(
                condition=Q(rate__gte=1, rate__lte=FASTEST),
                name="notice_rate_is_bounded",
                violation_error_message=f"Send between 1 and {FASTEST} a minute.",
            ),
            models.CheckConstraint(
                condition=~Q(title="") & ~Q(reason=""),
                name="notice_has_a_title_and_a_reason",
                violation_error_message="Give the notice a title, and say why these people must be told.",
            ),
            models.CheckConstraint(
                condition=~Q(cohort_kind="incident") | Q(incident_id__isnull=False),
                name="notice_of_an_incident_names_it",
                violation_error_message="Name the incident whose people are to be told.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"


class Outcome(models.TextChoices):
    """What became of one person of a cohort. Each is in exactly one of these, so that they add up."""

    LEFT_OUT = "left_out", "left out"
    NOT_YET_OWED = "not_yet_owed", "not yet owed"
    WAITING = "waiting", "on its way"
    HELD = "held", "held"
    IN_DOUBT = "in_doubt", "in doubt"
    SENT = "sent", "sent, nothing heard"
    DELIVERED = "delivered", "delivered"
    BOUNCED = "bounced", "bounced"
    FAILED = "failed", "failed"
    SUPPRESSED = "suppressed", "suppressed at sending"
    WITHDRAWN = "withdrawn", "withdrawn"
    UNKNOWN = "unknown", "closed as unknown"


BY_STATE: dict[str, list[str]] = {
    Outcome.WAITING: [*Message.WAITING, Message.State.SENDING],
    Outcome.HELD: [Message.State.HELD],
    Outcome.IN_DOUBT: [Message.State.IN_DOUBT],
    Outcome.SENT: [Message.State.ACCEPTED],
    Outcome.SUPPRESSED: [Message.State.SUPPRESSED],
    Outcome.WITHDRAWN: [Message.State.CANCELLED],
    Outcome.UNKNOWN: [Message.State.CLOSED_UNKNOWN],
}  # the rest failed
OUTCOME = Case(
    When(~Q(excluded=""), then=Value(Outcome.LEFT_OUT)),
    When(message=None, then=Value(Outcome.NOT_YET_OWED)),
    When(message__delivery="delivered", then=Value(Outcome.DELIVERED)),
    When(message__delivery__in=["bounced_soft", "bounced_hard"], then=Value(Outcome.BOUNCED)),
    *(When(message__state__in=states, then=Value(outcome)) for outcome, states in BY_STATE.items()),
    default=Value(Outcome.FAILED),
    output_field=models.CharField(),
)


class NoticeRecipientQuerySet(models.QuerySet["NoticeRecipient"]):
    def with_outcome(self) -> models.QuerySet[Any]:
        """Each with `outcome`, a value of Outcome."""
        return self.annotate(outcome=OUTCOME)

    def to_be_owed(self) -> Self:
        return self.filter(excluded="", message=None)

    def owed_within(self, span: timedelta) -> Self:
        """By the database's clock."""
        return self.filter(owed_at__gt=Now() - span)


class NoticeRecipient(models.Model):
    """A person of the cohort, as it was counted. From the approval on only what is owed to them may be added."""

    class Excluded(models.TextChoices):
        ERASED = "erased", "was erased"
        NO_ADDRESS = "no_address", "no e-mail address is known"
        SUPPRESSED = "suppressed", "the address is suppressed"
        OPTED_OUT = "opted_out", "opted out"
        NO_CONSENT = "no_consent", "never agreed, and this purpose needs that"
        MERGED = "merged", "turned out to be another of the recipients"

    personal: ClassVar[tuple[str, ...]] = ()

    notice = models.ForeignKey(Notice, models.PROTECT, related_name="recipients", db_index=False)
    subject_id = models.UUIDField(help_text="The person; after a merge the one who spoke for both at counting.")
    excluded = models.CharField(max_length=20, choices=Excluded.choices, blank=True)
    message = models.OneToOneField(Message, models.PROTECT, null=True, related_name="recipient_of_notice")
    owed_at = models.DateTimeField(null=True)

    objects = NoticeRecipientQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["notice", "id"], name="noticerecipient_to_owe", condition=Q(message=None, excluded="")
            ),
            models.Index(fields=["notice", "owed_at"], name="noticerecipient_owed", condition=Q(owed_at__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["notice", "subject_id"], name="noticerecipient_once"),
            models.CheckConstraint(
                condition=Q(message=None, owed_at=None) | Q(message__isnull=False, owed_at__isnull=False, excluded=""),
                name="noticerecipient_owed_with_its_message",
                violation_error_message="Whoever is left out is owed nothing; what is owed is a message.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject_id} of {self.notice_id}"


class NoticeEvent(AppendOnly):
    """What was done with a notice: who, when, why, and the numbers of that moment."""

    class Kind(models.TextChoices):
        WRITTEN = "written", "written"
        EDITED = "edited", "changed; it is a draft again"
        COUNTED = "counted", "counted"
        APPROVED = "approved", "approved"
        STARTED = "started", "sending begun"
        PAUSED = "paused", "paused"
        RESUMED = "resumed", "resumed"
        RATE = "rate", "rate changed"
        CANCELLED = "cancelled", "cancelled"
        DONE = "done", "done"
        DOWNLOADED = "downloaded", "proof report downloaded"

    notice = models.ForeignKey(Notice, models.PROTECT, related_name="events")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    reason = models.CharField(max_length=500, blank=True)
    facts = models.JSONField(default=dict)
    recorded_at = models.DateTimeField(default=timezone.now)
    recorded_by = models.CharField(max_length=200)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.notice_id}: {self.kind}"
