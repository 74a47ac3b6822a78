"""What the buttons here share: done and said in plain words, or refused in plain words; and a page around a form."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from config.admin import go_to, theme_forms


def carry_out(page: admin.ModelAdmin, request: HttpRequest, deed: Callable[[], str], back: str) -> HttpResponse:
    """Do what a dialog asked for and go back to a page that says what happened. `deed` returns the sentence."""
    try:
        page.message_user(request, deed(), messages.SUCCESS)
    except ValidationError as error:
        page.message_user(request, " ".join(error.messages), messages.ERROR)
    return go_to(back)


def add_errors(form: forms.Form, error: ValidationError) -> None:
    """Put a refusal of a service beside the fields that it is about."""
    if hasattr(error, "error_dict"):
        for field, texts in error.message_dict.items():
            form.add_error(field if field in form.fields else None, texts)
    else:
        form.add_error(None, error)


def form_page(
    page: admin.ModelAdmin,
    request: HttpRequest,
    form: forms.Form,
    fieldsets: Sequence[tuple[str | None, dict[str, Any]]],
    *,
    title: str,
    submit: str,
) -> TemplateResponse:
    adminform = theme_forms.AdminForm(form, list(fieldsets), {}, (), model_admin=page)
    return TemplateResponse(
        request,
        "admin/consent/form_page.html",
        {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "title": title,
            "submit": submit,
            "adminform": adminform,
            "errors": form.errors,
            "media": page.media + form.media,
            "inline_admin_formsets": [],
            "has_add_permission": False,
            "add": True,
            "change": False,
        },
    )
