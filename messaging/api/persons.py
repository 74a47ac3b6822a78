"""A person as services name them outside of decisions: by one address, or by the id that they were given."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from rest_framework import serializers

from config.api import Text
from consent.identifiers import Identity
from messaging.api.endpoint_shapes import Exact


class Person(Exact):
    """Exactly one of them."""

    email = Text(max_length=254, required=False)
    phone = Text(max_length=50, required=False, help_text="With country code, like +49 30 901820.")
    user_id = Text(max_length=200, required=False)
    id = serializers.UUIDField(required=False, help_text="As an earlier answer gave it.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Name one of email, phone, user_id and id.", code="invalid")
        [(kind, value)] = attrs.items()
        if kind != "id":
            try:
                return {"named": Identity.of(kind, value)}
            except ValidationError as error:
                raise serializers.ValidationError({kind: [error.message]}, code=error.code) from error
        return {"named": value}


def named(person: dict[str, Any]) -> UUID | Identity:
    found: UUID | Identity = person["named"]
    return found
