"""What the lists of incidents and follow-ups are narrowed to."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.admin import person


class NearMissFilter(SimpleListFilter):
    title = "register"
    parameter_name = "register"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("near_misses", "near misses")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.near_misses() if self.value() else queryset  # type: ignore[attr-defined]


class Overdue(SimpleListFilter):
    title = "overdue"
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("update", "an update"), ("clock", "a legal clock"), ("review", "a review")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        if self.value() == "update":
            return queryset.update_overdue(now)  # type: ignore[attr-defined]
        if self.value() == "clock":
            return queryset.filter(clock_due__lt=now)
        if self.value() == "review":
            return queryset.filter(Q(review__state="due", review__due_at__lt=now))
        return queryset


class WhoseWork(SimpleListFilter):
    title = "whose"
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "mine"), ("overdue", "overdue"), ("mine_overdue", "mine and overdue")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        asked = self.value() or ""
        if asked.startswith("mine"):
            queryset = queryset.of(person(request)).open()  # type: ignore[attr-defined]
        if asked.endswith("overdue"):
            queryset = queryset.overdue(timezone.now().date())  # type: ignore[attr-defined]
        return queryset
