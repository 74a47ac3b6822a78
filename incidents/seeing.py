"""Who sees which incidents, one rule for pages, the API and streams: a restricted one is not for everybody."""

from config.authentication import Caller
from config.models import Scope, User
from incidents.models import Incident
from incidents.models.incident import IncidentQuerySet


def seen_by(viewer: object) -> IncidentQuerySet:
    """A person's own restricted ones, or all by permission; a key's by its scope. Nobody and a bare account: none."""
    if isinstance(viewer, Caller):
        return (
            Incident.objects.all() if Scope.INCIDENTS_RESTRICTED in viewer.scopes else Incident.objects.unrestricted()
        )
    if isinstance(viewer, User) and not viewer.is_service:
        return Incident.objects.visible_to(viewer)
    return Incident.objects.unrestricted()
