"""What an incident is made of beside its own row: the times that were set, who has which part, and what is related."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import AppendOnly
from config.models import User
from incidents.models.incident import LINE, Incident


class IncidentMoment(AppendOnly):
    """When something about an incident happened, as somebody set it. The newest of a kind counts, and stands in the
    incident's own column; the others are how we came to think so."""

    class Kind(models.TextChoices):
        OCCURRED_FROM = "occurred_from", "began"
        OCCURRED_TO = "occurred_to", "ended"
        DETECTED = "detected_at", "noticed"
        DECLARED = "declared_at", "declared"
        ACKNOWLEDGED = "acknowledged_at", "acknowledged"
        CONTAINED = "contained_at", "contained"
        RECOVERED = "recovered_at", "recovered"
        CLOSED = "closed_at", "closed"

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="moments")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    moment = models.DateTimeField(null=True, help_text="Empty: taken back.")
    is_estimate = models.BooleanField(default=False)
    recorded_at = models.DateTimeField(default=timezone.now)
    recorded_by = models.CharField(max_length=200)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["incident", "kind", "-id"], name="incidentmoment_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}{' (estimate)' if self.is_estimate else ''}"


class IncidentRole(models.Model):
    """Who has which part in an incident, since when and until when."""

    class Role(models.TextChoices):
        COMMANDER = "commander", "commander"
        SCRIBE = "scribe", "scribe"
        LIAISON = "liaison", "liaison"
        LEGAL = "legal", "legal"
        OBSERVER = "observer", "observer: may see it"

    personal: ClassVar[tuple[str, ...]] = ()  # colleagues are named by their account, as `commander` is

    incident = models.ForeignKey(Incident, models.PROTECT, related_name="roles")
    person = models.ForeignKey(User, models.PROTECT, related_name="+")
    role = models.CharField(max_length=20, choices=Role.choices)
    assumed_at = models.DateTimeField(default=timezone.now)
    assumed_by = models.CharField(max_length=200, help_text="Who gave it.")
    renounced_at = models.DateTimeField(null=True, blank=True)
    renounced_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident"],
                condition=Q(role="commander", renounced_at=None),
                name="incidentrole_one_commander",
                violation_error_message="Somebody else leads already.",
            ),
            models.UniqueConstraint(
                fields=["incident", "person", "role"],
                condition=Q(renounced_at=None),
                name="incidentrole_held_once",
                violation_error_message="They have this part already.",
            ),
            models.CheckConstraint(
                condition=Q(renounced_at=None, renounced_by="") | (Q(renounced_at__isnull=False) & ~Q(renounced_by="")),
                name="incidentrole_renounced_at_with_renounced_by",
                violation_error_message="A part that was laid down says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(renounced_at=None) | Q(renounced_at__gte=F("assumed_at")),
                name="incidentrole_renounced_after_it_was_assumed",
                violation_error_message="A part is laid down after it was taken.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} ({self.role})"


class IncidentRelation(AppendOnly):
    """Two incidents that belong together, the older one first."""

    first = models.ForeignKey(Incident, models.PROTECT, related_name="+")
    second = models.ForeignKey(Incident, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200, validators=[LINE])
    related_at = models.DateTimeField(default=timezone.now)
    related_by = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["first", "second"],
                name="incidentrelation_once",
                violation_error_message="The two are related already.",
            ),
            models.CheckConstraint(
                condition=Q(first__lt=F("second")),
                name="incidentrelation_older_first",
                violation_error_message="An incident is not related to itself; the older one stands first.",
            ),
        ]
        indexes = [models.Index(fields=["second"], name="incidentrelation_of_second")]

    def __str__(self) -> str:
        return f"{self.first_id} ~ {self.second_id}"
