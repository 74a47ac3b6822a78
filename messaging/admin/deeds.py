"""What the buttons share: said in plain words when it worked, and when a service refused it."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from config.admin import go_to


def carry_out(page: admin.ModelAdmin, request: HttpRequest, deed: Callable[[], str], back: str) -> HttpResponse:
    """Do what a dialog asked for and go back to a page that says what happened. `deed` returns the sentence."""
    try:
        page.message_user(request, deed(), messages.SUCCESS)
    except ValidationError as error:
        page.message_user(request, " ".join(error.messages), messages.ERROR)
    return go_to(back)
