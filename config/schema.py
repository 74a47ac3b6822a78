"""The interface described (OpenAPI 3.1): what every operation has in common is added here once."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key with the same request gets the first answer again, for a day, with "
    "`Idempotent-Replayed: true`. With another request: 422. While the first still runs: 409.",
)
PROBLEM = "application/problem+json"


class Strict(serializers.Serializer[Any]):
    """A shape in which unknown fields are refused, because a misspelt one would change what is meant."""


class StrictExtension(OpenApiSerializerExtension):
    target_class = Strict
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}


class ServiceKeyScheme(OpenApiAuthenticationExtension):
    target_class = "config.authentication.ServiceKeyAuthentication"
    name = "serviceKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "hf_<12>_<43>"}


class Schema(AutoSchema):
    """Adds the problem that every operation may answer, and the scope that a caller needs."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        scope = getattr(self.view, "scopes", {}).get(self.method)
        if scope:
            operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
        problem = {"schema": self._problem().ref}
        operation["responses"]["default"] = {
            "description": "A problem (RFC 9457): refused, or failed. Its `type` is stable.",
            "content": {PROBLEM: problem},
        }
        return operation

    def get_tags(self) -> list[str]:
        """The collection: /api/v1/decisions/{id}/receipt/ is about decisions."""
        return [self.path.removeprefix("/api/v1/").split("/")[0]]

    def _problem(self) -> ResolvedComponent:
        component = ResolvedComponent("Problem", ResolvedComponent.SCHEMA, SHAPE, object="Problem")
        self.registry.register_on_missing(component)
        return component


SHAPE = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Stable; ends with the code, like urn:holdfast:problem:invalid."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do."},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body, or the name of a query parameter or header.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
