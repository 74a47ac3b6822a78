"""What fires now and what did: groups of alerts, each with the incident that answers for it."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers

from config.api import CursorPagination
from config.models import Scope
from incidents.models import AlertGroup
from incidents.seeing import seen_by


class AlertGroupShown(serializers.ModelSerializer[AlertGroup]):
    source = serializers.CharField(source="source.name", help_text="Who sends it.")  # type: ignore[assignment]
    incident = serializers.CharField(source="incident.ref", help_text="The incident that answers for it.")
    firing = serializers.SerializerMethodField()
    resolved = serializers.SerializerMethodField()

    class Meta:
        model = AlertGroup
        fields = [
            "id", "source", "group_key", "title", "state", "incident", "firing", "resolved", "truncated_count",
            "delivery_count", "first_at", "last_at",
        ]  # fmt: skip

    def get_firing(self, group: AlertGroup) -> int:
        return sum(alert["state"] == AlertGroup.State.FIRING for alert in group.fingerprints.values())

    def get_resolved(self, group: AlertGroup) -> int:
        return len(group.fingerprints) - self.get_firing(group)


@extend_schema_view(get=extend_schema(operation_id="alerts_list"))
class AlertsView(generics.ListAPIView[Any]):
    """Groups of alerts, newest first, with how many of each fire. `truncated_count` are those a sender did not show."""

    queryset = AlertGroup.objects.none()
    serializer_class = AlertGroupShown
    pagination_class = CursorPagination
    ordering = "-id"
    filterset_fields = ["state"]
    scopes = {"GET": Scope.INCIDENTS_READ}

    def get_queryset(self) -> QuerySet[AlertGroup]:
        if self.request.auth is None:  # the schema is made without a caller
            return AlertGroup.objects.none()
        return AlertGroup.objects.filter(incident__in=seen_by(self.request.auth)).select_related("source", "incident")
