"""Who uses the product: people with a time zone of their own, and services with keys that are shown once."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import TrackedModel


class User(AbstractUser):
    """A person at a desk, or the account behind a service's keys (no password, no login)."""

    personal: ClassVar[tuple[str, ...]] = ("username", "first_name", "last_name", "email")

    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="Times are shown in this zone, e.g. Europe/Berlin."
    )
    is_service = models.BooleanField(default=False, help_text="An account of a program: it cannot log in.")

    @property
    def actor(self) -> str:
        """How records name who did something; the text outlives the account."""
        return f"{'service' if self.is_service else 'user'}:{self.username}"


class Scope(models.TextChoices):
    """What a service may do; `Meta` of a view names the one it needs."""

    DECISIONS_WRITE = "decisions:write", "record choices"
    DECISIONS_READ = "decisions:read", "follow choices"
    CHECK = "check", "ask whether somebody may be contacted"
    SUBJECTS_READ = "subjects:read", "read a person's history"
    REQUESTS_WRITE = "requests:write", "log privacy requests"
    REQUESTS_READ = "requests:read", "read privacy requests"
    MESSAGES_READ = "messages:read", "read the state of messages"
    CONTACTS_WRITE = "contacts:write", "report contacts that it made itself"
    CONTACTS_READ = "contacts:read", "read what services reported"
    PURPOSES_WRITE = "purposes:write", "register purposes"
    INCIDENTS_WRITE = "incidents:write", "declare incidents and add to their timeline"
    INCIDENTS_READ = "incidents:read", "read incidents and telemetry"
    ENDPOINTS_WRITE = "endpoints:write", "say where changes are sent, and have them sent again"
    ENDPOINTS_READ = "endpoints:read", "read where changes are sent, and how far behind each service is"
    CHANGES_WRITE = "changes:write", "write change sets, apply them once people approved, and take them back"
    CHANGES_READ = "changes:read", "read change sets, their plans and what became of them"
    INCIDENTS_RESTRICTED = "incidents:restricted", "also those that are restricted"


class ServiceKeyQuerySet(models.QuerySet["ServiceKey"]):
    def usable(self, now: datetime) -> Self:
        return self.filter(revoked_at=None, expires_at__gt=now, account__is_active=True)

    def ending_soon(self) -> Self:
        now = timezone.now()
        return self.usable(now).filter(expires_at__lt=now + timedelta(days=14))


class ServiceKey(TrackedModel):
    """A bearer key `hf_<12 hex>_<43>`: only its SHA-256 is kept. Rotate by issuing a second and revoking the first."""

    PREFIX: ClassVar[str] = "hf"
    LONGEST: ClassVar[timedelta] = timedelta(days=365)

    account = models.ForeignKey(
        User, models.PROTECT, related_name="service_keys", limit_choices_to={"is_service": True}
    )
    label = models.CharField(
        max_length=100, help_text="Where the key is used, so that it can be found when it expires."
    )
    lookup = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+", editable=False)

    objects = ServiceKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at__lte=F("created_at") + timedelta(days=366)),
                name="servicekey_expires_within_a_year",
                violation_error_message="A key lives at most 365 days. Issue the next one before this one ends.",
            ),
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by=None) | Q(revoked_at__isnull=False, revoked_by__isnull=False),
                name="servicekey_revoked_at_with_revoked_by",
                violation_error_message="A revoked key names who revoked it.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.PREFIX}_{self.lookup}_…)"

    @classmethod
    def issue(
        cls, account: User, *, label: str, scopes: list[str], days: int = 90, by: User
    ) -> tuple["ServiceKey", str]:
        """A new key and its text, which is shown once and never again. Raises ValidationError on an unknown scope."""
        if unknown := set(scopes) - set(Scope.values):
            raise ValidationError(f"Unknown scope {', '.join(sorted(unknown))}. Known: {', '.join(Scope.values)}.")
        lookup, random_part = secrets.token_hex(6), secrets.token_urlsafe(32)
        text = f"{cls.PREFIX}_{lookup}_{random_part}"
        now = timezone.now()
        key = cls(
            account=account,
            label=label,
            lookup=lookup,
            digest=cls.digest_of(text),
            scopes=sorted(scopes),
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
        key.full_clean()
        key.save_as(by, f"Issued for {label}")
        return key, text

    def revoke(self, *, by: User, reason: str) -> None:
        """Refuse the key from now on. A second call changes nothing."""
        if self.revoked_at is None:
            self.revoked_at, self.revoked_by = timezone.now(), by
            self.save_as(by.actor, reason)

    @staticmethod
    def digest_of(text: str) -> bytes:
        """SHA-256 is enough for 256 random bits: there is nothing to guess."""
        return hashlib.sha256(text.encode()).digest()


class IdempotencyRecord(models.Model):
    """The answer that an Idempotency-Key got, so that a repeated request gets it again. Dropped after a day."""

    personal: ClassVar[tuple[str, ...]] = ("body",)

    account = models.ForeignKey(User, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.BinaryField(max_length=32, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first request runs.")
    body = models.BinaryField(null=True, help_text="The answer's bytes, to be sent again as they were.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="idempotencyrecord_one_per_key")]

    def __str__(self) -> str:
        return self.key


class RefusedCallQuerySet(models.QuerySet["RefusedCall"]):
    def of_last_hour(self) -> list[tuple[str, int]]:
        """Each reason with how many calls it refused in the last 60 minutes."""
        recent = self.filter(minute__gte=timezone.now() - timedelta(hours=1))
        return list(recent.order_by("reason").values_list("reason").annotate(models.Sum("count")))


class RefusedCall(models.Model):
    """How many calls of the API were refused in a minute (UTC), why, and whose where that was proven."""

    personal: ClassVar[tuple[str, ...]] = ()

    minute = models.DateTimeField()
    reason = models.CharField(max_length=50)
    caller = models.CharField(max_length=200, blank=True, help_text="An actor; empty where the key was not valid.")
    count = models.PositiveIntegerField(default=0)

    objects = RefusedCallQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "reason", "caller"], name="refusedcall_one_row")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.reason} {self.count}"
