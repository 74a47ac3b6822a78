"""How every sample read when a version was checked, and what a new version changes in that."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from messaging.rendering import Compiled, compile_body, values_of

# Stand-ins, so that a snapshot changes with its text and not with the installation's settings.
SETTING = {
    "organisation": "Example Company",
    "organisation_address": "1 Example Street, Exampletown",
    "public_url": "https://example.org",
    "preferences_url": "https://example.org/preferences/sample/",
    "acknowledge_url": "https://example.org/read/sample/",
}
PARTS = ("subject", "text", "html")


@dataclass(frozen=True, slots=True)
class Difference:
    """One sample in one language that reads differently now; lines begin with +, - or a space."""

    title: str
    lines: list[str]


def taken(
    schema: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], bodies: Iterable[Any]
) -> list[dict[str, Any]]:
    """Every sample in every language. The bodies hold their HTML as it is sent. Raises RenderError."""
    compiled: list[Compiled] = [compile_body(body) for body in sorted(bodies, key=lambda body: body.locale)]
    shots = []
    for one in compiled:
        for number, sample in enumerate(samples, 1):
            rendered = one.render(values_of(schema, sample) | SETTING)
            shots.append({"locale": one.locale, "sample": number} | {part: getattr(rendered, part) for part in PARTS})
    return shots


def differences(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """What reads differently, sample by sample; a sample or language that came or went is shown whole."""
    old, new = ({(shot["locale"], shot["sample"]): shot for shot in shots} for shots in (before, now))
    found = []
    for locale, sample in sorted({*old, *new}):
        earlier, later = old.get((locale, sample), {}), new.get((locale, sample), {})
        for part in PARTS:
            lines = [
                line
                for line in unified_diff(_lines(earlier.get(part, "")), _lines(later.get(part, "")), lineterm="", n=1)
                if not line.startswith(("---", "+++", "@@"))
            ]
            if lines:
                found.append(Difference(f"{locale}, sample {sample}, {'HTML' if part == 'html' else part}", lines))
    return found


def _lines(text: str) -> list[str]:
    """HTML is inlined into long lines: an element a line can be compared."""
    return re.sub(r">\s*<", ">\n<", text).splitlines()
