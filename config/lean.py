"""Views for the busiest addresses: the contract of every API view, without REST framework's request and parsers.

They are APIViews, so that the schema lists them; what a call costs beside its work is one key look-up in the process.
"""

import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework import exceptions
from rest_framework.views import APIView

from config.authentication import caller_of, no_key, scope_for
from config.problems import Refused, as_http, refusal_of

JSON = "application/json"
MOST_FIELDS = 50


class LeanView(APIView):
    """Handlers take Django's own request, which has `.caller`, and answer with a plain response."""

    http_method_names = ["get", "post", "head"]
    scopes: dict[str, str] = {}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            caller = caller_of(request.META.get("HTTP_AUTHORIZATION", ""))
            if caller is None:
                raise no_key()
            method = request.method or ""
            caller.needs(scope_for(self.scopes, method))
            handler = getattr(self, method.lower(), None) if method.lower() in self.http_method_names else None
            if handler is None:
                raise Refused(405, "method_not_allowed", f"{method} is not offered here.", headers=self._allow())
            request.caller = caller  # type: ignore[attr-defined]
            return handler(request, *args, **kwargs)
        except Exception as error:
            refused = refusal_of(error)
            if refused is None:
                raise
            return as_http(refused)

    def _allow(self) -> dict[str, str]:
        return {"Allow": ", ".join(name.upper() for name in self.http_method_names if hasattr(self, name))}


def read_json(request: HttpRequest) -> Any:
    """The body. Raises for another content type, more than DATA_UPLOAD_MAX_MEMORY_SIZE, and what is not JSON."""
    if request.content_type != JSON:
        raise Refused(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    try:
        return json.loads(request.body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # ValueError: syntax, encoding, numbers of thousands of digits
        raise exceptions.ParseError("The body is not JSON that can be read.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """`body`: JSON already, or texts, numbers and truth values only, for which the plain encoder will do."""
    text = body if isinstance(body, bytes) else as_json(body)
    return HttpResponse(text, status=status, headers=headers, content_type=JSON)


def as_json(body: Any) -> bytes:
    return json.dumps(body).encode()


def query_of(request: HttpRequest) -> dict[str, str]:
    """The query's parameters, the last of each name; `request.GET` keeps every one and takes three times as long."""
    try:
        return dict(parse_qsl(request.META.get("QUERY_STRING", ""), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise Refused(400, "invalid", f"At most {MOST_FIELDS} parameters.") from error
