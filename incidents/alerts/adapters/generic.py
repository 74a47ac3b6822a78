"""Reading any JSON by a source's mapping of pointers. One alert a message: its key is its group and its fingerprint."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from incidents.alerts.reading import Alert, Notification, Rules, Unreadable, checked, json_of, moment, plain, title_of
from incidents.mapping import listed, point


def read(body: bytes, headers: Mapping[str, str], rules: Rules) -> list[Notification]:
    """Raises Unreadable."""
    return [mapped(json_of(body), rules)]


def mapped(
    document: Any,
    rules: Rules,
    *,
    key: str = "",
    title: str = "",
    event_id: str = "",
    told_at: datetime | None = None,
) -> Notification:
    """What the mapping finds in the document. What it does not name is taken from the envelope, where there is one."""
    mapping = rules.mapping
    group_key = _key(document, listed(mapping["key"])) if "key" in mapping else key
    if not group_key:
        raise Unreadable("The mapping names no key, so nothing says what belongs together.")
    at = moment(point(document, mapping["at"]), mapping["at"]) if "at" in mapping else told_at
    found = point(document, mapping["title"]) if "title" in mapping else title
    name = title_of(found, otherwise=title or f"Alert of {group_key}")
    firing = _is_firing(document, rules)
    return Notification(
        group_key=group_key,
        title=name,
        severity=rules.severity([point(document, mapping["severity"])] if "severity" in mapping else []),
        alerts=(
            Alert(hashlib.sha256(group_key.encode()).hexdigest()[:16], firing, name[:100], at if firing else None),
        ),
        is_whole=False,
        told_at=at,
        event_id=(_word(point(document, mapping["id"])) or "") if "id" in mapping else event_id,
        type=rules.type_in(document),
    )


def _key(document: Any, pointers: list[str]) -> str:
    """All of the values together. A key of nothing would put everything into one incident."""
    parts = [_word(point(document, pointer)) for pointer in pointers]
    missing = [pointer for pointer, part in zip(pointers, parts, strict=True) if part is None]
    if missing:
        raise Unreadable(f"{missing[0] or 'The whole body'} holds no text or number, and the key is made of it.")
    return checked(" · ".join(part for part in parts if part is not None), "The key")


def _is_firing(document: Any, rules: Rules) -> bool:
    """A message without the status, or with an unknown word in it, is taken as firing: nothing is missed that way."""
    if "status" not in rules.mapping:
        return True
    word = _word(point(document, rules.mapping["status"]))
    over = {ending.lower() for ending in listed(rules.mapping["resolved"])}
    return word is None or word.lower() not in over


def _word(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return plain(value) or None if isinstance(value, str) else None
