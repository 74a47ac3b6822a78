"""Which messages belong to an incident, and who may see it, is known above this app: there it is registered how to ask.

A viewer is a person at a desk (User) or a service's key (Caller).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet


@dataclass(frozen=True, slots=True)
class Incidents:
    """`newest` gives (reference, title) of the latest that a viewer may see; `messages_of` the messages of a reference,
    as a condition that nothing meets where the viewer may not see it; `visible` the ids of all that a viewer may see.
    """

    newest: Callable[[Any], list[tuple[str, str]]]
    messages_of: Callable[[str, Any], Q]
    visible: Callable[[Any], QuerySet[Any, Any]]


REGISTERED: list[Incidents] = []


def visible_to(viewer: Any) -> Q:
    """Of rows with an `incident_id`: those about no incident, and those about one that the viewer may see."""
    condition = Q(incident_id=None)
    for source in REGISTERED:
        condition |= Q(incident_id__in=source.visible(viewer))
    return condition
