"""What each request is told about: the time zone of whoever sits at a desk, and no cookie of whoever does not."""

from collections.abc import Callable
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import resolve
from django.utils import timezone


class NoCookies:
    """Addresses that people open without a login see no cookie, not even a stale one of the admin in the same browser.

    So nothing on the way looks a session up, and a press reaches its view while the database is away.
    """

    PREFIXES = ("/u/", "/preferences/")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(self.PREFIXES):
            request.META.pop("HTTP_COOKIE", None)
        return self.get_response(request)


class ForMachines:
    """Calls of programs go straight to their view: no session, login, message, form token or page policy is theirs.

    What remains is what matters to them: the host is one of ours, a request id in every line of the log, and headers
    that keep a browser from guessing. It stands first, so the rest of the chain costs such a call nothing.
    """

    PREFIXES = ("/api/v1/", "/hooks/")
    PAGES = ("/api/v1/docs/",)
    HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.headers = dict(self.HEADERS)
        if settings.SECURE_HSTS_SECONDS:
            self.headers["Strict-Transport-Security"] = (
                f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
            )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if not path.startswith(self.PREFIXES) or path.startswith(self.PAGES):
            return self.get_response(request)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.headers.get("X-Request-ID", "")[:64] or str(uuid4()))
        request.get_host()  # raises DisallowedHost
        match = resolve(path)
        request.resolver_match = match
        response = match.func(request, *match.args, **match.kwargs)
        if hasattr(response, "render"):
            response = response.render()
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


class ViewersTimeZone:
    """Show times in the zone of whoever is logged in; services and people without a session stay in UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Asking for the user would open a session, which pages for people must not have.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return self.get_response(request)
        with timezone.override(zone(request.user.time_zone)):
            return self.get_response(request)


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
