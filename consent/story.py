"""What is known about a person, told by every app that knows something: choices here, messages and incidents above."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a person's story. `decision` ties lines of several apps to one decision; `url` leads to the record."""

    at: datetime
    kind: str
    text: str
    by: str = ""
    decision: int | None = None
    url: str = ""


Provider = Callable[[list[UUID]], Iterable[Entry]]
PROVIDERS: list[Provider] = []


def tell(subject_ids: list[UUID]) -> list[Entry]:
    """Everything about a person, newest first; ask with the ids of all subjects that were merged into one."""
    return sorted(
        (entry for provider in PROVIDERS for entry in provider(subject_ids)), key=lambda e: e.at, reverse=True
    )
