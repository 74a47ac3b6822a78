"""Reading what Alertmanager sends (webhook version 4). Operators may replace its whole body: nothing is trusted."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from incidents.alerts.reading import (
    Alert,
    Notification,
    Rules,
    Unreadable,
    labels,
    moment,
    object_of,
    plain,
    shown,
    text,
    title_of,
)


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable with a reason for people."""
    return [notification_of(object_of(body), "4", rules)]


def notification_of(message: Mapping[str, Any], version: str, rules: Rules) -> Notification:
    """The outline that Alertmanager and Grafana share."""
    if message.get("version") != version:
        other = shown(message.get("version"))
        raise Unreadable(f'version must be "{version}", not {other}. A changed payload is not read.')
    if message.get("status") not in ("firing", "resolved"):
        raise Unreadable(f"status must be firing or resolved, not {shown(message.get('status'))}.")
    entries = message.get("alerts", "")
    entries = [] if entries is None else entries  # as Go writes a list of nothing
    if not isinstance(entries, list):
        raise Unreadable("alerts must be a list.")
    common = {**labels(message, "commonLabels"), **labels(message, "groupLabels")}
    key, told = text(message, "groupKey"), labels(message, "commonAnnotations")
    sets = [common, *(labels(entry, "labels") for entry in entries if isinstance(entry, dict))]
    return Notification(
        group_key=key,
        title=title_of(
            common.get("alertname"), told.get("title") or told.get("summary"), otherwise=f"Alerts of {plain(key)}"
        ),
        severity=rules.severity(found.get("severity") for found in sets),
        alerts=tuple(_alerts(entries)),
        truncated=_count(message.get("truncatedAlerts") or 0),
        type=rules.type_in(message),
        labels=common,
    )


def _alerts(entries: list[Any]) -> Iterator[Alert]:
    for index, entry in enumerate(entries):
        where = f"alerts[{index}]"
        if not isinstance(entry, dict):
            raise Unreadable(f"{where} must be an object.")
        if entry.get("status") not in ("firing", "resolved"):
            raise Unreadable(f"{where}.status must be firing or resolved.")
        yield Alert(
            fingerprint=text(entry, "fingerprint", where, longest=64) if "fingerprint" in entry else _named(entry),
            is_firing=entry["status"] == "firing",
            name=plain(labels(entry, "labels").get("alertname", ""))[:100],
            starts_at=moment(entry.get("startsAt"), f"{where}.startsAt"),
        )


def _named(entry: Mapping[str, Any]) -> str:
    """By its labels, which make it what it is: older senders, and others of the same outline, give no fingerprint."""
    return hashlib.sha256(json.dumps(labels(entry, "labels"), sort_keys=True).encode()).hexdigest()[:16]


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise Unreadable("truncatedAlerts must be a count.")
    return value
