"""What each request is told about: the time zone of whoever sits at a desk, and no cookie of whoever does not."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
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
