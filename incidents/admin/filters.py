"""What the lists of incidents and follow-ups are narrowed to."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.admin import person
from incidents.models import ChangeSet, Incident

NEWEST = 50  # choices of a filter


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


class OfIncident(SimpleListFilter):
    """Incidents that have change sets, the newest first; by its number alone what the viewer may not see."""

    title = "incident"
    parameter_name = "incident"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if not request.user.has_perm("incidents.view_incident"):
            return []
        seen = Incident.objects.visible_to(person(request)).filter(change_sets__isnull=False)
        return [(found.ref, str(found)) for found in seen.distinct().order_by("-pk")[:NEWEST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(incident__ref=self.value()) if self.value() else queryset


class Author(SimpleListFilter):
    title = "author"
    parameter_name = "author"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = ChangeSet.objects.order_by("created_by").values_list("created_by", flat=True).distinct()[:NEWEST]
        return [(author, author) for author in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(created_by=self.value()) if self.value() else queryset


class Passed(SimpleListFilter):
    title = "approvals bypassed"
    parameter_name = "bypassed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "all of them"), ("due", "to be reviewed"), ("overdue", "review overdue")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "overdue":
            return queryset.review_overdue(timezone.now())  # type: ignore[attr-defined]
        if self.value() == "due":
            return queryset.filter(bypassed_at__isnull=False, reviewed_at=None)
        return queryset.filter(bypassed_at__isnull=False) if self.value() else queryset
