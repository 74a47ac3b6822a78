"""Privacy requests over HTTP: a service hands one to the desk, and sees how far it has come."""

import hashlib
from typing import Any
from uuid import uuid4

import django_filters
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, Moment, MomentFilter, Text, idempotent, is_in_range
from config.authentication import Caller
from config.idempotency import claim_of
from config.models import Scope
from config.problems import Fault, invalid
from config.schema import IDEMPOTENCY_KEY
from consent.api import described
from consent.api.reading import subject_of
from consent.models import ANY, Channel, PrivacyRequest
from consent.requests import EVERYTHING, log_request, opt_out_at_once, problem_with
from consent.validation import purposes

Kind = PrivacyRequest.Kind


class ScopeSerializer(serializers.Serializer[Any]):
    """What an opt-out is about."""

    purpose = Text(max_length=50)
    channel = serializers.ChoiceField([*Channel.values, ANY])

    def validate_purpose(self, code: str) -> str:
        if code != ANY and purposes.unknown({code}):
            raise serializers.ValidationError("No such purpose.", code="unknown")
        return code


class NewRequest(serializers.Serializer[PrivacyRequest]):
    subject = described.SubjectSchema()
    kind = serializers.ChoiceField(Kind.choices)
    received_at = Moment(required=False, help_text="When it reached you: the legal clock starts there.")
    details = Text(max_length=5000, lines=True, required=False, allow_blank=True, help_text="What the person wrote.")
    locale = Text(max_length=35, required=False, allow_blank=True)
    scopes = ScopeSerializer(many=True, required=False, help_text="Of an opt-out; everything, if not given.")

    def to_internal_value(self, data: Any) -> Any:
        """The person is read as everywhere; the serializer only describes them."""
        subject, faults = subject_of(data.get("subject") if isinstance(data, dict) else None, "/subject")
        if faults:
            raise invalid(faults)
        fields = {name: value for name, value in data.items() if name != "subject"}
        return {**super().to_internal_value({**fields, "subject": {}}), "subject": subject}

    def validate_received_at(self, moment: Any) -> Any:
        if not is_in_range(moment) or (problem := problem_with(moment)):
            raise serializers.ValidationError(problem, code="out_of_range")
        return moment

    def validate_scopes(self, scopes: list[dict[str, str]]) -> list[dict[str, str]]:
        if not 1 <= len(scopes) <= 100:
            raise serializers.ValidationError("Name 1 to 100 scopes, or none for everything.", code="invalid")
        return scopes


class RequestSerializer(serializers.ModelSerializer[PrivacyRequest]):
    """What a person wrote stays at the desk."""

    rule = serializers.CharField(source="rule_id")

    class Meta:
        model = PrivacyRequest
        fields = [
            "ref", "subject", "kind", "state", "received_via", "received_at", "rule", "due_at", "locale", "outcome",
            "closed_at",
        ]  # fmt: skip
        read_only_fields = fields


class RequestFilters(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    state = django_filters.ChoiceFilter(choices=PrivacyRequest.State.choices)
    subject = django_filters.UUIDFilter(field_name="subject_id")
    due_before = MomentFilter(field_name="due_at", lookup_expr="lt")


class RequestsView(generics.ListAPIView[PrivacyRequest]):
    """Privacy requests, the latest first."""

    queryset = PrivacyRequest.objects.all()
    serializer_class = RequestSerializer
    pagination_class = CursorPagination
    filterset_class = RequestFilters
    ordering = "-id"
    scopes = {"GET": Scope.REQUESTS_READ, "POST": Scope.REQUESTS_WRITE}

    @extend_schema(request=NewRequest, responses={201: RequestSerializer}, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request) -> Response:
        """Hand a request to the desk. An opt-out takes effect at once, before anybody looks at it."""
        asked = NewRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        facts = dict(asked.validated_data)
        caller: Caller = request.auth  # type: ignore[assignment]
        claim = claim_of(request._request, caller.account.pk)  # an unusable key is refused before anything is done
        wish = f"{caller.account.pk}:{claim.key if claim else uuid4()}"
        facts |= {
            "person": facts.pop("subject"),
            "by": caller.account,
            "received_via": "api",
            "scopes": [(scope["purpose"], scope["channel"]) for scope in facts.pop("scopes", [])] or EVERYTHING,
            "key": "api:" + hashlib.sha256(wish.encode()).hexdigest()[:40],
        }
        if facts["kind"] == Kind.OPT_OUT:
            # In a transaction of its own: it stands even where the request itself is refused. The key makes it one.
            opt_out_at_once(**{name: value for name, value in facts.items() if name != "kind"})
        return self._log(request, facts)

    @idempotent
    def _log(self, request: Request, facts: dict[str, Any]) -> Response:
        try:
            return Response(RequestSerializer(log_request(**facts)).data, status=201)
        except DjangoValidationError as error:
            if "person" not in getattr(error, "error_dict", {}):
                raise
            raise invalid([Fault("/subject", "ambiguous", " ".join(error.message_dict["person"]))]) from error


class RequestView(generics.RetrieveAPIView[PrivacyRequest]):
    """One privacy request."""

    queryset = PrivacyRequest.objects.all()
    serializer_class = RequestSerializer
    lookup_field = "ref"
    scopes = {"GET": Scope.REQUESTS_READ}

    def get_object(self) -> PrivacyRequest:
        if "\x00" in self.kwargs["ref"]:
            raise Http404
        return super().get_object()
