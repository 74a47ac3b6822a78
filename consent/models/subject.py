"""A person is a random number here; how to reach them is a separate row that can be erased."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from config.history import AppendOnly

TX = RawSQL("(pg_current_xact_id()::text)::bigint", ())  # the top-level transaction, also inside savepoints


class Subject(models.Model):
    """A person. The row is kept for good; after a merge it points at the subject that speaks for both."""

    personal: ClassVar[tuple[str, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    merged_into = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="merged", editable=False
    )
    locale = models.CharField(max_length=35, blank=True, help_text="Language of messages, as last told by the person.")
    is_canary = models.BooleanField(
        db_default=False, editable=False, help_text="Nobody real: made to try a way out, and counted nowhere."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="subject_erased", condition=Q(erased_at__isnull=False)),
            models.Index(fields=["erased_at"], name="subject_erased_lately", condition=Q(erased_at__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(merged_into=models.F("id")),
                name="subject_not_merged_into_itself",
                violation_error_message="A subject cannot be merged into itself.",
            )
        ]

    def __str__(self) -> str:
        return f"Person {str(self.pk)[:8]}…"


class Identifier(models.Model):
    """One way to know a subject, found by the keyed hash of its canonical form.

    Erasure empties `sealed` and keeps `digest`: that is the suppression entry, so that a re-import of the same
    address finds the same subject, and the opt-out that stands.
    """

    class Kind(models.TextChoices):
        EMAIL = "email", "e-mail address"
        PHONE = "phone", "telephone number"
        USER_ID = "user_id", "user id"

    personal: ClassVar[tuple[str, ...]] = ("sealed",)

    subject = models.ForeignKey(Subject, models.PROTECT, related_name="identifiers")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    digest = models.BinaryField(max_length=32, help_text="HMAC-SHA-256 of kind and canonical value.")
    sealed = models.BinaryField(null=True, help_text="The canonical value, encrypted; empty once erased.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "digest"], name="identifier_names_one_subject")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.subject_id}"


class SubjectMerge(AppendOnly):
    """Two subjects turned out to be one person: who said so, and why. The opt-outs of both stand."""

    merged = models.ForeignKey(Subject, models.PROTECT, related_name="+")
    into = models.ForeignKey(Subject, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    merged_at = models.DateTimeField(default=timezone.now)
    merged_by = models.CharField(max_length=200, help_text="An actor, e.g. user:anna or service:shop.")
    tx = models.BigIntegerField(db_default=TX, editable=False)

    class Meta:
        indexes = [models.Index(fields=["tx", "id"], name="subjectmerge_log_order")]

    def __str__(self) -> str:
        return f"{self.merged_id} → {self.into_id}"


class Reveal(AppendOnly):
    """Somebody of the staff looked at an identifier that is masked elsewhere: who, whose, when and why."""

    identifier = models.ForeignKey(Identifier, models.PROTECT, related_name="reveals")
    reason = models.CharField(max_length=200)
    revealed_at = models.DateTimeField(default=timezone.now)
    revealed_by = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="reveal_has_a_reason",
                violation_error_message="Say what you need the identifier for.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.identifier_id} by {self.revealed_by}"
