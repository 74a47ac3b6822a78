"""What detection counts, knows and says: counts, what was to be expected, alarms, and what came with them."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from config.history import AppendOnly, TrackedModel
from incidents.models.incident import LINE, Incident


class FacetBucket(models.Model):
    """Opt-outs of five minutes (UTC) by what came with them: mail domain, network, client. Names are keyed hashes.

    A domain of one's own is as good as a name. So the hash is counted, and a name is shown only in an alarm, where at
    least five people of its window share it.
    """

    class Kind(models.TextChoices):
        DOMAIN = "domain", "mail domain"
        NETWORK = "network", "network"
        CLIENT = "client", "client"

    personal: ClassVar[tuple[str, ...]] = ("label",)

    bucket = models.DateTimeField()
    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    label = models.CharField(max_length=16, help_text="Keyed hash of the name.")
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["purpose", "channel", "bucket", "kind", "label"], name="facetbucket_one_row"
            )
        ]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d %H:%M} {self.kind} {self.label}: {self.count}"


class PastMix(models.Model):
    """Of what the opt-outs of a purpose and channel were made in the four weeks before a day (UTC): added up once a day
    and held against each five minutes."""

    personal: ClassVar[tuple[str, ...]] = ("counts",)

    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    day = models.DateField()
    counts = models.JSONField(help_text="kind → name, or its keyed hash → count.")

    class Meta:
        verbose_name_plural = "past mixes"
        constraints = [models.UniqueConstraint(fields=["purpose", "channel"], name="pastmix_newest_only")]

    def __str__(self) -> str:
        return f"{self.purpose} / {self.channel} before {self.day}"


class Marker(AppendOnly):
    """Something that happened and may explain why people leave: a send, a deployment, a change."""

    class Kind(models.TextChoices):
        SEND = "send", "send"
        DEPLOY = "deploy", "deployment"
        CHANGE = "change", "change"
        OTHER = "other", "other"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    title = models.CharField(max_length=200, validators=[LINE])
    at = models.DateTimeField(help_text="When it began.")
    size = models.PositiveIntegerField(default=0, help_text="Of a send: to how many people.")
    purpose = models.CharField(max_length=50, blank=True)
    channel = models.CharField(max_length=10, blank=True)
    family = models.CharField(max_length=50, blank=True, help_text="Sends of one family teach what the next leads to.")
    source = models.CharField(max_length=200, help_text="Who reported it.")
    key = models.CharField(max_length=200, help_text="The reporter's own name for it: reported twice, it is one.")
    url = models.URLField(max_length=500, blank=True)
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["at"])]
        constraints = [
            models.UniqueConstraint(fields=["source", "key"], name="marker_reported_once"),
            models.CheckConstraint(
                condition=~Q(kind="send") | Q(size__gt=0) & ~Q(purpose="") & ~Q(channel=""),
                name="marker_send_has_size_and_scope",
                violation_error_message="A send says to how many people, for what purpose and by which channel.",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class DetectorSettings(TrackedModel):
    """How the series of one group of causes are watched. Each change is kept, and each alarm names its version."""

    class Mode(models.TextChoices):
        ACTIVE = "active", "active: alarms open incidents"
        MONITOR = "monitor", "monitor: alarms are kept, and nobody is called"
        OFF = "off", "off"

    group = models.CharField(primary_key=True, max_length=20, help_text="A group of causes.")
    title = models.CharField(max_length=100)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.ACTIVE)
    h = models.FloatField(
        default=7.0, help_text="D2 alarms above this sum, a little more by a busy day. Higher: fewer alarms, and later."
    )
    kappa = models.FloatField(default=2.0, help_text="D2 looks for a rise by this factor.")
    jump_p = models.FloatField(
        default=1 / 20_000, help_text="D1 alarms where chance gives so many less often than this."
    )
    jump_least = models.PositiveSmallIntegerField(default=4, help_text="D1 says nothing below so many opt-outs.")
    slump_h = models.FloatField(default=7.0, help_text="D3 alarms above this sum.")
    slump = models.FloatField(default=0.5, help_text="D3 looks for a fall to this share.")
    slump_least_mu = models.FloatField(default=8.0, help_text="D3 waits until so many opt-outs were to be expected.")

    class Meta:
        verbose_name_plural = "detector settings"
        ordering = ["group"]
        constraints = [
            models.CheckConstraint(
                condition=Q(h__gte=1, h__lte=50, slump_h__gte=1, slump_h__lte=50),
                name="detectorsettings_limits_are_sane",
                violation_error_message="The limits of the sums lie between 1 and 50.",
            ),
            models.CheckConstraint(
                condition=Q(kappa__gt=1, kappa__lte=20, slump__gt=0, slump__lt=1),
                name="detectorsettings_factors_are_sane",
                violation_error_message="A rise is above 1 and at most 20; the share of a slump lies between 0 and 1.",
            ),
            models.CheckConstraint(
                condition=Q(jump_p__gt=0, jump_p__lte=0.01, jump_least__gte=2, slump_least_mu__gte=1),
                name="detectorsettings_jump_is_sane",
                violation_error_message="D1's chance is at most 0.01 and its least count 2; D3 waits for 1 or more.",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Series(models.Model):
    """Opt-outs of one purpose, channel and group of causes: how far they were judged, and the sums so far."""

    personal: ClassVar[tuple[str, ...]] = ()

    purpose = models.CharField(max_length=50)
    channel = models.CharField(max_length=10)
    group = models.CharField(max_length=20)
    judged_to = models.DateTimeField(null=True, help_text="The last bucket that was judged.")
    up = models.FloatField(default=0)
    down = models.FloatField(default=0)
    expected_down = models.FloatField(default=0)
    first_at = models.DateTimeField(help_text="Its first bucket with an opt-out.")

    class Meta:
        verbose_name_plural = "series"
        constraints = [models.UniqueConstraint(fields=["purpose", "channel", "group"], name="series_one_row")]

    def __str__(self) -> str:
        return f"{self.purpose} / {self.channel}, {self.group}"


class BaselineVersion(AppendOnly):
    """What was learnt about a series, once a day: what is usual in each hour of the week, and what sends lead to."""

    series = models.ForeignKey(Series, models.PROTECT, related_name="baselines")
    hours = models.JSONField(help_text="Mean count of a bucket in each of the 168 hours from Monday 00:00.")
    zone = models.CharField(max_length=50, default="UTC", help_text="Whose clocks tell these hours.")
    phi = models.FloatField(help_text="Variance over mean.")
    buckets = models.PositiveIntegerField(help_text="How many it was learnt from.")
    sends = models.JSONField(help_text="Per family of sends: opt-outs per message, and their mean delay in seconds.")
    learnt_from = models.DateTimeField()
    learnt_to = models.DateTimeField()
    inputs_digest = models.BinaryField(max_length=32, help_text="SHA-256 of the counts it was learnt from.")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "learnt_to", "zone"], name="baselineversion_once")]

    def __str__(self) -> str:
        return f"baseline {self.pk} of {self.series_id}"


class BucketScore(models.Model):
    """How a bucket was judged: what was counted and expected, and the sums that it led to."""

    personal: ClassVar[tuple[str, ...]] = ()

    series = models.ForeignKey(Series, models.PROTECT, related_name="scores")
    bucket = models.DateTimeField()
    count = models.PositiveIntegerField()
    mu = models.FloatField()
    phi = models.FloatField()
    up = models.FloatField()
    down = models.FloatField()
    p = models.FloatField()
    baseline = models.ForeignKey(BaselineVersion, models.PROTECT, related_name="+")
    settings_version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "bucket"], name="bucketscore_once")]
        indexes = [models.Index(fields=["bucket"])]

    def __str__(self) -> str:
        return f"{self.series_id} {self.bucket:%Y-%m-%d %H:%M}: {self.count} of {self.mu:.2f}"


class EpisodeQuerySet(models.QuerySet["Episode"]):
    def open(self) -> Self:
        return self.filter(ended_at=None)


class Episode(models.Model):
    """A time in which a series was not as usual: from its first alarm until two quiet hours have passed."""

    personal: ClassVar[tuple[str, ...]] = ()

    series = models.ForeignKey(Series, models.PROTECT, related_name="episodes")
    kind = models.CharField(max_length=10, help_text="surge or slump.")
    incident = models.ForeignKey(Incident, models.PROTECT, null=True, related_name="episodes")
    began_at = models.DateTimeField()
    last_alarm_at = models.DateTimeField()
    quiet_since = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = EpisodeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["series", "kind"], condition=Q(ended_at=None), name="episode_one_open_per_series"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.series_id} since {self.began_at:%Y-%m-%d %H:%M}"


class Alarm(AppendOnly):
    """A detector spoke. The row holds all that led to it, so that it can be explained, and checked, later."""

    class Detector(models.TextChoices):
        JUMP = "D1", "D1: sudden jump"
        RISE = "D2", "D2: sustained rise"
        SLUMP = "D3", "D3: slump"
        COMPOSITION = "D4", "D4: other people than usual"
        EARS = "EARS", "EARS: above the last days"
        SILENCE = "silence", "way out not used any more"
        PROBE = "probe", "way out is broken"
        ZERO = "zero", "zero tolerance"

    detector = models.CharField(max_length=10, choices=Detector.choices)
    key = models.CharField(max_length=200, unique=True, help_text="What makes it one alarm, however often it is found.")
    title = models.CharField(max_length=200)
    series = models.ForeignKey(Series, models.PROTECT, null=True, related_name="alarms")
    exit_path = models.CharField(max_length=50, blank=True)
    bucket = models.DateTimeField(help_text="The five minutes, or the moment, that it is about.")
    count = models.PositiveIntegerField(default=0)
    mu = models.FloatField(null=True)
    phi = models.FloatField(null=True)
    s = models.FloatField(null=True, help_text="The sum that passed its limit.")
    p = models.FloatField(null=True, help_text="Chance of so many.")
    threshold = models.FloatField(null=True)
    kappa = models.FloatField(null=True)
    baseline = models.ForeignKey(BaselineVersion, models.PROTECT, null=True, related_name="+")
    settings_version = models.BigIntegerField(null=True, help_text="The version of the settings, in their history.")
    inputs = models.JSONField(default=dict, help_text="What it was computed from.")
    inputs_digest = models.BinaryField(max_length=32)
    candidates = models.JSONField(default=list, help_text="What may explain it, the likeliest first.")
    mode = models.CharField(max_length=10, choices=DetectorSettings.Mode.choices, default=DetectorSettings.Mode.ACTIVE)
    incident = models.ForeignKey(Incident, models.PROTECT, null=True, related_name="alarms")
    raised_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["raised_at"])]

    def __str__(self) -> str:
        return self.title


class DetectionCursor(models.Model):
    """How far a bounded look has come."""

    personal: ClassVar[tuple[str, ...]] = ()

    name = models.CharField(primary_key=True, max_length=50)
    moment = models.DateTimeField(null=True)
    advanced_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name
