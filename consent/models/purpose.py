"""What a person may say yes or no to."""

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from config.history import TrackedModel
from consent.models.decision import Channel

code = RegexValidator(
    r"^[a-z][a-z0-9_-]{1,49}$", "Use 2 to 50 lower-case letters, digits, '-' and '_', beginning with a letter."
)


class Purpose(TrackedModel):
    """What somebody is contacted, or their data used, for. Its code stands in decisions and never changes."""

    class Regime(models.TextChoices):
        OPT_IN = "opt_in", "only after an opt-in"
        OPT_OUT = "opt_out", "until an opt-out"
        MANDATORY = "mandatory", "always: legal and security notices, which carry no marketing"

    code = models.CharField(primary_key=True, max_length=50, validators=[code])
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True, help_text="In plain words: people read it on the preference page.")
    regime = models.CharField(max_length=10, choices=Regime.choices, default=Regime.OPT_IN)
    is_covered_by_gpc = models.BooleanField(
        "covered by Sec-GPC", default=False, help_text="A browser's Sec-GPC: 1 opts its user out of this purpose."
    )
    channels = ArrayField(
        models.CharField(max_length=10, choices=Channel.choices),
        default=list,
        blank=True,
        help_text="Ways of contact that the preference page offers one by one; empty: one answer for all of them.",
    )
    is_public = models.BooleanField(default=True, help_text="Shown on the preference page.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "code"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        before = Purpose.objects.filter(pk=self.pk).values_list("regime", flat=True).first()
        if self.regime == self.Regime.MANDATORY and before not in (None, self.Regime.MANDATORY):
            raise ValidationError(
                {"regime": "People may have opted out of this purpose. Register a new one for what is mandatory."}
            )
