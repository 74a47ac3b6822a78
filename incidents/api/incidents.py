"""Incidents, each below its own address."""

import re
from typing import Any, cast

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, views
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, idempotent
from config.authentication import Caller
from config.models import Scope
from config.schema import IDEMPOTENCY_KEY
from consent.models import Decision
from incidents import services
from incidents.api.shapes import (
    Containment,
    DecisionShown,
    IncidentShown,
    LineShown,
    NewIncident,
    NewNote,
    NewScope,
    NewWindow,
    Reason,
    StoryShown,
    given,
    told,
)
from incidents.models import DecisionLink, Incident
from incidents.timeline import Line, Place, Source, story

REF = re.compile(r"INC-[0-9]{1,9}")
READ, WRITE = Scope.INCIDENTS_READ, Scope.INCIDENTS_WRITE
PAGE = 100


@extend_schema_view(get=extend_schema(operation_id="incidents_list"))
class IncidentsView(generics.ListAPIView[Incident]):
    """Incidents, newest first."""

    queryset = Incident.objects.select_related("commander")
    serializer_class = IncidentShown
    pagination_class = CursorPagination
    ordering = "-id"
    filterset_fields = ["status", "mode", "severity"]
    scopes = {"GET": READ, "POST": WRITE}

    @extend_schema(
        operation_id="incidents_declare",
        request=NewIncident,
        responses={201: IncidentShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Declare an incident. Decisions in its window and scope are tied to it, also those that came before."""
        facts = given(NewIncident, request)
        incident = services.declare(**facts, by=_caller(request), source=Source.API)
        return Response(IncidentShown(incident).data, status=201)


class OfIncident(views.APIView):
    """What lies below one incident's address."""

    scopes: dict[str, str] = {"GET": READ, "POST": WRITE, "PATCH": WRITE}

    def incident(self, ref: str) -> Incident:
        found = Incident.objects.select_related("commander").filter(ref=ref).first() if REF.fullmatch(ref) else None
        if found is None:
            raise Http404
        return found


class IncidentView(OfIncident):
    @extend_schema(operation_id="incidents_read", responses=IncidentShown)
    def get(self, request: Request, ref: str) -> Response:
        """One incident."""
        return Response(IncidentShown(self.incident(ref)).data)


class WindowView(OfIncident):
    @extend_schema(operation_id="incidents_window", request=NewWindow, responses=IncidentShown)
    def patch(self, request: Request, ref: str) -> Response:
        """Move its start or end. What comes to lie inside is tied; what was tied stays tied."""
        incident, facts = self.incident(ref), given(NewWindow, request)
        begins = facts.get("occurred_from", incident.occurred_from)
        ends = facts.get("occurred_to", incident.occurred_to)
        done = services.set_window(
            incident, begins, ends, reason=facts["reason"], by=_caller(request), source=Source.API
        )
        return Response(IncidentShown(done).data)


class ScopeView(OfIncident):
    @extend_schema(operation_id="incidents_scope", request=NewScope, responses=IncidentShown)
    def patch(self, request: Request, ref: str) -> Response:
        """Change which purposes and ways out it is about. What was tied stays tied."""
        incident, facts = self.incident(ref), given(NewScope, request)
        done = services.change_scope(
            incident,
            purposes=facts.get("purposes", incident.purposes),
            exit_paths=facts.get("exit_paths", incident.exit_paths),
            reason=facts["reason"],
            by=_caller(request),
            source=Source.API,
        )
        return Response(IncidentShown(done).data)


class ContainView(OfIncident):
    @extend_schema(
        operation_id="incidents_contain",
        request=Containment,
        responses=IncidentShown,
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """It does no more harm."""
        facts = given(Containment, request)
        done = services.contain(self.incident(ref), **facts, by=_caller(request), source=Source.API)
        return Response(IncidentShown(done).data)


class CloseView(OfIncident):
    @extend_schema(
        operation_id="incidents_close", request=Reason, responses=IncidentShown, parameters=[IDEMPOTENCY_KEY]
    )
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """It is over, and its window ends now."""
        facts = given(Reason, request)
        return Response(
            IncidentShown(services.close(self.incident(ref), **facts, by=_caller(request), source=Source.API)).data
        )


class TimelineView(OfIncident):
    @extend_schema(
        operation_id="incidents_timeline",
        parameters=[OpenApiParameter("cursor", OpenApiTypes.STR, description="As `next` gave it.")],
        responses=StoryShown,
    )
    def get(self, request: Request, ref: str) -> Response:
        """The whole story, newest first: entries, and the tied decisions of each minute."""
        incident = self.incident(ref)
        cursor = request.query_params.get("cursor")
        try:
            page = story(incident, Place.read(cursor) if cursor is not None else None, size=PAGE)
        except ValueError as error:
            raise Http404 from error
        following = request.build_absolute_uri(f"?cursor={page.next}") if page.next else None
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
        facts = given(NewNote, request)
        entry = services.add_note(self.incident(ref), **facts, by=_caller(request), source=Source.API)
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


def _caller(request: Request) -> str:
    return cast(Caller, request.auth).actor
