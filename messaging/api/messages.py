"""What became of each message, for services that ask. Addresses and texts are not told."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework import generics, serializers

from config.api import CursorPagination, MomentFilter
from config.models import Scope
from messaging.evidence import level_of
from messaging.models import Message


class MessageSerializer(serializers.ModelSerializer[Message]):
    """A message that is owed or was."""

    subject = serializers.UUIDField(source="subject_id", help_text="The person.")
    decision = serializers.SerializerMethodField(help_text="The decision that it confirms.")
    template = serializers.CharField(source="template_key")
    attempts = serializers.IntegerField(source="tries")
    why = serializers.CharField(source="last_error", help_text="Why it is where it is; empty when all went well.")
    evidence = serializers.SerializerMethodField(
        help_text="E0 owed … E3 taken by a relay, E4 delivered, E5 acknowledged; in words."
    )

    class Meta:
        model = Message
        fields = [
            "id", "subject", "decision", "message_class", "template", "purpose", "channel", "locale", "state",
            "delivery", "attempts", "possible_duplicate", "is_degraded", "evidence", "why", "created_at", "owed_by",
            "settled_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_decision(self, message: Message) -> str | None:
        return None if message.decision_id is None else str(message.decision_id)

    def get_evidence(self, message: Message) -> str:
        return level_of(message)


class MessageFilter(FilterSet):
    subject = django_filters.UUIDFilter(field_name="subject_id")
    decision = django_filters.NumberFilter(field_name="decision_id", min_value=1, max_value=2**63 - 1)
    state = django_filters.MultipleChoiceFilter(choices=Message.State.choices)
    created_from = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_to = MomentFilter(field_name="created_at", lookup_expr="lte")


class MessagesView(generics.ListAPIView[Message]):
    """Messages, newest first."""

    serializer_class = MessageSerializer
    pagination_class = CursorPagination
    ordering = ("-created_at", "-id")
    scopes = {"GET": Scope.MESSAGES_READ}
    filter_backends = (DjangoFilterBackend,)
    filterset_class = MessageFilter

    def get_queryset(self) -> QuerySet[Message]:
        return Message.objects.defer("sealed_raw", "sealed_context", "sealed_recipient")


class MessageView(generics.RetrieveAPIView[Message]):
    """One message."""

    serializer_class = MessageSerializer
    scopes = {"GET": Scope.MESSAGES_READ}
    filter_backends: tuple[Any, ...] = ()

    def get_queryset(self) -> QuerySet[Message]:
        return Message.objects.defer("sealed_raw", "sealed_context", "sealed_recipient")
