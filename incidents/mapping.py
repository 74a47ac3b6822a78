"""How a generic sender's JSON is read: JSON pointers (RFC 6901) and words, checked when they are saved. Never code."""

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

SEVERITIES = ("sev1", "sev2", "sev3", "sev4")
LONGEST_POINTER, MOST = 200, 20
POINTER = re.compile(r"(/([^~/]|~[01])*)*")
# What each entry is for: it stands in the help of the form, and nothing else is taken.
ENTRIES = {
    "key": "what belongs together: one pointer or a list of them; one incident answers for each value",
    "title": "what the incident is called",
    "status": "whether it goes on; without it everything is firing",
    "resolved": "the words of `status` that say it is over",
    "severity": "how bad it is",
    "type": "what went wrong, as one of our types, such as bulk_resubscribe; else that of the source",
    "id": "the sender's own id of this event, so that a repeat is known as one",
    "at": "when it happened, with an offset",
}
LISTS = ("key", "resolved")


def check_mapping(value: Any) -> None:
    """Raises ValidationError in words for whoever typed it."""
    if not isinstance(value, dict):
        raise ValidationError("A mapping is a JSON object.", code="mapping")
    if unknown := sorted(set(value) - set(ENTRIES)):
        raise ValidationError(f"There is no entry {unknown[0]!r}. Use {', '.join(ENTRIES)}.", code="mapping")
    for name, given in value.items():
        entries = given if name in LISTS and isinstance(given, list) else [given]
        if not 1 <= len(entries) <= MOST or not all(isinstance(entry, str) and entry for entry in entries):
            raise ValidationError(f"{name} must be text{' or a list of texts' * (name in LISTS)}.", code="mapping")
        if name != "resolved":
            _check_pointers(name, entries)
    if "resolved" in value and "status" not in value:
        raise ValidationError("`resolved` says what ends it in `status`: point at the status too.", code="mapping")
    if "status" in value and "resolved" not in value:
        raise ValidationError("Say in `resolved` which words of the status end it.", code="mapping")


def _check_pointers(name: str, pointers: list[str]) -> None:
    for pointer in pointers:
        if len(pointer) > LONGEST_POINTER or not POINTER.fullmatch(pointer):
            raise ValidationError(f"{name}: {pointer[:50]!r} is no JSON pointer, like /labels/service.", code="mapping")


def check_severity_map(value: Any) -> None:
    """Raises ValidationError."""
    if not isinstance(value, dict) or len(value) > 100:
        raise ValidationError("A severity map is a JSON object of at most 100 words.", code="severity_map")
    for word, severity in value.items():
        if severity not in SEVERITIES:
            raise ValidationError(f"{word!r} must lead to one of {', '.join(SEVERITIES)}.", code="severity_map")


def listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def point(document: Any, pointer: str) -> Any:
    """What the pointer leads to; None where there is nothing, which JSON's null is too."""
    here = document
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping):
            here = here.get(name)
        elif isinstance(here, list) and name.isascii() and name.isdigit() and len(name) < 7 and int(name) < len(here):
            here = here[int(name)]
        else:
            return None
    return here
