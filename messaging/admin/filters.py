"""Filters of the outbox. Their values come from short tables, never from a DISTINCT over the messages."""

from collections.abc import Callable
from datetime import timedelta

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from messaging.belonging import REGISTERED
from messaging.models import Message, TransportHealth

AGES = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
# What somebody comes to look at: (name, title, question).
QUEUES: tuple[tuple[str, str, Callable[[], QuerySet[Message]]], ...] = (
    ("overdue", "Overdue", lambda: Message.objects.overdue(timezone.now())),
    ("doubt", "In doubt", lambda: Message.objects.filter(state=Message.State.IN_DOUBT)),
    ("held", "Held", lambda: Message.objects.filter(state=Message.State.HELD)),
    ("trouble", "Not sent", Message.objects.in_trouble),
    ("twice", "Possibly twice", lambda: Message.objects.filter(possible_duplicate=True)),
)


class AgeFilter(admin.SimpleListFilter):
    title, parameter_name = "age", "age"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("hour", "Of the last hour"), ("day", "Of the last day"), ("week", "Of the last seven days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        age = AGES.get(self.value() or "")
        return queryset.filter(created_at__gte=timezone.now() - age) if age else queryset


class QueueFilter(admin.SimpleListFilter):
    title, parameter_name = "queue", "queue"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(name, title) for name, title, _ in QUEUES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        asked = next((question for name, _, question in QUEUES if name == self.value()), None)
        return queryset & asked() if asked else queryset


class TransportFilter(admin.SimpleListFilter):
    title, parameter_name = "transport", "transport"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(name, name) for name in TransportHealth.objects.order_by("pk").values_list("pk", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        return queryset.filter(transport=self.value()) if self.value() else queryset


class IncidentFilter(admin.SimpleListFilter):
    """Messages about an incident, and confirmations of the decisions that are tied to it."""

    title, parameter_name = "incident", "incident"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        if not request.user.has_perm("incidents.view_incident"):
            return []
        newest = [found for source in REGISTERED for found in source.newest(request.user)]
        asked = request.GET.get(self.parameter_name)
        return newest if not asked or asked in dict(newest) else [(asked, asked), *newest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        for source in REGISTERED if self.value() else []:
            queryset = queryset.filter(source.messages_of(self.value() or "", request.user))
        return queryset
