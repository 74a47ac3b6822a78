"""What services report so that alarms can be explained: sends, which are expected to make people leave, and changes."""

from typing import Any, cast

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, Moment, Text, idempotent
from config.authentication import Caller
from config.models import Scope
from config.problems import Fault, invalid
from config.schema import IDEMPOTENCY_KEY
from incidents.api.shapes import Given, given
from incidents.detection.sends import mark
from incidents.models import Marker

OTHER_KINDS = [kind for kind in Marker.Kind.values if kind != Marker.Kind.SEND]


class NewSend(Given):
    title = Text(max_length=200, help_text="What people would know it by: the campaign's name.")
    size = serializers.IntegerField(min_value=1, max_value=2_000_000_000, help_text="To how many people it goes.")
    purpose = Text(max_length=50, help_text="A registered code, or * for all.")
    channel = Text(max_length=10)
    started_at = Moment(help_text="When the first one leaves.")
    family = Text(
        max_length=50, required=False, allow_blank=True, help_text="Sends of one family teach what the next leads to."
    )
    key = Text(max_length=200, help_text="Your own name for it. Reported twice, it is one.")
    url = serializers.URLField(max_length=500, required=False, allow_blank=True)


class NewMarker(Given):
    kind = serializers.ChoiceField(OTHER_KINDS)
    title = Text(max_length=200)
    at = Moment()
    purpose = Text(max_length=50, required=False, allow_blank=True, help_text="Empty: it may concern any.")
    channel = Text(max_length=10, required=False, allow_blank=True)
    key = Text(max_length=200, help_text="Your own name for it. Reported twice, it is one.")
    url = serializers.URLField(max_length=500, required=False, allow_blank=True)


class MarkerShown(serializers.ModelSerializer[Marker]):
    id = serializers.CharField(read_only=True)
    url = serializers.CharField(read_only=True, help_text="Empty where none was given.")

    class Meta:
        model = Marker
        fields = [
            "id", "kind", "title", "at", "size", "purpose", "channel", "family", "source", "key", "url", "recorded_at",
        ]  # fmt: skip
        read_only_fields = fields


class SendsView(generics.GenericAPIView[Marker]):
    serializer_class = NewSend
    scopes = {"POST": Scope.INCIDENTS_WRITE}

    @extend_schema(
        operation_id="sends_report",
        request=NewSend,
        responses={201: MarkerShown, 200: MarkerShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Report a send when it begins. The opt-outs that it usually leads to raise no alarm; more than that do."""
        facts = given(NewSend, request)
        facts["at"] = facts.pop("started_at")
        return _marked(request, Marker.Kind.SEND, facts)


@extend_schema_view(get=extend_schema(operation_id="markers_list"))
class MarkersView(generics.ListAPIView[Marker]):
    """Sends, deployments and changes, newest first."""

    queryset = Marker.objects.all()
    serializer_class = MarkerShown
    pagination_class = CursorPagination
    ordering = "-id"
    filterset_fields = ["kind"]
    scopes = {"GET": Scope.INCIDENTS_READ, "POST": Scope.INCIDENTS_WRITE}

    @extend_schema(
        operation_id="markers_report",
        request=NewMarker,
        responses={201: MarkerShown, 200: MarkerShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Report a deployment or a change. An alarm that follows names it among its candidate causes."""
        facts = given(NewMarker, request)
        return _marked(request, facts.pop("kind"), facts)


def _marked(request: Request, kind: str, facts: dict[str, Any]) -> Response:
    """201 for a new one, 200 for one that is known. Its title says what it is; the reporter's key says which."""
    caller = cast(Caller, request.auth)
    try:
        marker, is_new = mark(
            kind, facts.pop("title"), at=facts.pop("at"), source=caller.actor, key=facts.pop("key"), **facts
        )
    except ValidationError as error:
        told = {"at": "started_at"} if kind == Marker.Kind.SEND else {}
        faults = [
            Fault(f"/{told.get(name, name)}", "invalid", text)
            for name, texts in error.message_dict.items()
            for text in texts
        ]
        raise invalid(faults) from error
    return Response(MarkerShown(marker).data, status=201 if is_new else 200)
