"""Problems (RFC 9457): every refusal of an API in one shape, with a stable type and the fields it is about."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

log = structlog.get_logger(__name__)

PROBLEM = "application/problem+json"
TYPE = "urn:holdfast:problem:"
MACHINES = ("/api/", "/hooks/")  # addresses that programs call; people get pages elsewhere
RETRY_AFTER = 5  # seconds


@dataclass(frozen=True, slots=True)
class Fault:
    """`pointer`: a JSON pointer into the body, or the bare name of a query parameter or header."""

    pointer: str
    code: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


@dataclass(eq=False)
class Refused(Exception):
    """Raise it in a view: the caller gets the problem. `code` ends its type and never changes once released."""

    status: int
    code: str
    detail: str
    errors: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [fault.as_json() for fault in self.errors]
        return body


def invalid(errors: Sequence[Fault], status: int = 400, code: str = "invalid") -> Refused:
    """The call as a whole is refused because of these entries; nothing of it was stored."""
    count = len(errors)
    detail = errors[0].detail if count == 1 else f"{count} entries are not valid; nothing was stored."
    return Refused(status, code, detail, errors)


def unavailable() -> Refused:
    return Refused(
        503,
        "unavailable",
        "The database cannot be reached. Send the same again later; an Idempotency-Key makes that safe.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


# REST framework's names where ours differ.
CODES = {
    "parse_error": "malformed",
    "not_authenticated": "unauthorized",
    "authentication_failed": "unauthorized",
    "permission_denied": "forbidden",
    "throttled": "too_many",
    "error": "internal",
}

# What an app's own errors mean here: `TRANSLATIONS[DecisionsRefused] = as_problem`, beside the views that raise them.
TRANSLATIONS: dict[type[Exception], Callable[[Any], Refused]] = {}


def refusal_of(error: Exception) -> Refused | None:
    """The problem that an error stands for; None for what is our own fault."""
    if isinstance(error, Refused):
        return error
    if translate := next((TRANSLATIONS[kind] for kind in type(error).__mro__ if kind in TRANSLATIONS), None):
        return translate(error)
    if isinstance(error, RequestDataTooBig):
        return Refused(413, "too_large", "The body is larger than 2 MiB. Send it in smaller parts.")
    if isinstance(error, Http404):
        return Refused(404, "not_found", "There is nothing at this address.")
    if isinstance(error, PermissionDenied):
        return Refused(403, "forbidden", str(error) or "This is not allowed.")
    if isinstance(error, DjangoValidationError):
        return invalid(list(_of_django(error)))
    if isinstance(error, exceptions.ValidationError):
        return invalid(list(_flat(error.detail)))
    if isinstance(error, exceptions.APIException):
        return _of_rest_framework(error)
    if isinstance(error, DatabaseError | InterfaceError) and is_away(error):
        log.error("database_away", error=str(error))
        return unavailable()
    return None


# read_only_sql_transaction, lock_not_available, query_canceled (a statement's time is over)
WRITES_NOTHING = frozenset(["25006", "55P03", "57014"])


def is_away(error: DatabaseError | InterfaceError) -> bool:
    """No connection, one that broke (no SQLSTATE, or class 08), a server that shuts down, starts up (57P) or has no
    room (53); or it is there and writes nothing now: read-only, a standby, locked by somebody, or out of time."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    if not state:
        return isinstance(error, OperationalError | InterfaceError)
    return state in WRITES_NOTHING or state.startswith(("08", "57P", "53"))


def _of_rest_framework(error: exceptions.APIException) -> Refused:
    headers = {}
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    code = CODES.get(error.default_code, error.default_code)
    return Refused(error.status_code, code, str(error.detail), headers=headers)


def _of_django(error: DjangoValidationError) -> Iterator[Fault]:
    if hasattr(error, "error_dict"):
        for name, errors in error.error_dict.items():
            for one in errors:
                yield Fault("" if name == "__all__" else f"/{name}", one.code or "invalid", " ".join(one.messages))
    else:
        for one in error.error_list:
            yield Fault("", one.code or "invalid", " ".join(one.messages))


def _flat(detail: Any, path: str = "") -> Iterator[Fault]:
    """The nested errors of serializers as pointers: {"decisions": [{}, {"purpose": […]}]} → /decisions/1/purpose."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            step = "" if name == api_settings.NON_FIELD_ERRORS_KEY else "/" + escape(str(name))
            yield from _flat(inner, path + step)
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for index, inner in enumerate(detail):
            is_message = isinstance(inner, str)
            yield from _flat(inner, path if is_message else f"{path}/{index}")
    else:
        yield Fault(path, getattr(detail, "code", None) or "invalid", str(detail))


def escape(step: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's exception handler. None lets it rise: `server_error` answers, and the log has the traceback."""
    refused = refusal_of(error)
    if refused is None:
        return None
    response = Response(refused.as_json(), refused.status, content_type=PROBLEM)
    for name, value in refused.headers.items():
        response[name] = value
    return response


def as_http(refused: Refused) -> JsonResponse:
    """The problem for a plain Django view."""
    return JsonResponse(refused.as_json(), status=refused.status, content_type=PROBLEM, headers=dict(refused.headers))


def _asks_for_problems(request: HttpRequest) -> bool:
    return request.path.startswith(MACHINES)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _asks_for_problems(request):
        return defaults.bad_request(request, exception)
    refused = refusal_of(exception) if isinstance(exception, RequestDataTooBig) else None
    return as_http(refused or Refused(400, "bad_request", "The request cannot be read. Check its address and headers."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _asks_for_problems(request):
        return defaults.permission_denied(request, exception)
    return as_http(Refused(403, "forbidden", "This is not allowed."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _asks_for_problems(request):
        return defaults.page_not_found(request, exception)
    return as_http(Refused(404, "not_found", "There is nothing at this address. Addresses end in a slash."))


def server_error(request: HttpRequest) -> HttpResponse:
    if not _asks_for_problems(request):
        return defaults.server_error(request)
    return as_http(
        Refused(500, "internal", "Something failed here. Nothing was stored; it was logged with this request's id.")
    )
