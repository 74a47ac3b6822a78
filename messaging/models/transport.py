"""How the ways on which messages leave are doing."""

from typing import ClassVar

from django.db import models


class TransportHealth(models.Model):
    """What a transport's last attempts taught us."""

    personal: ClassVar[tuple[str, ...]] = ()

    transport = models.CharField(primary_key=True, max_length=50)
    failures_in_a_row = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, help_text="The first of the failures in a row.")
    refusals_in_a_row = models.PositiveIntegerField(
        default=0, help_text="Recipients or messages refused for good, and none taken in between."
    )
    open_until = models.DateTimeField(null=True, help_text="Not tried again before.")
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    swept_at = models.DateTimeField(null=True, help_text="When a sweep last ended that found it in the settings.")

    class Meta:
        verbose_name = "transport"

    def __str__(self) -> str:
        return self.transport
