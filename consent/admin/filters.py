"""Filters whose values come from short tables, never from a DISTINCT over a big one."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from consent.models import ANY, Cause, Channel, Choice, ExitPath, Purpose


class ColumnFilter(admin.SimpleListFilter):
    """Rows whose column has the value."""

    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class PurposeFilter(ColumnFilter):
    title, parameter_name, column = "purpose", "purpose", "purpose"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(ANY, "all purposes"), *Purpose.objects.values_list("code", "name")]


class ChannelFilter(ColumnFilter):
    title, parameter_name, column = "channel", "channel", "channel"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, Any]]:
        return [(ANY, "all channels"), *Channel.choices]


class ExitPathFilter(ColumnFilter):
    title, parameter_name, column = "exit path", "exit_path", "exit_path"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return list(ExitPath.objects.values_list("code", "name"))


class CauseFilter(ColumnFilter):
    title, parameter_name, column = "cause", "cause", "cause"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, Any]]:
        return list(Cause.choices)


class StateFilter(ColumnFilter):
    title, parameter_name, column = "state", "state", "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(Choice.OPT_OUT, "opted out"), (Choice.OPT_IN, "opted in")]


class ChoiceFilter(ColumnFilter):
    title, parameter_name, column = "choice", "choice", "choice"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, Any]]:
        return list(Choice.choices)


class ExplicitFilter(admin.SimpleListFilter):
    title, parameter_name = "said by the person", "explicit"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("1", "Yes, explicit"), ("0", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(explicit=self.value() == "1") if self.value() in ("0", "1") else queryset
