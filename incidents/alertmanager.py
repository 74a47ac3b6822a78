"""Reading what Alertmanager sends (webhook version 4). Operators may replace its whole body: nothing is trusted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.text import CONTROL
from incidents.models import Incident

Severity = Incident.Severity

YEAR_ONE = 1  # Go's zero time: not set
SEVERITIES = {
    "sev1": Severity.SEV1, "p1": Severity.SEV1, "emergency": Severity.SEV1, "disaster": Severity.SEV1,
    "sev2": Severity.SEV2, "p2": Severity.SEV2, "critical": Severity.SEV2, "page": Severity.SEV2, "high": Severity.SEV2,
    "sev3": Severity.SEV3, "p3": Severity.SEV3, "error": Severity.SEV3, "warning": Severity.SEV3,
    "sev4": Severity.SEV4, "p4": Severity.SEV4, "info": Severity.SEV4, "none": Severity.SEV4, "low": Severity.SEV4,
}  # fmt: skip


class Unreadable(Exception):
    """The body is not what Alertmanager sends; the text says where, for whoever configured it."""


@dataclass(frozen=True, slots=True)
class Alert:
    fingerprint: str
    is_firing: bool
    name: str
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notification:
    """One delivery: the group it is about, and the alerts that it shows."""

    group_key: str
    is_firing: bool
    title: str
    severity: str
    alerts: tuple[Alert, ...]
    truncated: int

    @property
    def starts_at(self) -> datetime | None:
        """The earliest start of what is firing."""
        return min((a.starts_at for a in self.alerts if a.is_firing and a.starts_at), default=None)


def read(body: bytes) -> Notification:
    """Raises Unreadable with a reason for people."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("This is not JSON.") from error
    if not isinstance(message, dict):
        raise Unreadable("The body must be a JSON object.")
    if message.get("version") != "4":
        raise Unreadable(f'version must be "4", not {_shown(message.get("version"))}. A changed payload is not read.')
    if message.get("status") not in ("firing", "resolved"):
        raise Unreadable(f"status must be firing or resolved, not {_shown(message.get('status'))}.")
    alerts = message.get("alerts")
    if not isinstance(alerts, list):
        raise Unreadable("alerts must be a list.")
    labels = {**_labels(message, "commonLabels"), **_labels(message, "groupLabels")}
    key = _text(message, "groupKey")
    return Notification(
        group_key=key,
        is_firing=message["status"] == "firing",
        title=_title(labels, _labels(message, "commonAnnotations"), key),
        severity=_severity([labels, *(_labels(a, "labels") for a in alerts if isinstance(a, dict))]),
        alerts=tuple(_alerts(alerts)),
        truncated=_count(message.get("truncatedAlerts", 0)),
    )


def _alerts(entries: list[Any]) -> Iterator[Alert]:
    for index, entry in enumerate(entries):
        where = f"alerts[{index}]"
        if not isinstance(entry, dict):
            raise Unreadable(f"{where} must be an object.")
        if entry.get("status") not in ("firing", "resolved"):
            raise Unreadable(f"{where}.status must be firing or resolved.")
        yield Alert(
            fingerprint=_text(entry, "fingerprint", where, longest=64),
            is_firing=entry["status"] == "firing",
            name=_plain(_labels(entry, "labels").get("alertname", ""))[:100],
            starts_at=_moment(entry.get("startsAt"), f"{where}.startsAt"),
            ends_at=_moment(entry.get("endsAt"), f"{where}.endsAt"),
        )


def _text(entry: Mapping[str, Any], name: str, where: str = "", longest: int = 4000) -> str:
    value, path = entry.get(name), f"{where}.{name}".strip(".")
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{path} is missing.")
    if len(value) > longest:
        raise Unreadable(f"{path} is longer than {longest} characters.")
    if CONTROL.search(value):
        raise Unreadable(f"{path} holds control characters.")
    return value


def _labels(entry: Mapping[str, Any], name: str) -> dict[str, str]:
    """Label sets may be absent or null; values that are not text are left out."""
    value = entry.get(name) or {}
    if not isinstance(value, dict):
        raise Unreadable(f"{name} must be an object.")
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _moment(value: Any, path: str) -> datetime | None:
    """Go's zero time, year 1, stands for none."""
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{path} is not a time.") from error
    if moment.year == YEAR_ONE:
        return None
    if moment.tzinfo is None:
        raise Unreadable(f"{path} has no offset.")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Unreadable(f"{path} is not a time.") from error


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise Unreadable("truncatedAlerts must be a count.")
    return value


def _title(labels: Mapping[str, str], annotations: Mapping[str, str], group_key: str) -> str:
    name = labels.get("alertname", "")
    told = annotations.get("title") or annotations.get("summary") or ""
    title = ": ".join(part for part in (_plain(name), _plain(told)) if part)
    return (title or f"Alerts of {group_key}")[:200]


def _severity(label_sets: list[dict[str, str]]) -> str:
    """The worst that any of them says; SEV3 where none says anything we know."""
    found = [SEVERITIES[s] for labels in label_sets if (s := labels.get("severity", "").lower()) in SEVERITIES]
    return min(found, default=Severity.SEV3)


def _plain(text: str) -> str:
    return " ".join(CONTROL.sub(" ", text).split())


def _shown(value: Any) -> str:
    return _plain(repr(value))[:40]
