"""Which messages belong to an incident is known above this app: there it is registered how to ask."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Q


@dataclass(frozen=True, slots=True)
class Incidents:
    """`newest` gives (reference, title) of the latest; `messages_of` the messages of a reference, as a condition."""

    newest: Callable[[], list[tuple[str, str]]]
    messages_of: Callable[[str], Q]


REGISTERED: list[Incidents] = []
