"""What a person may say yes or no to, and the ways out that exist."""

from typing import Any

from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, Text, idempotent
from config.models import Scope
from consent.models import ExitPath, Purpose


class PurposeSerializer(serializers.ModelSerializer[Purpose]):
    name = Text(max_length=100)
    description = Text(max_length=2000, lines=True, required=False, allow_blank=True)

    class Meta:
        model = Purpose
        fields = ["code", "name", "description", "regime", "is_covered_by_gpc", "is_public", "position"]


class ExitPathSerializer(serializers.ModelSerializer[ExitPath]):
    class Meta:
        model = ExitPath
        fields = ["code", "name", "kind", "owner", "url", "is_active", "last_used_at"]
        read_only_fields = fields


class PurposesView(generics.ListCreateAPIView[Purpose]):
    """Purposes. A code stands in decisions and never changes; officers edit the rest in the admin."""

    queryset = Purpose.objects.all()
    serializer_class = PurposeSerializer
    pagination_class = CursorPagination
    ordering = "code"
    scopes = {"POST": Scope.PURPOSES_WRITE}
    filter_backends: list[Any] = []

    @idempotent
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Register a purpose."""
        return self.create(request, *args, **kwargs)

    def perform_create(self, serializer: serializers.BaseSerializer[Purpose]) -> None:
        purpose = Purpose(**serializer.validated_data)
        purpose.full_clean()
        purpose.save_as(self.request.user, "Registered by a service", force_insert=True)
        serializer.instance = purpose


class ExitPathsView(generics.ListAPIView[ExitPath]):
    """The registered ways out, with the moment each was last used. Officers register them in the admin."""

    queryset = ExitPath.objects.all()
    serializer_class = ExitPathSerializer
    pagination_class = CursorPagination
    ordering = "code"
    scopes: dict[str, str] = {}
    filter_backends: list[Any] = []
