"""Addresses that are not written to, for the sake of the mail and not of a choice."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from config.history import TrackedModel


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def in_force(self) -> Self:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


class Suppression(TrackedModel):
    """An address that cannot or must not be written to, whatever its person chose: a hard bounce, a complaint.

    Lifted by its own end; staff bring that end forward, with a reason that its history keeps.
    """

    class Reason(models.TextChoices):
        NO_MAILBOX = "no such mailbox", "no such mailbox"
        NO_DOMAIN = "no such domain", "no such domain"
        DISABLED = "mailbox disabled", "mailbox disabled"
        COMPLAINT = "spam complaint", "spam complaint"

    personal: ClassVar[tuple[str, ...]] = ()

    digest = models.BinaryField(max_length=32, unique=True, editable=False, help_text="Blind index of the address.")
    reason = models.CharField(max_length=30, choices=Reason.choices)
    detail = models.CharField(max_length=100, blank=True, help_text="The status that was reported.")
    message_id = models.UUIDField(null=True, blank=True, help_text="The message that led to it.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = SuppressionQuerySet.as_manager()

    def __str__(self) -> str:
        return self.reason

    def holds(self) -> bool:
        return self.expires_at is None or self.expires_at > timezone.now()
