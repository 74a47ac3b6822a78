"""What messages say: a template has versions, a version has a body per locale, and a published one never changes."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from config.history import TrackedModel


class MessageClass(models.TextChoices):
    """What kind of promise a message is; decides queue, consent check and what happens in doubt."""

    CONFIRMATION = "confirmation", "confirmation"
    CONSENT_UPDATE = "consent_update", "consent update"
    PRIVACY_NOTICE = "privacy_notice", "privacy notice"
    INCIDENT_NOTICE = "incident_notice", "incident notice"
    OPERATIONAL = "operational", "operational"


class Template(TrackedModel):
    """A message the product knows how to write, by its key."""

    key = models.CharField(primary_key=True, max_length=50)
    title = models.CharField(max_length=100)
    message_class = models.CharField(max_length=20, choices=MessageClass.choices)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.title


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def published(self, key: str) -> Self:
        """Newest first: the first is used, the next where the first one cannot be rendered."""
        return self.filter(template=key, state=TemplateVersion.State.PUBLISHED).order_by("-number")


class TemplateVersion(models.Model):
    """One state of a template's text. Once published, the database refuses every change but its retirement."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        CHECKED = "checked", "checked"
        APPROVED = "approved", "approved"
        PUBLISHED = "published", "published"
        RETIRED = "retired", "retired"

    personal: ClassVar[tuple[str, ...]] = ()

    template = models.ForeignKey(Template, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    context_schema = models.JSONField(default=dict, help_text="JSON Schema of what the text may name.")
    samples = models.JSONField(default=list, help_text="Contexts that every locale must render with before publishing.")
    content_hash = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of all bodies, set at publishing.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField("author", max_length=200, help_text="Who wrote on it last.")
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)
    published_reason = models.CharField(max_length=500, blank=True)
    retired_at = models.DateTimeField(null=True)
    retired_by = models.CharField(max_length=200, blank=True)
    retired_reason = models.CharField(max_length=500, blank=True)

    objects = TemplateVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="templateversion_numbered_once"),
            models.CheckConstraint(
                condition=Q(published_at=None, published_by="") | (Q(published_at__isnull=False) & ~Q(published_by="")),
                name="templateversion_published_at_with_published_by",
                violation_error_message="A published version says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(retired_at=None, retired_by="") | (Q(retired_at__isnull=False) & ~Q(retired_by="")),
                name="templateversion_retired_at_with_retired_by",
                violation_error_message="A retired version says when and by whom.",
            ),
            models.CheckConstraint(
                condition=~Q(published_by=F("created_by")) | ~Q(created_by__startswith="user:"),
                name="templateversion_published_by_another",
                violation_error_message="Somebody other than its author publishes a version.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.template_id} v{self.number}"


class TemplateBody(models.Model):
    """A version in one language. HTML is optional; plain text is not."""

    personal: ClassVar[tuple[str, ...]] = ()

    version = models.ForeignKey(TemplateVersion, models.PROTECT, related_name="bodies")
    locale = models.CharField(max_length=35)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    html = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "template bodies"
        constraints = [models.UniqueConstraint(fields=["version", "locale"], name="templatebody_one_per_locale")]

    def __str__(self) -> str:
        return f"{self.version} {self.locale}"


class TemplateFault(models.Model):
    """A published version failed in a language, and an older one was sent, or nothing. Shown until it is mended."""

    personal: ClassVar[tuple[str, ...]] = ()

    version = models.ForeignKey(TemplateVersion, models.PROTECT, related_name="faults")
    locale = models.CharField(max_length=35)
    error = models.CharField(max_length=500)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "locale"], name="templatefault_one_per_locale")]

    def __str__(self) -> str:
        return f"{self.version} {self.locale}: {self.error}"
