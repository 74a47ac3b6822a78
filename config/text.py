"""What no text that comes from outside may hold, and what no log may."""

import re
from collections.abc import MutableMapping
from typing import Any

# C0, DEL, C1, line separators, lone surrogates: they break exports, logs and terminals, or the database refuses them.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # tabs and line ends may stay

# Addresses that let whoever reads them act for a person, or as an alert source.
TOKEN = re.compile(r"""(/(?:u|preferences|read|hooks/alerts)/)[^/\s?"']+""")

# Servers repeat the address in their diagnostics, also percent-encoded.
ADDRESS = re.compile(r"""(?:"[^"\n]{1,64}"|[^\s<>()\[\]",:;]{1,320})(?:@|%40)[^\s<>()\[\]"',:;]+""", re.IGNORECASE)


def without_addresses(text: str) -> str:
    """What a server said, for rows that outlive the person whom it names."""
    return ADDRESS.sub("(an address)", text)


def holds_control(value: Any) -> bool:
    """Whether any text in this JSON, names included, holds what the database or a log cannot."""
    if isinstance(value, str):
        return CONTROL_IN_LINES.search(value) is not None
    if isinstance(value, dict):
        return any(holds_control(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(map(holds_control, value))


def hide_tokens(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the log tells which page was asked for, not whose."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = TOKEN.sub(r"\1…", value)
    return event
