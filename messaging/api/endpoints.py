"""Where changes are sent, over HTTP: services register themselves, rotate secrets, have things sent again, compare."""

from datetime import timedelta
from typing import Any, cast

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, views
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, idempotent
from config.authentication import Caller
from config.models import Scope
from config.schema import IDEMPOTENCY_KEY
from messaging.api import endpoint_shapes as shapes
from messaging.models import Endpoint, WebhookDelivery
from messaging.propagation import endpoints, reconciliation, replaying

READ, WRITE = Scope.ENDPOINTS_READ, Scope.ENDPOINTS_WRITE


class EndpointsView(generics.ListAPIView[Endpoint]):
    """Endpoints: where changes are sent."""

    queryset = Endpoint.objects.select_related("health")
    serializer_class = shapes.EndpointShown
    pagination_class = CursorPagination
    ordering = "name"
    filterset_fields = ["state"]
    scopes = {"GET": READ, "POST": WRITE}

    @extend_schema(operation_id="endpoints_create", request=shapes.NewEndpoint, responses={201: shapes.SecretShown})
    def post(self, request: Request) -> Response:
        """Register an endpoint. Its secret is in this answer and in no other. It is told what changes from now on."""
        facts = shapes.given(shapes.NewEndpoint, request)
        endpoint, secret = endpoints.create(**facts, by=caller(request))
        return Response({**shapes.EndpointShown(endpoint).data, "secret": secret}, status=201)


class OfEndpoint(views.APIView):
    """A view below one endpoint's address."""

    scopes = {"GET": READ, "POST": WRITE, "PATCH": WRITE}

    def endpoint(self, name: str) -> Endpoint:
        found = Endpoint.objects.select_related("health").filter(name=name).first() if "\x00" not in name else None
        if found is None:
            raise Http404
        return found


class EndpointView(OfEndpoint):
    @extend_schema(operation_id="endpoints_read", responses=shapes.EndpointShown)
    def get(self, request: Request, name: str) -> Response:
        """One endpoint."""
        return Response(shapes.EndpointShown(self.endpoint(name)).data)

    @extend_schema(operation_id="endpoints_change", request=shapes.EndpointChange, responses=shapes.EndpointShown)
    def patch(self, request: Request, name: str) -> Response:
        """Change its address, its owner or what it is told."""
        facts = shapes.given(shapes.EndpointChange, request)
        reason = facts.pop("reason")
        endpoints.change(self.endpoint(name), facts, reason=reason, by=caller(request))
        return Response(shapes.EndpointShown(self.endpoint(name)).data)


class PauseView(OfEndpoint):
    scopes = {"POST": WRITE}

    @extend_schema(operation_id="endpoints_pause", request=shapes.EndpointReason, responses=shapes.EndpointShown)
    def post(self, request: Request, name: str) -> Response:
        """Call it no more for a while. What is owed meanwhile is kept."""
        endpoints.pause(self.endpoint(name), **shapes.given(shapes.EndpointReason, request), by=caller(request))
        return Response(shapes.EndpointShown(self.endpoint(name)).data)


class ResumeView(OfEndpoint):
    scopes = {"POST": WRITE}

    @extend_schema(operation_id="endpoints_resume", request=shapes.EndpointReason, responses=shapes.EndpointShown)
    def post(self, request: Request, name: str) -> Response:
        """Call it again, also after it said 410; what is owed is sent, the oldest first."""
        endpoints.resume(self.endpoint(name), **shapes.given(shapes.EndpointReason, request), by=caller(request))
        return Response(shapes.EndpointShown(self.endpoint(name)).data)


class RotateView(OfEndpoint):
    scopes = {"POST": WRITE}

    @extend_schema(operation_id="endpoints_rotate", request=shapes.SecretRotation, responses=shapes.SecretShown)
    def post(self, request: Request, name: str) -> Response:
        """A new secret, in this answer and in no other. Until the overlap ends, calls bear both signatures."""
        asked = shapes.given(shapes.SecretRotation, request)
        overlap = timedelta(hours=asked["overlap_hours"])
        secret = endpoints.rotate(self.endpoint(name), reason=asked["reason"], overlap=overlap, by=caller(request))
        return Response({**shapes.EndpointShown(self.endpoint(name)).data, "secret": secret})


class ReplayView(OfEndpoint):
    scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="endpoints_replay",
        request=shapes.EndpointReplay,
        responses={201: shapes.ReplayShown},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """Send again under the same ids: what was given up, or, with `since`, whatever changed since that moment."""
        asked, endpoint = shapes.given(shapes.EndpointReplay, request), self.endpoint(name)
        by = caller(request)
        if since := asked.get("since"):
            done = replaying.replay_since(endpoint, since, reason=asked["reason"], by=by)
        else:
            done = replaying.replay_failed(endpoint, reason=asked["reason"], by=by)
        return Response(shapes.ReplayShown(done).data, status=201)


class DeliveriesView(generics.ListAPIView[WebhookDelivery]):
    """What it was told and is owed, newest first, with every call."""

    serializer_class = shapes.DeliveryShown
    pagination_class = CursorPagination
    ordering = ("-created_at", "-id")
    filterset_fields = ["state", "kind"]
    scopes = {"GET": READ}
    queryset = WebhookDelivery.objects.none()

    @extend_schema(operation_id="endpoints_deliveries")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        name = self.kwargs["name"]
        endpoint = Endpoint.objects.filter(name=name).first() if "\x00" not in name else None
        if endpoint is None:
            raise Http404
        return WebhookDelivery.objects.filter(endpoint=endpoint).prefetch_related("attempts")


class ReconciliationView(OfEndpoint):
    @extend_schema(operation_id="endpoints_standing", responses=shapes.StandingShown)
    def get(self, request: Request, name: str) -> Response:
        """How far behind it is, and what is held here per purpose and channel. `digest`: the XOR of the SHA-256 of
        `{subject}|{purpose}|{channel}|{state}` over all keys with a state, in hexadecimal; merged records left out.
        """
        endpoint = self.endpoint(name)
        standing = reconciliation.standing_of(endpoint)
        shown = shapes.StandingShown(
            {
                "endpoint": endpoint.name,
                "behind": standing.behind,
                "oldest_changed_at": standing.oldest,
                "failed": standing.failed,
                "unread": reconciliation.unread(),
                "last_success_at": endpoint.health.last_success_at,
                "held": reconciliation.digests(endpoint),
            }
        )
        return Response(shown.data)

    @extend_schema(operation_id="endpoints_compare", request=shapes.HeldState, responses={201: shapes.ComparisonShown})
    def post(self, request: Request, name: str) -> Response:
        """Tell what you hold; the answer says whether it is the same. While you are behind, a difference proves nothing
        and is `unmeasured`.
        """
        told = [reconciliation.Digest(**held) for held in shapes.given(shapes.HeldState, request)["held"]]
        result = reconciliation.compare(self.endpoint(name), told, by=caller(request))
        return Response(shapes.ComparisonShown(result).data, status=201)


def caller(request: Request) -> str:
    return cast(Caller, request.auth).actor
