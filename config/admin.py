"""The admin site, and the one module that knows its theme: what a record, a tracked model and an action look like.

Admin modules of the apps import from here: `RecordAdmin` for what is only read, `TrackedAdmin` for what people edit,
`RecordInline` for rows below a page, `badge`, `moment` and `mask` for columns, `action` and `ask` for buttons.
"""

from collections.abc import Callable
from datetime import UTC
from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from simple_history.admin import SimpleHistoryAdmin
from unfold import forms as theme_forms
from unfold import widgets
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.dataclasses import ActionDialog
from unfold.decorators import action
from unfold.decorators import display as theme_display
from unfold.paginator import InfinitePaginator
from unfold.sites import UnfoldAdminSite

from config.models import User

__all__ = [
    "HistoryAdmin",
    "KeptAdmin",
    "ReasonDialog",
    "RecordAdmin",
    "RecordInline",
    "Site",
    "StackedInline",
    "TrackedAdmin",
    "action",
    "ask",
    "badge",
    "display",
    "go_to",
    "mask",
    "moment",
    "named",
    "person",
    "pill",
    "theme_forms",
    "widgets",
]


Column = Callable[[Any], Any]  # what list_display and readonly_fields take


class Site(UnfoldAdminSite):
    site_title = site_header = "Holdfast"
    index_title = "Dashboard"
    enable_nav_sidebar = True

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")


class KeptAdmin(ModelAdmin):
    """What every list and page of ours has in common: short pages, and nothing is ever deleted."""

    list_per_page = 25
    list_max_show_all = 200
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each facet would count its whole table
    list_filter_submit = True
    list_fullwidth = True
    compressed_fields = True
    warn_unsaved_form = True
    shows_history = True

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A time is typed in the viewer's zone, and the field says which that is; a text is five lines high."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(db_field, models.DateTimeField):
            field.help_text = f"{field.help_text} Time zone: {timezone.get_current_timezone_name()}.".strip()
        elif field is not None and isinstance(field.widget, forms.Textarea):
            field.widget.attrs["rows"] = 5
        return field

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"show_history": self.shows_history and self.may_see_history(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def may_see_history(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


class RecordAdmin(KeptAdmin):
    """A record that is only read. Its list never counts the table; an action that calls a service changes it."""

    paginator = InfinitePaginator
    shows_history = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class HistoryAdmin(SimpleHistoryAdmin):
    """The history page of a model whose versions are kept: when, who, why, from → to."""

    object_history_list_template = "admin/history_list.html"
    history_list_per_page = 25

    def may_see_history(self, request: HttpRequest) -> bool:
        return self.has_view_history_permission(request)


class TrackedAdmin(HistoryAdmin, KeptAdmin):
    """Configuration that people edit. Each change asks for a reason; who and why go into its history."""

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> type:
        if obj is not None and self.has_change_permission(request, obj):
            kwargs.setdefault("form", type(self.form.__name__, (ReasonedForm, self.form), {}))
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """The fieldsets as declared; where something can be changed, the question why stands last."""
        declared = [
            (name, {**options, "fields": [field for field in options["fields"] if field != "reason"]})
            for name, options in super().get_fieldsets(request, obj)
        ]
        if obj is not None and self.has_change_permission(request, obj):
            declared.append((None, {"fields": ["reason"]}))
        return declared

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        obj.save_as(person(request).actor, form.cleaned_data["reason"] if change else "Created")


class RecordInline(TabularInline):
    """Rows that belong to a record, read-only, twenty a page, in a tab of their own."""

    extra = 0
    max_num = 0
    per_page = 20
    tab = True
    hide_title = True
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReasonedForm(forms.ModelForm):
    reason = forms.CharField(
        label="Reason for this change",
        max_length=200,
        help_text="It is kept in the history beside your name.",
        widget=widgets.UnfoldAdminTextInputWidget,
    )


class ReasonDialog(theme_forms.BaseDialogForm):
    """What a button asks before it acts. Subclass it for more fields; give them widgets of the theme."""

    reason = forms.CharField(
        max_length=200,
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="It is kept beside your name.",
    )


def ask(
    title: str, description: str = "", *, submit: str, form: type[theme_forms.BaseDialogForm] = ReasonDialog
) -> ActionDialog:
    """The dialog of an action: `@action(description=…, permissions=[…], dialog=ask("Revoke it", submit="Revoke"))`.

    The method is then called with (request, form[, object_id]) once the form is valid, and answers with `go_to(url)`.
    """
    return ActionDialog(title=title, description=description, form_class=form, form_submit_text=submit)


def go_to(url: str) -> HttpResponse:
    """Leave a dialog for a page: htmx posts the dialog, so a plain redirect would be swallowed by it."""
    return HttpResponse(headers={"HX-Redirect": url})


def person(request: HttpRequest) -> User:
    """Who is logged in: admin pages are behind a login."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def display(*, label: dict[str, str] | None = None, **facts: Any) -> Callable[[Callable[..., Any]], Any]:
    """The theme's `display`; a `label` is drawn as a badge on a record's page too, where the theme has none.

    The method answers with a value, or with (value, words); `label` maps values to danger, warning, success or info.
    """

    def decorate(method: Callable[..., Any]) -> Any:
        if label is None:
            return theme_display(**facts)(method)

        @wraps(method)
        def drawn(*args: Any) -> SafeString | None:
            return pill(method(*args), label)

        return theme_display(**facts)(drawn)

    return decorate


def pill(value: Any, colours: dict[str, str]) -> SafeString | None:
    """A word on a coloured ground, from a value or (value, words); what has no colour stays grey."""
    value, words = value if isinstance(value, tuple) else (value, value)
    if not words:
        return None
    return render_to_string("unfold/helpers/label.html", {"text": words, "type": colours.get(value, "")})


def badge(field: str, colours: dict[str, str], description: str = "") -> Column:
    """A column for a field with choices. Colours: danger, warning, success, info; what is not named stays grey."""

    def column(obj: Model) -> tuple[str, str] | None:
        value = getattr(obj, field)
        return (value, getattr(obj, f"get_{field}_display")()) if value else None

    column.__name__ = field
    return display(description=description or _words(field), ordering=field, label=colours)(column)


def moment(field: str, description: str = "") -> Column:
    """A column for a time: in the viewer's zone, with UTC beside it where the two differ."""

    @theme_display(description=description or _words(field.removesuffix("_at")), ordering=field)
    def column(obj: Model) -> SafeString | None:
        value = getattr(obj, field)
        if value is None:
            return None
        here = timezone.localtime(value)
        text = date_format(here, "DATETIME_FORMAT")
        if here.utcoffset():
            utc = date_format(value.astimezone(UTC), "H:i:s")
            return format_html(
                '<time datetime="{}">{} <span class="utc">{} UTC</span></time>', value.isoformat(), text, utc
            )
        return format_html('<time datetime="{}">{}</time>', value.isoformat(), text)

    column.__name__ = field
    return column


def named(field: str) -> Column:
    """A column for a record of another page, by its name alone: not everybody who reads this may open that."""

    @theme_display(description=_words(field), ordering=field)
    def column(obj: Model) -> str | None:
        value = getattr(obj, field)
        return None if value is None else str(value)

    column.__name__ = field
    return column


def mask(value: str) -> str:
    """Enough of an identifier to recognise it in a list: a…@example.org, +49…078, ab…."""
    if "@" in value:
        name, _, domain = value.rpartition("@")
        return f"{name[:1]}…@{domain}"
    if value.startswith("+"):
        return f"{value[:3]}…{value[-3:]}"
    return f"{value[:2]}…"


def _words(name: str) -> str:
    return capfirst(name.replace("_", " "))
