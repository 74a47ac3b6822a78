"""What services hold, key by key, over HTTP: a report in parts, and what was found to differ."""

from datetime import datetime
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers, views
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, Fault, Moment, Text, TextFilter, idempotent, invalid
from config.models import Scope
from config.schema import IDEMPOTENCY_KEY
from consent.models import Channel, Choice
from messaging.api.endpoint_shapes import Exact, given
from messaging.api.endpoints import caller
from messaging.api.persons import Person, named
from messaging.models import Difference, Endpoint, StateReport
from messaging.propagation import differing, reports

READ, WRITE = Scope.ENDPOINTS_READ, Scope.ENDPOINTS_WRITE


class HeldKey(Exact):
    subject = Person()
    purpose = Text(max_length=50)
    channel = serializers.ChoiceField(Channel.choices)
    state = serializers.ChoiceField(Choice.choices, help_text="opt_in: you would write. opt_out: you would not.")
    since = Moment(required=False, help_text="Since when, where you know it.")


class ReportPart(Exact):
    endpoint = Text(max_length=50)
    name = Text(max_length=100, help_text="Your own: parts under the same name are one report.")
    held_at = Moment(required=False, help_text="When you looked; of the first part. Now, if not given.")
    rows = serializers.ListField(child=HeldKey(), max_length=differing.MOST)


class ReportEnd(Exact):
    complete = serializers.BooleanField(help_text="true: whom it does not name you do not know.")


class ReportShown(serializers.ModelSerializer[StateReport]):
    id = serializers.CharField(read_only=True)
    endpoint = serializers.CharField(source="endpoint.name")

    class Meta:
        model = StateReport
        fields = [
            "id", "endpoint", "name", "held_at", "started_at", "started_by", "finished_at", "finished_by",
            "is_complete", "rows", "same", "unmeasured", "differing", "recorded",
        ]  # fmt: skip
        read_only_fields = fields


class DifferenceShown(serializers.ModelSerializer[Difference]):
    id = serializers.CharField(read_only=True)
    endpoint = serializers.CharField(source="endpoint.name")
    subject = serializers.UUIDField(source="subject_id", allow_null=True)
    decision = serializers.SerializerMethodField(help_text="What holds here, or what was taken down.")

    class Meta:
        model = Difference
        fields = [
            "id", "endpoint", "kind", "subject", "purpose", "channel", "theirs", "theirs_at", "ours", "ours_at",
            "decision", "found_at", "times_seen", "told_again_at", "lasts_since", "settled_at", "settled_by",
            "settled_reason",
        ]  # fmt: skip
        read_only_fields = fields

    def get_decision(self, difference: Difference) -> str | None:
        return None if difference.decision_id is None else str(difference.decision_id)


class ReportFilter(FilterSet):
    endpoint = TextFilter(field_name="endpoint__name", max_length=50)


class DifferenceFilter(ReportFilter):
    kind = django_filters.ChoiceFilter(choices=Difference.Kind.choices)
    open = django_filters.BooleanFilter(field_name="settled_at", lookup_expr="isnull")


@extend_schema_view(get=extend_schema(operation_id="reconciliations_list"))
class ReportsView(generics.ListAPIView[StateReport]):
    """Reports of what services hold, the newest first."""

    queryset = StateReport.objects.select_related("endpoint")
    serializer_class = ReportShown
    pagination_class = CursorPagination
    ordering = "-id"
    scopes = {"GET": READ, "POST": WRITE}
    filter_backends = (DjangoFilterBackend,)
    filterset_class = ReportFilter

    @extend_schema(
        operation_id="reconciliations_report",
        request=ReportPart,
        responses={201: ReportShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Tell what you hold, up to 1000 keys a call. Whom you would write to although they opted out, you are told of
        again; a no that nobody here knew is taken down.
        """
        part = given(ReportPart, request)
        endpoint = Endpoint.objects.filter(name=part["endpoint"]).first()
        if endpoint is None:
            raise invalid([Fault("/endpoint", "unknown", "No such endpoint. Register it first.")])
        return Response(ReportShown(_compared(endpoint, part, caller(request))).data, status=201)


class ReportView(generics.RetrieveAPIView[StateReport]):
    """One report."""

    queryset = StateReport.objects.select_related("endpoint")
    serializer_class = ReportShown
    filter_backends: tuple[Any, ...] = ()
    scopes = {"GET": READ}


class FinishView(views.APIView):
    scopes = {"POST": WRITE}

    @extend_schema(operation_id="reconciliations_finish", request=ReportEnd, responses=ReportShown)
    def post(self, request: Request, pk: int) -> Response:
        """No more parts come. A second call changes nothing."""
        told = given(ReportEnd, request)
        report = StateReport.objects.filter(pk=pk).first()
        if report is None:
            raise Http404
        reports.finish(report, is_complete=told["complete"], by=caller(request))
        return Response(ReportShown(StateReport.objects.select_related("endpoint").get(pk=pk)).data)


@extend_schema_view(get=extend_schema(operation_id="reconciliations_differences"))
class DifferencesView(generics.ListAPIView[Difference]):
    """What differs, or did, between services and here; the newest first."""

    serializer_class = DifferenceShown
    pagination_class = CursorPagination
    ordering = "-id"
    scopes = {"GET": READ}
    filter_backends = (DjangoFilterBackend,)
    filterset_class = DifferenceFilter

    def get_queryset(self) -> QuerySet[Difference]:
        return Difference.objects.select_related("endpoint")


def _compared(endpoint: Endpoint, part: dict[str, Any], by: str) -> StateReport:
    held_at: datetime | None = part.get("held_at")
    report = reports.begin(endpoint, part["name"], held_at=held_at, by=by)
    rows = [differing.Held(**{**row, "subject": named(row["subject"])}) for row in part["rows"]]
    try:
        differing.compare(report, rows)
    except ValidationError as error:
        if not hasattr(error, "error_dict"):
            raise
        faults = [Fault(f"/rows/{place}", "invalid", " ".join(texts)) for place, texts in error.message_dict.items()]
        raise invalid(faults) from error
    return StateReport.objects.select_related("endpoint").get(pk=report.pk)
