"""Which messages belong to an incident is known above this app: there it is registered how to ask."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q


@dataclass(frozen=True, slots=True)
class Incidents:
    """`newest` gives (reference, title) of the latest that a viewer may see; `messages_of` the messages of a reference,
    as a condition that nothing meets where the viewer may not see it.
    """

    newest: Callable[[Any], list[tuple[str, str]]]
    messages_of: Callable[[str, Any], Q]


REGISTERED: list[Incidents] = []
