"""Services that asked for it hear of incidents: opened, made worse, over. Told from the versions that an incident's
history keeps, so whoever changes it has nothing to remember, and whoever looks late misses nothing."""

from collections.abc import Iterator
from typing import Any

from incidents.models import Incident
from messaging.models import WebhookDelivery
from messaging.propagation import announcing
from messaging.propagation.announcing import News

LOOKED_AT = 1000  # the newest versions: one that commits later than so many others would be missed
FIELDS = (
    "history_id", "history_date", "history_type", "id", "ref", "title", "severity", "status", "type", "occurred_from",
    "visibility",
)  # fmt: skip
Kind = WebhookDelivery.Kind
Version = dict[str, Any]


def announce() -> int:
    """Owe what is new since the last look; returns how many events. Drills ring nobody up."""
    since = announcing.since()
    if since is None:
        return 0
    return announcing.owe([one for one in _news() if one.occurred_at >= since])


def _news() -> Iterator[News]:
    real = Incident.history.filter(mode=Incident.Mode.REAL)
    versions: list[Version] = list(real.order_by("-history_id").values(*FIELDS)[:LOOKED_AT])
    incidents = Incident.objects.filter(pk__in={version["id"] for version in versions})
    to_all = set(incidents.unrestricted().values_list("pk", flat=True))
    newest: dict[int, Version] = {}
    for version in reversed(versions):
        before = newest.get(version["id"])
        newest[version["id"]] = version
        if kind := _kind(before, version):
            facts = _facts(version, before, is_restricted=version["id"] not in to_all)
            yield News(kind, version["history_id"], version["history_date"], facts)


def _kind(before: Version | None, version: Version) -> str:
    """Empty: nothing that others must hear of. Where the version before is older than what is looked at, it was looked
    at when it was newer."""
    if before is None:
        return Kind.OPENED if version["history_type"] == "+" else ""
    was_over, is_over = before["status"] in Incident.ENDED, version["status"] in Incident.ENDED
    if was_over != is_over:
        return Kind.CLOSED if is_over else Kind.OPENED
    return Kind.ESCALATED if not is_over and version["severity"] < before["severity"] else ""  # sev1 is the worst


def _facts(version: Version, before: Version | None, *, is_restricted: bool) -> Version:
    """Of a restricted incident, as it is by now, no more than that it is one."""
    facts = {name: version[name] for name in ("severity", "status")}
    facts |= {"incident": version["ref"], "is_restricted": is_restricted, "was": before and before["severity"]}
    if is_restricted:
        return facts
    return facts | {
        "title": version["title"], "type": version["type"], "began_at": version["occurred_from"].isoformat()
    }  # fmt: skip
