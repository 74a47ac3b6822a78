"""Incidents, each below its own address."""

import re
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.http import Http404
from django.utils.http import urlencode
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, views
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, idempotent
from config.authentication import Caller
from config.models import Scope
from config.problems import Fault, invalid
from config.schema import IDEMPOTENCY_KEY
from consent.models import Decision
from incidents import facts, services
from incidents.api.case_shapes import Closing, Description, Step
from incidents.api.shapes import (
    DecisionShown,
    IncidentShown,
    LineShown,
    NewIncident,
    NewNote,
    NewScope,
    NewWindow,
    StoryShown,
    given,
    told,
)
from incidents.models import DecisionLink, Incident
from incidents.models.incident import IncidentQuerySet
from incidents.seeing import seen_by
from incidents.timeline import Kind, Line, Place, Source, story

REF = re.compile(r"INC-[0-9]{1,9}")
READ, WRITE = Scope.INCIDENTS_READ, Scope.INCIDENTS_WRITE
PAGE = 100


def caller_of(request: Request) -> str:
    return cast(Caller, request.auth).actor


@extend_schema_view(get=extend_schema(operation_id="incidents_list"))
class IncidentsView(generics.ListAPIView[Incident]):
    """Incidents, newest first."""

    queryset = Incident.objects.none()
    serializer_class = IncidentShown
    pagination_class = CursorPagination
    ordering = "-id"
    filterset_fields = ["status", "mode", "severity", "priority", "type", "is_near_miss"]
    scopes = {"GET": READ, "POST": WRITE}

    def get_queryset(self) -> IncidentQuerySet:
        if self.request.auth is None:  # the schema is made without a caller
            return Incident.objects.none()
        return seen_by(self.request.auth).select_related("commander", "duplicate_of")

    @extend_schema(
        operation_id="incidents_declare",
        request=NewIncident,
        responses={201: IncidentShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Declare an incident. Decisions in its window and scope are tied to it, also those that came before."""
        sent = given(NewIncident, request)
        incident = services.declare(**sent, by=caller_of(request), source=Source.API)
        return Response(IncidentShown(incident).data, status=201)


class OfIncident(views.APIView):
    """What lies below one incident's address."""

    scopes: dict[str, str] = {"GET": READ, "POST": WRITE, "PATCH": WRITE}

    def incident(self, ref: str) -> Incident:
        seen = seen_by(self.request.auth).select_related("commander", "duplicate_of")
        found = seen.filter(ref=ref).first() if REF.fullmatch(ref) else None
        if found is None:
            raise Http404
        return found

    def other(self, ref: str) -> Incident:
        """One that the body names. Raises ValidationError by field."""
        found = seen_by(self.request.auth).filter(ref=ref).first()
        if found is None:
            raise ValidationError({"other": "There is no such incident."})
        return found


class IncidentView(OfIncident):
    @extend_schema(operation_id="incidents_read", responses=IncidentShown)
    def get(self, request: Request, ref: str) -> Response:
        """One incident."""
        return Response(IncidentShown(self.incident(ref)).data)

    @extend_schema(operation_id="incidents_describe", request=Description, responses=IncidentShown)
    def patch(self, request: Request, ref: str) -> Response:
        """Change its words, severity, type or near-miss entry, with a reason."""
        told = given(Description, request)
        done = facts.describe(self.incident(ref), **told, by=caller_of(request), source=Source.API)
        return Response(IncidentShown(done).data)


class WindowView(OfIncident):
    @extend_schema(operation_id="incidents_window", request=NewWindow, responses=IncidentShown)
    def patch(self, request: Request, ref: str) -> Response:
        """Move its start or end. What comes to lie inside is tied; what was tied stays tied."""
        incident, sent = self.incident(ref), given(NewWindow, request)
        begins = sent.get("occurred_from", incident.occurred_from)
        ends = sent.get("occurred_to", incident.occurred_to)
        done = services.set_window(
            incident, begins, ends, reason=sent["reason"], by=caller_of(request), source=Source.API
        )
        return Response(IncidentShown(done).data)


class ScopeView(OfIncident):
    @extend_schema(operation_id="incidents_scope", request=NewScope, responses=IncidentShown)
    def patch(self, request: Request, ref: str) -> Response:
        """Change which purposes and ways out it is about. What was tied stays tied."""
        incident, sent = self.incident(ref), given(NewScope, request)
        done = services.change_scope(
            incident,
            purposes=sent.get("purposes", incident.purposes),
            exit_paths=sent.get("exit_paths", incident.exit_paths),
            reason=sent["reason"],
            by=caller_of(request),
            source=Source.API,
        )
        return Response(IncidentShown(done).data)


class ContainView(OfIncident):
    @extend_schema(
        operation_id="incidents_contain",
        request=Step,
        responses=IncidentShown,
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """It does no more harm."""
        sent = given(Step, request)
        done = services.contain(self.incident(ref), **sent, by=caller_of(request), source=Source.API)
        return Response(IncidentShown(done).data)


class CloseView(OfIncident):
    @extend_schema(
        operation_id="incidents_close", request=Closing, responses=IncidentShown, parameters=[IDEMPOTENCY_KEY]
    )
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """It is over, and its window ends now."""
        sent = given(Closing, request)
        return Response(
            IncidentShown(services.close(self.incident(ref), **sent, by=caller_of(request), source=Source.API)).data
        )


class TimelineView(OfIncident):
    @extend_schema(
        operation_id="incidents_timeline",
        parameters=[
            OpenApiParameter("cursor", OpenApiTypes.STR, description="As `next` gave it."),
            OpenApiParameter(
                "kind", OpenApiTypes.STR, many=True, enum=Kind.values, description="Only lines of these kinds."
            ),
        ],
        responses=StoryShown,
    )
    def get(self, request: Request, ref: str) -> Response:
        """The whole story, newest first: entries, and the tied decisions of each minute."""
        incident = self.incident(ref)
        cursor, kinds = request.query_params.get("cursor"), request.query_params.getlist("kind")
        if unknown := sorted(set(kinds) - set(Kind.values)):
            raise invalid([Fault("kind", "unknown", f"There is no kind of line called {unknown[0][:50]!r}.")])
        try:
            page = story(incident, Place.read(cursor) if cursor is not None else None, size=PAGE, kinds=kinds)
        except ValueError as error:
            raise Http404 from error
        query = urlencode([("cursor", str(page.next)), *(("kind", kind) for kind in kinds)])
        following = request.build_absolute_uri(f"?{query}") if page.next else None
        return Response({"next": following, "previous": None, "results": [told(line) for line in page.lines]})

    @extend_schema(
        operation_id="incidents_note",
        request=NewNote,
        responses={201: LineShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Add a note."""
        sent = given(NewNote, request)
        digest = sent.pop("evidence_sha256", None)
        sent["evidence_digest"] = bytes.fromhex(digest) if digest else None
        entry = services.add_note(self.incident(ref), **sent, by=caller_of(request), source=Source.API)
        return Response(told(Line(Place(entry.occurred_at, 1, entry.seq), entry)), status=201)


class DecisionsView(generics.GenericAPIView[Any], OfIncident):
    """The decisions that are tied to it, newest first."""

    serializer_class = DecisionShown
    pagination_class = CursorPagination
    ordering = "-decision_id"
    filter_backends: list[Any] = []
    scopes = {"GET": READ}
    queryset = DecisionLink.objects.none()

    @extend_schema(operation_id="incidents_decisions")
    def get(self, request: Request, ref: str) -> Response:
        links = self.paginate_queryset(self.incident(ref).links.all()) or []
        decisions = Decision.objects.in_bulk([link.decision_id for link in links])
        shown = DecisionShown([decisions[link.decision_id] for link in links], many=True)
        return self.get_paginated_response(shown.data)
