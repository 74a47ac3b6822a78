"""All that came in and was not read yet: posts of providers first, since some of them bring mails."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from messaging.inbound import hooks, mail
from messaging.models import HookDelivery, InboundMessage, Suppression


def read_all() -> int:
    """A hundred of each at most, and what is too old is forgotten; returns how many rows changed."""
    return hooks.read_stored() + mail.read_stored() + mail.forget() + hooks.forget()


def metrics() -> Iterable[Metric]:
    """What waits, for Prometheus: counts alone."""
    waiting = GaugeMetricFamily(
        "holdfast_inbound_waiting", "Stored and not read yet, or read and for a person.", labels=["what"]
    )
    waiting.add_metric(["hooks"], HookDelivery.objects.filter(outcome=HookDelivery.Outcome.STORED).count())
    waiting.add_metric(["mails"], InboundMessage.objects.filter(state=InboundMessage.State.STORED).count())
    waiting.add_metric(["for_a_person"], InboundMessage.objects.for_a_person().count())
    suppressed = GaugeMetricFamily(
        "holdfast_suppressions", "Addresses that are not written to, by reason.", labels=["reason"]
    )
    for reason in Suppression.Reason.values:
        suppressed.add_metric([reason], Suppression.objects.filter(reason=reason).in_force().count())
    return [waiting, suppressed]
