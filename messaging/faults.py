"""A published text that fails at the moment of sending: noted once per version and language, and shown until mended."""

from collections.abc import Iterable

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from config.models import User
from consent.services import actor_of
from messaging.models import TemplateFault, TemplateVersion

log = structlog.get_logger(__name__)


def note_fault(version: TemplateVersion, locale: str, error: Exception) -> None:
    """One row per version and language, counted up; a mended one that fails again is open again."""
    said = str(error)[:500]
    log.error("template_failed", template=version.template_id, version=version.number, locale=locale, error=said)
    fault, is_new = TemplateFault.objects.get_or_create(version=version, locale=locale, defaults={"error": said})
    if is_new:
        return
    rows = TemplateFault.objects.filter(pk=fault.pk)
    rows.exclude(mended_at=None).update(
        mended_at=None, mended_by="", mended_reason="", acknowledged_at=None, acknowledged_by="", acknowledged_reason=""
    )
    rows.update(count=F("count") + 1, last_at=timezone.now(), error=said)


@transaction.atomic
def acknowledge(fault: TemplateFault, *, reason: str, by: User | str) -> TemplateFault:
    """Somebody is at it: it is still open, and counts as seen. Raises ValidationError."""
    fault = _locked(fault, reason)
    if fault.acknowledged_at:
        raise ValidationError(f"{fault.acknowledged_by} is at it already.")
    fault.acknowledged_at, fault.acknowledged_by, fault.acknowledged_reason = timezone.now(), actor_of(by), reason
    fault.save()
    return fault


@transaction.atomic
def mend(fault: TemplateFault, *, reason: str, by: User | str) -> TemplateFault:
    """It is mended without a new version: the caller's data were wrong, for example. Raises ValidationError."""
    fault = _locked(fault, reason)
    fault.mended_at, fault.mended_by, fault.mended_reason = timezone.now(), actor_of(by), reason
    fault.save()
    return fault


def mended_by_publishing(version: TemplateVersion, actor: str) -> None:
    """The faults of every version before it: messages are written from this one now."""
    _mended(version.template_id, version.number - 1, f"v{version.number} was published.", actor)


def mended_by_retiring(version: TemplateVersion, actor: str) -> None:
    TemplateFault.objects.open().filter(version=version).update(
        mended_at=timezone.now(), mended_by=actor, mended_reason="The version was retired."
    )


def metrics() -> Iterable[Metric]:
    faults = GaugeMetricFamily("holdfast_template_faults_open", "Published texts that fail, by what staff know of it.")
    faults.add_metric([], TemplateFault.objects.open().count())
    return [faults]


def _locked(fault: TemplateFault, reason: str) -> TemplateFault:
    if not reason.strip():
        raise ValidationError("Say why.")
    now = TemplateFault.objects.select_for_update().get(pk=fault.pk)
    if now.mended_at:
        raise ValidationError(f"This fault was mended already: {now.mended_reason}")
    return now


def _mended(template_id: str, up_to: int, reason: str, actor: str) -> None:
    TemplateFault.objects.open().filter(version__template=template_id, version__number__lte=up_to).update(
        mended_at=timezone.now(), mended_by=actor, mended_reason=reason
    )
