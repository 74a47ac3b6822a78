"""Ways out: each one that exists is registered, owned and counted."""

from typing import ClassVar

from django.db import models

from config.history import TrackedModel
from consent.models.purpose import code
from consent.models.subject import TX


class ExitPath(TrackedModel):
    """A way out of the product that people can use. Its code stands in decisions and never changes."""

    class Kind(models.TextChoices):
        ONE_CLICK = "one_click", "one-click header (RFC 8058)"
        PREFERENCE_PAGE = "preference_page", "preference page"
        IN_APP = "in_app", "switch inside a product"
        API = "api", "service call"
        GPC = "gpc", "Global Privacy Control signal"
        REPLY = "reply", "reply to a mail"
        KEYWORD = "keyword", "STOP keyword"
        SUPPORT = "support", "support desk"
        PHONE = "phone", "telephone desk"
        POST = "post", "letter"
        IMPORT = "import", "suppression list"
        COMPLAINT = "complaint", "spam complaint"

    code = models.CharField(primary_key=True, max_length=50, validators=[code])
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    owner = models.CharField(max_length=100, help_text="The team that is called when this way out is broken.")
    url = models.CharField(max_length=500, blank=True, help_text="Where a person finds it.")
    is_active = models.BooleanField(default=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class ExitPathMinute(models.Model):
    """How often a way out was used in a minute (UTC), by outcome and cause."""

    class Outcome(models.TextChoices):
        """Failed is our fault, refused is our answer, broken off is what a form or a person left undone."""

        STARTED = "started", "started"
        COMPLETED = "completed", "completed"
        REFUSED = "refused", "refused"
        BROKEN_OFF = "broken_off", "broken off"
        FAILED = "failed", "failed"

    personal: ClassVar[tuple[str, ...]] = ()

    exit_path = models.ForeignKey(ExitPath, models.PROTECT, related_name="minutes")
    minute = models.DateTimeField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    cause = models.CharField(max_length=30, blank=True, help_text="A decision's cause, or the code of the refusal.")
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["exit_path", "minute", "outcome", "cause"], name="exitpathminute_one_row")
        ]
        indexes = [models.Index(fields=["minute"])]

    def __str__(self) -> str:
        return f"{self.exit_path_id} {self.minute:%Y-%m-%d %H:%M} {self.outcome} {self.count}"


class ExitPathLatency(models.Model):
    """How long a way out took to answer, counted per minute (UTC) in steps: percentiles without a row per use."""

    personal: ClassVar[tuple[str, ...]] = ()

    exit_path = models.ForeignKey(ExitPath, models.PROTECT, related_name="latencies")
    minute = models.DateTimeField()
    up_to_ms = models.PositiveIntegerField(help_text="The step: took at most so many milliseconds.")
    count = models.PositiveIntegerField(default=0)
    total_ms = models.FloatField(default=0)
    slowest_ms = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["exit_path", "minute", "up_to_ms"], name="exitpathlatency_one_row")
        ]
        indexes = [models.Index(fields=["minute"])]

    def __str__(self) -> str:
        return f"{self.exit_path_id} {self.minute:%Y-%m-%d %H:%M} ≤ {self.up_to_ms} ms: {self.count}"


class LinkFetch(models.Model):
    """Looks at the links of a message, per second: what tells gateways that fetch every link from people.

    It names a message and no address of whoever looked, and is dropped after some days.
    """

    class Link(models.TextChoices):
        UNSUBSCRIBE = "unsubscribe", "unsubscribe page"
        PREFERENCES = "preferences", "preference page"
        HIDDEN = "hidden", "link that no person sees"

    personal: ClassVar[tuple[str, ...]] = ()

    message_id = models.UUIDField()
    link = models.CharField(max_length=15, choices=Link.choices)
    second = models.DateTimeField()
    agent = models.CharField(max_length=10, help_text="What kind of program it said it was.")
    count = models.PositiveIntegerField(default=0)
    tx = models.BigIntegerField(db_default=TX, editable=False)

    class Meta:
        verbose_name_plural = "link fetches"
        constraints = [
            models.UniqueConstraint(fields=["message_id", "second", "link", "agent"], name="linkfetch_one_row")
        ]
        indexes = [
            models.Index(fields=["second"]),
            models.Index(fields=["tx", "id"], name="linkfetch_log_order"),
        ]

    def __str__(self) -> str:
        return f"{self.link} of {self.message_id} at {self.second:%H:%M:%S}"
