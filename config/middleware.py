"""What each request is told about: the time zone of whoever sits at a desk, and no cookie of whoever does not."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.urls import ResolverMatch, resolve
from django.utils import timezone


class NoCookies:
    """Addresses that people open without a login see no cookie, not even a stale one of the admin in the same browser.

    So nothing on the way looks a session up, and a press reaches its view while the database is away.
    """

    PREFIXES = ("/u/", "/preferences/", "/read/")

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
    PRESSES = "/u/"  # a mail provider's POST; the page that a person opens there goes the long way
    HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    MOST_HOSTS = 100

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policies: list[Any] = [CSPMiddleware(get_response), XFrameOptionsMiddleware(get_response)]
        self.routes: dict[str, ResolverMatch] = {}
        self.hosts: set[str] = set()
        self.headers = dict(self.HEADERS)
        if settings.SECURE_HSTS_SECONDS:
            self.headers["Strict-Transport-Security"] = (
                f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
            )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not self._is_for_machines(request):
            return self.get_response(request)
        structlog.contextvars.clear_contextvars()
        given = request.META.get("HTTP_X_REQUEST_ID", "")[:64]
        structlog.contextvars.bind_contextvars(request_id=given or str(uuid4()))
        self._know_host(request)
        request.META.pop("HTTP_COOKIE", None)
        match = request.resolver_match = self._route(request.path_info)
        response = match.func(request, *match.args, **match.kwargs)
        if hasattr(response, "render"):
            response = response.render()
        return self._finished(request, response)

    def _is_for_machines(self, request: HttpRequest) -> bool:
        path = request.path_info
        if path.startswith(self.PRESSES):
            return request.method == "POST"
        return path.startswith(self.PREFIXES) and not path.startswith(self.PAGES)

    def _know_host(self, request: HttpRequest) -> None:
        """Raises DisallowedHost. A host that was one of ours remains one."""
        named = request.META.get("HTTP_HOST", "")
        if named not in self.hosts:
            request.get_host()
            if len(self.hosts) < self.MOST_HOSTS:
                self.hosts.add(named)

    def _route(self, path: str) -> ResolverMatch:
        """Addresses without a variable part are looked up once."""
        if match := self.routes.get(path):
            return match
        match = resolve(path)
        if not match.args and not match.kwargs:
            self.routes[path] = match
        return match

    def _finished(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        headers = response.headers
        if headers.get("Content-Type", "").startswith("text/html"):  # a person pressed the button of the page
            for policy in self.policies:
                policy.process_response(request, response)
            headers.setdefault("Referrer-Policy", settings.SECURE_REFERRER_POLICY or "no-referrer")
        for name, value in self.headers.items():
            if name not in headers:
                headers[name] = value
        headers["Content-Length"] = str(len(response.content))
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
