"""A hold keeps messages back before anybody claims them: all of a lane, a class, a text, or one transport."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Expression, Q
from django.utils import timezone


class SendHoldQuerySet(models.QuerySet["SendHold"]):
    def active(self, now: datetime | Expression) -> Self:
        return self.filter(Q(until=None) | Q(until__gt=now), released_at=None)


class SendHold(models.Model):
    """From when, why and until when. What it keeps back stays as it is, and goes on by itself once nothing holds it:
    several may hold the same, each for a reason of their own."""

    class Scope(models.TextChoices):
        LANE = "lane", "a lane"
        MESSAGE_CLASS = "message_class", "a class of messages"
        TEMPLATE = "template", "a text"
        TRANSPORT = "transport", "a transport"

    personal: ClassVar[tuple[str, ...]] = ()

    scope = models.CharField(max_length=20, choices=Scope.choices)
    value = models.CharField(max_length=50, help_text="E.g. bulk, incident_notice, opt_out_confirmation, relay.")
    reason = models.CharField(max_length=200)
    held_at = models.DateTimeField(default=timezone.now)
    held_by = models.CharField(max_length=200)
    until = models.DateTimeField(null=True, blank=True, help_text="Empty: until somebody lets go.")
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=200, blank=True)
    released_reason = models.CharField(max_length=200, blank=True)

    objects = SendHoldQuerySet.as_manager()

    class Meta:
        verbose_name = "hold"
        ordering = ["-held_at", "-pk"]
        permissions = [("hold_sending", "Can hold sending and let it go")]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "value", "held_by"],
                condition=Q(released_at=None),
                name="sendhold_one_of_each_holder",
                violation_error_message="You hold this already. Let go of it first, or leave it.",
            ),
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="sendhold_has_a_reason",
                violation_error_message="Say why sending is held.",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None, released_by="") | (Q(released_at__isnull=False) & ~Q(released_by="")),
                name="sendhold_released_at_with_released_by",
                violation_error_message="A hold that was let go says when and by whom.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()}: {self.value}"

    @property
    def about(self) -> Q:
        """The messages that it keeps back; those of a transport are kept from it, and may leave by another."""
        field = {"lane": "lane", "message_class": "message_class", "template": "template_key"}.get(self.scope)
        return Q(**{field: self.value}) if field else Q(pk__isnull=True)
