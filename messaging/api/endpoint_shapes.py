"""Endpoints, their deliveries and comparisons as JSON, in and out."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from config.api import Moment, Text
from config.schema import Strict
from consent.models import ANY, Channel
from messaging.models import Endpoint, Reconciliation, WebhookAttempt, WebhookDelivery, WebhookReplay


class Exact(Strict):
    """What a caller sends. An unknown field is refused: a misspelt one would change what is meant."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            names = [str(name)[:200] for name in sorted(unknown)]
            raise serializers.ValidationError(dict.fromkeys(names, "There is no such field."), code="unknown_field")
        return super().to_internal_value(data)


class NewEndpoint(Exact):
    name = serializers.RegexField(r"\A[a-z0-9][a-z0-9-]{0,49}\Z", help_text="Small letters, digits and hyphens.")
    about = serializers.ChoiceField(Endpoint.About.choices, required=False, help_text="For good; choices if not given.")
    url = Text(max_length=500, help_text="https, on the public internet.")
    owner = Text(max_length=100, help_text="Whom to call when it fails.")
    purposes = serializers.ListField(child=Text(max_length=50), required=False, max_length=100)
    channels = serializers.ListField(child=serializers.ChoiceField(Channel.choices), required=False, max_length=6)
    with_user_ids = serializers.BooleanField(required=False)

    def validate_name(self, name: str) -> str:
        if Endpoint.objects.filter(name=name).exists():
            raise serializers.ValidationError("This name is taken.", code="unique")
        return name


class EndpointChange(Exact):
    url = Text(max_length=500, required=False)
    owner = Text(max_length=100, required=False)
    purposes = serializers.ListField(child=Text(max_length=50), required=False, max_length=100)
    channels = serializers.ListField(child=serializers.ChoiceField(Channel.choices), required=False, max_length=6)
    with_user_ids = serializers.BooleanField(required=False)
    reason = Text(max_length=200)


class EndpointReason(Exact):
    reason = Text(max_length=200)


class SecretRotation(EndpointReason):
    overlap_hours = serializers.IntegerField(
        min_value=0, max_value=720, default=24, help_text="How long the secret before signs beside the new one."
    )


class EndpointReplay(EndpointReason):
    since = Moment(required=False)


class EndpointShown(serializers.ModelSerializer[Endpoint]):
    failures_in_a_row = serializers.IntegerField(source="health.failures_in_a_row")
    last_success_at = serializers.DateTimeField(source="health.last_success_at", allow_null=True)
    last_failure_at = serializers.DateTimeField(source="health.last_failure_at", allow_null=True)
    last_error = serializers.CharField(source="health.last_error", allow_blank=True)

    class Meta:
        model = Endpoint
        fields = [
            "name", "about", "url", "owner", "purposes", "channels", "with_user_ids", "state", "state_reason",
            "state_changed_at", "state_changed_by", "failures_in_a_row", "last_success_at", "last_failure_at",
            "last_error", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class SecretShown(EndpointShown):
    secret = serializers.CharField(help_text="whsec_…: shown this once.")

    class Meta(EndpointShown.Meta):
        fields = [*EndpointShown.Meta.fields, "secret"]
        read_only_fields = fields


class AttemptShown(serializers.ModelSerializer[WebhookAttempt]):
    class Meta:
        model = WebhookAttempt
        fields = ["number", "started_at", "ended_at", "status", "reply", "error"]
        read_only_fields = fields


class DeliveryShown(serializers.ModelSerializer[WebhookDelivery]):
    id = serializers.CharField(source="webhook_id", help_text="The `webhook-id` header.")
    type = serializers.CharField(source="kind")
    subject = serializers.UUIDField(source="subject_id", allow_null=True)
    attempts = AttemptShown(many=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "type", "subject", "purpose", "channel", "before", "after", "version", "occurred_at", "state",
            "not_before", "last_error", "settled_at", "attempts",
        ]  # fmt: skip
        read_only_fields = fields


class ReplayShown(serializers.ModelSerializer[WebhookReplay]):
    class Meta:
        model = WebhookReplay
        fields = ["what", "since", "count", "reason", "requested_at", "requested_by"]
        read_only_fields = fields


class DigestShape(Exact):
    purpose = Text(max_length=50)
    channel = serializers.ChoiceField([*Channel.values, ANY])
    opted_out = serializers.IntegerField(min_value=0, max_value=2**53)
    opted_in = serializers.IntegerField(min_value=0, max_value=2**53)
    digest = serializers.RegexField(r"\A[0-9a-f]{64}\Z")


class HeldState(Exact):
    held = serializers.ListField(child=DigestShape(), max_length=1000)


class StandingShown(serializers.Serializer[Any]):
    endpoint = serializers.CharField()
    behind = serializers.IntegerField(help_text="Deliveries that are owed, counted to ten thousand.")
    oldest_changed_at = serializers.DateTimeField(allow_null=True, help_text="When the oldest of them changed.")
    failed = serializers.IntegerField(help_text="Deliveries that were given up, counted to ten thousand.")
    unread = serializers.IntegerField(help_text="Changes that are not on their way to anybody yet.")
    last_success_at = serializers.DateTimeField(allow_null=True)
    held = DigestShape(many=True)


class ComparisonShown(serializers.ModelSerializer[Reconciliation]):
    findings = serializers.ListField(child=serializers.DictField(), help_text="Where the two differ.")

    class Meta:
        model = Reconciliation
        fields = ["outcome", "behind", "findings", "compared_at", "compared_by"]
        read_only_fields = fields


def given(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = shape(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
