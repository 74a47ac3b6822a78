"""What officers set up: purposes, ways out, deadlines, answers. Each change asks why and is kept."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Model, OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone

from config.admin import TrackedAdmin, badge, display, moment
from consent.models import AnswerText, DeadlineRule, ExitPath, ExitPathMinute, Purpose


class CodedAdmin(TrackedAdmin):
    """A code stands in decisions and requests: once given, it stays."""

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        readonly = super().get_readonly_fields(request, obj)
        return readonly if obj is None else ("code", *readonly)


RULE = ("regime", "is_covered_by_gpc")


@admin.register(Purpose)
class PurposeAdmin(CodedAdmin):
    """By which rule people are contacted is set when a purpose is registered. Later it makes people contactable who
    said nothing: that is planned and approved first."""

    list_display = ("name", "code", "regime", "is_covered_by_gpc", "is_public", "position")
    list_filter = ("regime", "is_covered_by_gpc", "is_public")
    search_fields = ("code", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        readonly = super().get_readonly_fields(request, obj)
        return readonly if obj is None else (*readonly, *RULE)

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        how = "Changed by a change set, which others approve: Change sets, +, Change a purpose."
        return super().get_form(request, obj, change, help_texts=dict.fromkeys(RULE, how) if obj else {}, **kwargs)


@admin.register(ExitPath)
class ExitPathAdmin(CodedAdmin):
    list_display = (
        "name",
        "code",
        "kind",
        "owner",
        "is_active",
        moment("last_used_at", "Last use"),
        "last_hour",
    )
    list_filter = ("kind", "is_active")
    search_fields = ("code", "name", "owner")
    readonly_fields = (moment("last_used_at", "Last use"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExitPath]:
        """With the counts of the last hour, by the index on minutes."""
        since = timezone.now() - timedelta(hours=1)
        uses = ExitPathMinute.objects.filter(exit_path=OuterRef("pk"), minute__gte=since).order_by().values("exit_path")
        return (
            super()
            .get_queryset(request)
            .annotate(
                **{
                    f"hour_{outcome}": Subquery(uses.filter(outcome=outcome).annotate(n=Sum("count")).values("n"))
                    for outcome in ExitPathMinute.Outcome.values
                }
            )
        )

    @display(description="In the last hour")
    def last_hour(self, obj: Any) -> str:
        counts = [(getattr(obj, f"hour_{outcome}") or 0, label) for outcome, label in ExitPathMinute.Outcome.choices]
        return ", ".join(f"{count} {label}" for count, label in counts if count) or "not used"


@admin.register(DeadlineRule)
class DeadlineRuleAdmin(CodedAdmin):
    list_display = ("code", "title", "request_kind", "span", "jurisdiction", "citation", "is_default")
    list_filter = ("request_kind", "jurisdiction", "is_default")
    search_fields = ("code", "title", "citation")

    @display(description="Time allowed")
    def span(self, obj: DeadlineRule) -> str:
        return f"{obj.amount} {obj.get_unit_display()}"


@admin.register(AnswerText)
class AnswerTextAdmin(TrackedAdmin):
    list_display = ("title", badge("request_kind", {}, "Kind"), "locale")
    list_filter = ("request_kind", "locale")
    search_fields = ("title", "body")
