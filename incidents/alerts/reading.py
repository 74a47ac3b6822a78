"""What every sender's message becomes: notifications about groups of alerts. Nothing in a message is trusted."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.http import parse_header_parameters

from config.text import CONTROL
from incidents.mapping import point
from incidents.models import Incident
from incidents.vocabulary import IncidentType

Severity = Incident.Severity

YEAR_ONE = 1  # Go's zero time: not set
LEAP_SECOND = re.compile(r"(T\d\d:?\d\d:?)60")  # taken for the second before it
LONGEST_KEY = 4000
SEVERITIES = {
    "sev1": Severity.SEV1, "p1": Severity.SEV1, "emergency": Severity.SEV1, "disaster": Severity.SEV1,
    "sev2": Severity.SEV2, "p2": Severity.SEV2, "critical": Severity.SEV2, "page": Severity.SEV2, "high": Severity.SEV2,
    "sev3": Severity.SEV3, "p3": Severity.SEV3, "error": Severity.SEV3, "warning": Severity.SEV3,
    "sev4": Severity.SEV4, "p4": Severity.SEV4, "info": Severity.SEV4, "none": Severity.SEV4, "low": Severity.SEV4,
}  # fmt: skip


class Unreadable(Exception):
    """The body is not what its sender sends; the text says where, for whoever configured it."""


@dataclass(frozen=True, slots=True)
class Alert:
    fingerprint: str
    is_firing: bool
    name: str
    starts_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """What one message says about one group.

    `is_whole`: it names every alert of its group, so what it does not name is gone. `told_at`: the sender's own moment,
    by which an older message is known as one. `note`: news beside the alerts' states, such as an acknowledgement.
    `event_id`: the sender's own id, where only the body has it. `type`: what went wrong, in our own types.
    """

    group_key: str
    title: str
    severity: str
    alerts: tuple[Alert, ...]
    truncated: int = 0
    is_whole: bool = True
    told_at: datetime | None = None
    note: str = ""
    event_id: str = ""
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_firing(self) -> bool:
        return any(alert.is_firing for alert in self.alerts)

    @property
    def starts_at(self) -> datetime | None:
        """The earliest start of what is firing."""
        return min((a.starts_at for a in self.alerts if a.is_firing and a.starts_at), default=None)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a source says about reading its messages."""

    mapping: Mapping[str, Any] = field(default_factory=dict)
    severities: Mapping[str, str] = field(default_factory=dict)
    type: str = ""

    def type_in(self, document: Any) -> str:
        """What the mapping points at, where it is one of our types; else what the source says of all its alerts."""
        found = point(document, self.mapping["type"]) if "type" in self.mapping else ""
        return found if isinstance(found, str) and found in IncidentType.values else self.type

    def severity(self, words: Iterable[Any]) -> str:
        """The worst that any of the words stands for; SEV3 where none says anything we know."""
        known = SEVERITIES | {word.lower(): severity for word, severity in self.severities.items()}
        found = [known[word.lower()] for word in words if isinstance(word, str) and word.lower() in known]
        return min(found, default=Severity.SEV3)


def is_json(media_type: str) -> bool:
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def in_utf8(body: bytes, content_type: str) -> bytes:
    """JSON is UTF-8; who sends another charset is believed where it is none, and says so."""
    try:
        body.decode()
    except UnicodeDecodeError:
        charset = parse_header_parameters(content_type)[1].get("charset", "")
        with suppress(LookupError, UnicodeDecodeError):
            return body.decode(charset).encode()
    return body


def json_of(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("This is not JSON.") from error


def object_of(body: bytes) -> dict[str, Any]:
    message = json_of(body)
    if not isinstance(message, dict):
        raise Unreadable("The body must be a JSON object.")
    return message


def text(entry: Mapping[str, Any], name: str, where: str = "", longest: int = LONGEST_KEY) -> str:
    value, path = entry.get(name), f"{where}.{name}".strip(".")
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{path} is missing.")
    return checked(value, path, longest)


def checked(value: str, path: str, longest: int = LONGEST_KEY) -> str:
    if len(value) > longest:
        raise Unreadable(f"{path} is longer than {longest} characters.")
    if CONTROL.search(value):
        raise Unreadable(f"{path} holds control characters.")
    return value


def child(entry: Mapping[str, Any], name: str, where: str = "") -> dict[str, Any]:
    """An object inside; empty where it is absent or null."""
    value = entry.get(name) or {}
    if not isinstance(value, dict):
        raise Unreadable(f"{where}.{name} must be an object.".lstrip("."))
    return value


def labels(entry: Mapping[str, Any], name: str) -> dict[str, str]:
    """Label sets may be absent or null; values that are not text are left out."""
    return {key: value for key, value in child(entry, name).items() if isinstance(value, str)}


def moment(value: Any, path: str) -> datetime | None:
    """RFC 3339, in small letters too, or a count since 1970. Go's zero time, year 1, stands for none."""
    if value is None or value == "":
        return None
    found = _counted(value) or _written(value)
    if found is None:
        raise Unreadable(f"{path} is not a time.")
    if found.year == YEAR_ONE:
        return None
    if found.tzinfo is None:
        raise Unreadable(f"{path} has no offset.")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise Unreadable(f"{path} is not a time.") from error


def _written(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(LEAP_SECOND.sub(r"\g<1>59", value.upper()))
    except (AttributeError, ValueError):
        return None


def _counted(value: Any) -> datetime | None:
    """Seconds, or thousandths, millionths or billionths of them: its size says which, from 1973 to 5138."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and 10 <= len(value) <= 19:
        value = int(value)  # a shorter one is a date
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e8 <= value < 1e20:
        return None
    while value >= 1e11:
        value /= 1000
    return datetime.fromtimestamp(value, tz=UTC)


def plain(words: str) -> str:
    return " ".join(CONTROL.sub(" ", words).split())


def shown(value: Any) -> str:
    return plain(repr(value))[:40]


def title_of(*parts: Any, otherwise: str) -> str:
    told = ": ".join(words for part in parts if isinstance(part, str) and (words := plain(part)))
    return (told or otherwise)[:200]
