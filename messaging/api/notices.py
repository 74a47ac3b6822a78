"""Notices to many, and the proof for each of their recipients. Addresses are not told."""

import re
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination
from config.models import Scope
from messaging.models import Message, Notice, NoticeRecipient, Outcome
from messaging.report import progress_of_all, proof, recipients_of

REF = re.compile(r"NTC-[0-9]{1,9}")


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    """A notice to many people. `progress` counts each recipient once, by outcome."""

    template = serializers.CharField(source="template_id")
    message_class = serializers.CharField(source="template.message_class")
    incident = serializers.SerializerMethodField(help_text="The number of the incident that it is about.")
    cohort_sha256 = serializers.SerializerMethodField(help_text="Of the sorted ids it goes to; empty before counting.")
    progress = serializers.SerializerMethodField()

    class Meta:
        model = Notice
        fields = [
            "ref", "title", "state", "template", "message_class", "purpose", "incident", "cohort_kind", "rate",
            "to_write", "left_out", "cohort_sha256", "progress", "created_at", "created_by", "counted_at",
            "counted_by", "approved_at", "approved_by", "started_at", "started_by", "cancelled_at", "cancelled_by",
            "done_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_incident(self, notice: Notice) -> str | None:
        return None if notice.incident_id is None else str(notice.incident_id)

    def get_cohort_sha256(self, notice: Notice) -> str:
        return bytes(notice.cohort_digest or b"").hex()

    def get_progress(self, notice: Notice) -> dict[str, int]:
        counts: dict[str, int] = self.context["progress"][notice.pk].counts
        return {outcome: counts.get(outcome, 0) for outcome in Outcome.values}


class ProofSerializer(serializers.Serializer[Any]):
    """What is proved of one recipient, by the person's id."""

    subject = serializers.UUIDField()
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    left_out_because = serializers.ChoiceField(choices=[("", ""), *NoticeRecipient.Excluded.choices])
    owed_at = serializers.DateTimeField(allow_null=True)
    state = serializers.ChoiceField(choices=[("", ""), *Message.State.choices])
    sent_at = serializers.DateTimeField(allow_null=True)
    evidence = serializers.CharField(help_text="E0 owed … E3 taken by a relay, E4 delivered; empty where none is owed.")
    delivered_at = serializers.DateTimeField(allow_null=True)
    bounced_at = serializers.DateTimeField(allow_null=True)
    in_doubt = serializers.BooleanField()
    possible_duplicate = serializers.BooleanField()
    message = serializers.UUIDField(allow_null=True)

    def to_representation(self, instance: Any) -> Any:
        return super().to_representation(proof(instance))


class NoticesView(generics.GenericAPIView[Notice]):
    """Notices, newest first."""

    serializer_class = NoticeSerializer
    pagination_class = CursorPagination
    ordering = "-id"
    scopes = {"GET": Scope.MESSAGES_READ}
    filter_backends = (DjangoFilterBackend,)
    filterset_fields = ["state"]
    queryset = Notice.objects.none()

    @extend_schema(operation_id="notices_list", responses=NoticeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Notices, newest first."""
        some = list(self.paginate_queryset(self.filter_queryset(seen_by(request))) or [])
        shown = NoticeSerializer(some, many=True, context={"progress": progress_of_all(some)})
        return self.get_paginated_response(shown.data)


class NoticeView(generics.GenericAPIView[Notice]):
    serializer_class = NoticeSerializer
    scopes = {"GET": Scope.MESSAGES_READ}
    filter_backends: tuple[Any, ...] = ()
    queryset = Notice.objects.none()

    @extend_schema(operation_id="notices_read", responses=NoticeSerializer)
    def get(self, request: Request, ref: str) -> Response:
        """One notice and how far it is."""
        notice = _notice(request, ref)
        return Response(NoticeSerializer(notice, context={"progress": progress_of_all([notice])}).data)


class OutcomeFilter(FilterSet):
    outcome = django_filters.MultipleChoiceFilter(choices=Outcome.choices)


class RecipientsView(generics.ListAPIView[NoticeRecipient]):
    """The proof report of a notice: each recipient once."""

    serializer_class = ProofSerializer
    pagination_class = CursorPagination
    ordering = "id"
    scopes = {"GET": Scope.MESSAGES_READ}
    filter_backends = (DjangoFilterBackend,)
    filterset_class = OutcomeFilter
    queryset = NoticeRecipient.objects.none()

    def get_queryset(self) -> QuerySet[NoticeRecipient]:
        return recipients_of(_notice(self.request, self.kwargs["ref"])) if self.kwargs else super().get_queryset()


def seen_by(request: Request) -> QuerySet[Notice]:
    """One about a restricted incident takes the scope that the incident takes."""
    return Notice.objects.lean().visible_to(request.auth).select_related("template")


def _notice(request: Request, ref: str) -> Notice:
    found = seen_by(request).filter(ref=ref).first() if REF.fullmatch(ref) else None
    if found is None:
        raise Http404
    return found
