"""What the buttons of the admin share: said in plain words when it worked, and when it was refused."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from config.admin import go_to, theme_forms


def words(error: ValidationError) -> str:
    """What a refusal says to the person at the desk."""
    return " ".join(dict.fromkeys(error.messages))


def carry_out(page: admin.ModelAdmin, request: HttpRequest, deed: Callable[[], str], back: str) -> HttpResponse:
    """Do what a dialog asked for and go back to a page that says what happened. `deed` returns the sentence."""
    try:
        page.message_user(request, deed(), messages.SUCCESS)
    except ValidationError as error:
        page.message_user(request, words(error), messages.ERROR)
    return go_to(back)


def add_errors(form: forms.Form, error: ValidationError) -> None:
    """Put a refusal of a service beside the fields that it is about."""
    if hasattr(error, "error_dict"):
        for field, texts in error.message_dict.items():
            form.add_error(field if field in form.fields else None, texts)
    else:
        form.add_error(None, words(error))


def form_page(
    page: admin.ModelAdmin,
    request: HttpRequest,
    form: forms.Form,
    fieldsets: Sequence[tuple[str | None, dict[str, Any]]],
    *,
    title: str,
    submit: str,
    template: str = "admin/form_page.html",
    **context: Any,
) -> TemplateResponse:
    """A page of the admin around a plain form, for what is more than a dialog holds."""
    adminform = theme_forms.AdminForm(form, list(fieldsets), {}, (), model_admin=page)
    return TemplateResponse(
        request,
        template,
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
            **context,
        },
    )
