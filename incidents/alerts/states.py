"""What is known of each alert of a group: its own state, in which order it was told, and since when it fires."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from incidents.alerts.reading import Alert, Notification
from incidents.models import AlertGroup

State = AlertGroup.State
EARLIEST = timedelta(hours=24)  # an alert that began before that does not pull yesterday's choices into its incident
MOST_RESOLVED = 500  # alerts of a group that are over and still listed
# A pair's slower half and a sender that tries again bring an alert as late as that after its end was heard.
LATE = timedelta(minutes=5)


def start_of(group: AlertGroup) -> datetime:
    """When the earliest alert that fires began: not after it was heard of, and not more than a day before."""
    firing = [alert["since"] for alert in group.fingerprints.values() if alert["state"] == State.FIRING]
    starts = [datetime.fromisoformat(since) for since in firing if since]
    return max(min([*starts, group.first_at]), group.first_at - EARLIEST)


def in_order(group: AlertGroup, said: Notification, received_at: datetime) -> tuple[Notification, bool]:
    """The same with its alerts' ends that were heard before, and whether there are any.

    Alertmanager and Grafana say nothing about the order of their messages: a firing alert that began no later than the
    one whose end was just heard is that one. After a while it is taken at its word: nothing is missed for good.
    """
    if said.told_at:
        return said, False
    alerts = tuple(
        replace(alert, is_firing=False)
        if _is_over(group.fingerprints.get(alert.fingerprint), alert, received_at)
        else alert
        for alert in said.alerts
    )
    return replace(said, alerts=alerts), alerts != said.alerts


def _is_over(before: dict[str, str] | None, alert: Alert, now: datetime) -> bool:
    if not alert.is_firing or alert.starts_at is None or not before or not before["since"]:
        return False
    return _just_ended(before, now) and alert.starts_at <= datetime.fromisoformat(before["since"])


def _just_ended(alert: Mapping[str, str], now: datetime) -> bool:
    return alert["state"] == State.RESOLVED and now - datetime.fromisoformat(alert["ended"]) <= LATE


def states_of(
    known: Mapping[str, dict[str, str]], said: Notification, received_at: datetime
) -> dict[str, dict[str, str]]:
    """Each alert's own state, as last heard. What names all of its group, untruncated, says that the rest is gone."""
    is_all = said.is_whole and not said.truncated
    kept = {name: alert for name, alert in known.items() if not is_all or _just_ended(alert, received_at)}
    for alert in said.alerts:
        since = alert.starts_at.isoformat() if alert.starts_at else ""
        before = known.get(alert.fingerprint, {})
        if alert.is_firing and before.get("state") == State.FIRING:
            since = before.get("since") or since  # it has not begun anew
        kept[alert.fingerprint] = {"state": State.FIRING.value, "name": alert.name, "since": since}
        if not alert.is_firing:
            ended = before.get("ended") or received_at.isoformat()
            kept[alert.fingerprint] |= {"state": State.RESOLVED.value, "since": since, "ended": ended}
    over = [fingerprint for fingerprint, alert in kept.items() if alert["state"] == State.RESOLVED]
    for fingerprint in over[:-MOST_RESOLVED]:
        del kept[fingerprint]
    return kept


def state_of(group: AlertGroup) -> str:
    """Resolved only when every alert known is, and none was left out: what is not shown may be firing."""
    fires = any(alert["state"] == State.FIRING for alert in group.fingerprints.values())
    return State.FIRING if fires or group.truncated_count else State.RESOLVED


def told(group: AlertGroup) -> str:
    states = [alert["state"] for alert in group.fingerprints.values()]
    firing = states.count(State.FIRING)
    text = f"{firing} firing, {len(states) - firing} resolved"
    if group.truncated_count:
        text += f", {group.truncated_count} not shown"
    if group.state == State.RESOLVED:
        text += ". The source says it is over; the incident stays open until somebody closes it"
    return text + "."
