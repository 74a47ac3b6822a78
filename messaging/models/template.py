"""What messages say: a template has versions, a version has a body per locale, and a published one never changes."""

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
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


# Where the HTML of every version fails, the plain text alone goes out: it says the same, and each of these is awaited.
TEXT_WILL_DO = frozenset({MessageClass.CONFIRMATION, MessageClass.PRIVACY_NOTICE, MessageClass.INCIDENT_NOTICE})
# Mail that somebody could want to end. What the law or the person's own request asks for is not.
ENDABLE = frozenset({MessageClass.CONFIRMATION, MessageClass.CONSENT_UPDATE, MessageClass.OPERATIONAL})
# No marketing and no way back in: messaging/gates.py refuses both.
PLAIN_NEWS = frozenset(
    {
        MessageClass.CONFIRMATION,
        MessageClass.CONSENT_UPDATE,
        MessageClass.PRIVACY_NOTICE,
        MessageClass.INCIDENT_NOTICE,
    }
)


class Template(TrackedModel):
    """A message the product knows how to write, by its key."""

    key = models.CharField(primary_key=True, max_length=50)
    title = models.CharField(max_length=100)
    message_class = models.CharField(max_length=20, choices=MessageClass.choices)
    channel = models.CharField(max_length=10, choices=[("email", "e-mail"), ("sms", "text message")], default="email")

    class Meta:
        ordering = ["key"]

    @property
    def is_text_message(self) -> bool:
        return self.channel == "sms"

    def __str__(self) -> str:
        return self.title


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def published(self, key: str) -> Self:
        """Newest first: the first is used, the next where the first one cannot be rendered."""
        return (
            self.filter(template=key, state=TemplateVersion.State.PUBLISHED)
            .select_related("template")
            .defer("snapshots")
            .order_by("-number")
        )


class TemplateVersion(models.Model):
    """One state of a template's text: draft, checked, approved by another person, published, retired.

    The hash is taken when it is checked, by the database; whoever changes the content afterwards makes it a draft
    again. Once published, the database refuses every change but its retirement.
    """

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
    snapshots = models.JSONField(
        default=list, help_text="Every sample in every language as it read when the version was checked."
    )
    content_hash = models.BinaryField(
        max_length=32, null=True, help_text="SHA-256 of schema, samples and bodies: what was checked and approved."
    )
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField("author", max_length=200, help_text="Who wrote on it last.")
    writers = ArrayField(
        models.CharField(max_length=200),
        default=list,
        editable=False,
        help_text="Everybody who wrote on it: kept by the database.",
    )
    checked_at = models.DateTimeField(null=True)
    checked_by = models.CharField(max_length=200, blank=True)
    checked_reason = models.CharField(max_length=500, blank=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=200, blank=True)
    approved_reason = models.CharField(max_length=500, blank=True)
    returned_at = models.DateTimeField(null=True, help_text="When it last became a draft again.")
    returned_by = models.CharField(max_length=200, blank=True)
    returned_reason = models.CharField(max_length=500, blank=True)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)
    published_reason = models.CharField(max_length=500, blank=True)
    retired_at = models.DateTimeField(null=True)
    retired_by = models.CharField(max_length=200, blank=True)
    retired_reason = models.CharField(max_length=500, blank=True)

    objects = TemplateVersionQuerySet.as_manager()

    class Meta:
        permissions = [("approve_templateversion", "Can approve a text that colleagues wrote")]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="templateversion_numbered_once"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{step}_at": None, f"{step}_by": ""})
                    | (Q(**{f"{step}_at__isnull": False}) & ~Q(**{f"{step}_by": ""})),
                    name=f"templateversion_{step}_at_with_{step}_by",
                    violation_error_message=f"A {step} version says when and by whom.",
                )
                for step in ("checked", "approved", "returned", "published", "retired")
            ),
            models.CheckConstraint(
                condition=~Q(writers__contains=[F("approved_by")]) | Q(approved_by="system:holdfast"),
                name="templateversion_approved_by_another",
                violation_error_message="Somebody who wrote nothing of a version approves it.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft", checked_at=None, approved_at=None, content_hash=None)
                | Q(state="checked", checked_at__isnull=False, approved_at=None, content_hash__isnull=False)
                | Q(
                    state__in=["approved", "published", "retired"],
                    checked_at__isnull=False,
                    approved_at__isnull=False,
                    content_hash__isnull=False,
                ),
                name="templateversion_comes_step_by_step",
                violation_error_message="A version is checked, then approved, then published.",
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
    html = models.TextField(blank=True, help_text="May hold one style element; it is written into the tags.")
    inlined = models.TextField(blank=True, editable=False, help_text="The HTML as it is sent, made when checked.")

    class Meta:
        verbose_name_plural = "template bodies"
        constraints = [models.UniqueConstraint(fields=["version", "locale"], name="templatebody_one_per_locale")]

    def __str__(self) -> str:
        return f"{self.version} {self.locale}"


class TemplateFaultQuerySet(models.QuerySet["TemplateFault"]):
    def open(self) -> Self:
        """Not mended yet: messages are written from an older version, as plain text only, or not at all."""
        return self.filter(mended_at=None)

    def unseen(self) -> Self:
        """Open, and nobody has said that they are at it."""
        return self.open().filter(acknowledged_at=None)


class TemplateFault(models.Model):
    """A published version failed in a language, and an older one was sent, or text only, or nothing.

    It is open until a newer version is published, this one is retired, or somebody says why it is mended. One that
    happens again is open again.
    """

    personal: ClassVar[tuple[str, ...]] = ()

    version = models.ForeignKey(TemplateVersion, models.PROTECT, related_name="faults")
    locale = models.CharField(max_length=35)
    error = models.CharField(max_length=500)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=200, blank=True)
    acknowledged_reason = models.CharField(max_length=500, blank=True)
    mended_at = models.DateTimeField(null=True)
    mended_by = models.CharField(max_length=200, blank=True)
    mended_reason = models.CharField(max_length=500, blank=True)

    objects = TemplateFaultQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "locale"], name="templatefault_one_per_locale"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{step}_at": None, f"{step}_by": ""})
                    | (Q(**{f"{step}_at__isnull": False}) & ~Q(**{f"{step}_by": ""})),
                    name=f"templatefault_{step}_at_with_{step}_by",
                    violation_error_message=f"A fault that is {step} says when and by whom.",
                )
                for step in ("acknowledged", "mended")
            ),
        ]
        indexes = [models.Index(fields=["-last_at"], name="templatefault_open", condition=Q(mended_at=None))]

    def __str__(self) -> str:
        return f"{self.version} {self.locale}: {self.error}"
