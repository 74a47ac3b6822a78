"""What services say that they sent themselves, so that a contact after an opt-out is found wherever it was made."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from config.history import AppendOnly
from consent.models import Channel, Identifier
from consent.models.decision import CLOCK, TX


class Contact(AppendOnly):
    """A service contacted somebody. The address is kept as its blind index: it finds the person, also one who becomes
    known later, and names nobody. `(tx, id)` is the order in which contacts are read.
    """

    personal: ClassVar[tuple[str, ...]] = ("reference",)

    service = models.CharField(max_length=200, help_text="Who reported it: service:shop.")
    subject_id = models.UUIDField(null=True, help_text="Empty where nobody was known by that address.")
    kind = models.CharField(max_length=10, choices=Identifier.Kind.choices, blank=True)
    digest = models.BinaryField(max_length=32, null=True, help_text="The blind index of the address.")
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    contacted_at = models.DateTimeField()
    reference = models.CharField(max_length=200, blank=True, help_text="The service's own name for it.")
    fingerprint = models.BinaryField(max_length=32, unique=True, help_text="Reported twice, it is one.")
    received_at = models.DateTimeField(db_default=CLOCK)
    tx = models.BigIntegerField(db_default=TX)

    class Meta:
        indexes = [
            models.Index(fields=["tx", "id"], name="contact_log_order"),
            models.Index(fields=["subject_id"], name="contact_of_person", condition=Q(subject_id__isnull=False)),
            models.Index(fields=["digest"], name="contact_of_address", condition=Q(digest__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(subject_id__isnull=False) | Q(digest__isnull=False),
                name="contact_was_with_somebody",
                violation_error_message="Name whom you contacted: email, phone, user_id or id.",
            ),
            models.CheckConstraint(
                condition=Q(kind="", digest=None) | ~Q(kind="") & Q(digest__isnull=False),
                name="contact_address_has_its_kind",
                violation_error_message="A blind index says of what kind of address it is.",
            ),
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values),
                name="contact_channel_is_known",
                violation_error_message="Name a known channel.",
            ),
            models.CheckConstraint(
                condition=Q(contacted_at__gte="2000-01-01T00:00:00Z")
                & Q(contacted_at__lte=F("received_at") + timedelta(minutes=5)),
                name="contact_was_made_already",
                violation_error_message="contacted_at lies in the future, or before the year 2000.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} about {self.purpose}/{self.channel} #{self.pk}"
