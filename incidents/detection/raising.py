"""From an alarm to an incident: kept once, told, and one incident for everything that is the same trouble."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.utils import timezone

from consent.models import ExitPath, Purpose
from incidents.detection.baseline import BUCKET
from incidents.models import Alarm, DetectorSettings, Incident
from incidents.services import open_or_join
from incidents.timeline import Source

log = structlog.get_logger(__name__)
BY = "system:detection"
Detector, Mode = Alarm.Detector, DetectorSettings.Mode


def raise_alarm(alarm: Alarm, *, began: datetime, severity: str, type: str = "") -> bool:
    """Keep an alarm and open or join its incident; False where it was raised before. In the caller's transaction."""
    if Alarm.objects.filter(key=alarm.key).exists():
        return False
    alarm.inputs_digest = digest_of(alarm.inputs)
    if alarm.mode == Mode.ACTIVE:
        now = timezone.now()
        alarm.incident, _ = open_or_join(
            incident_key(alarm),
            alarm.title[:200],
            occurred_from=min(began, now),
            detected_at=min(alarm.bucket + BUCKET, now),
            by=BY,
            severity=severity,
            purposes=_known(Purpose, [alarm.series.purpose] if alarm.series else []),
            exit_paths=_known(ExitPath, [alarm.exit_path] if alarm.exit_path else []),
            mode=Incident.Mode.REAL,
            source=Source.SYSTEM,
            text=told(alarm),
            type=type,
        )
    alarm.save()
    log.warning("alarm", detector=alarm.detector, title=alarm.title, mode=alarm.mode)
    return True


def incident_key(alarm: Alarm) -> str:
    """What makes two alarms one incident."""
    if alarm.series:
        kind = "slump" if alarm.detector == Detector.SLUMP else "surge"
        return f"{kind}:{alarm.series.purpose}/{alarm.series.channel}"
    if alarm.exit_path:
        return f"exit-path:{alarm.exit_path}"
    return f"zero:{alarm.key.partition(':')[0]}"


def told(alarm: Alarm) -> str:
    """An alarm as a line of the timeline: what, how many of how many, and where to look first."""
    text = f"{alarm.get_detector_display()}. {alarm.title}"
    if alarm.mu is not None:
        text += f": {alarm.count} in five minutes where {alarm.mu:.2f} were to be expected"
    if alarm.s is not None and alarm.threshold is not None:
        text += f"; sum {alarm.s:.1f} above its limit {alarm.threshold:.2f}"
    if reason := alarm.inputs.get("words"):
        text += f": {reason}"
    first = [
        f"{c['kind'].replace('_', ' ')} {c['name']} (×{c['lift']:g}, {c['share']:.0%} of the excess)"
        for c in alarm.candidates[:3]
    ]
    return text + (f". Look first at: {'; '.join(first)}." if first else ".")


def digest_of(inputs: Any) -> bytes:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, separators=(",", ":")).encode()).digest()


def _known(model: type[Purpose] | type[ExitPath], codes: Sequence[str]) -> list[str]:
    """An alarm is never lost over a code that nobody registered; `*` means all, like none named."""
    return list(model.objects.filter(code__in=codes).values_list("code", flat=True)) if codes else []
