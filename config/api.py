"""What every API view builds on: bounded bodies, texts, moments and pages, and writes that may be sent twice."""

import base64
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import django_filters
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from django.forms import ValidationError as FormValidationError
from django.http import HttpRequest
from rest_framework import exceptions, pagination, parsers, serializers

from config.idempotency import idempotent
from config.problems import Fault, Refused, invalid, problem_response
from config.text import CONTROL, CONTROL_IN_LINES

__all__ = [
    "BoundedJSONParser", "CursorPagination", "Fault", "Moment", "MomentFilter", "Refused", "Text", "TextFilter",
    "idempotent", "invalid", "problem_response",
]  # fmt: skip

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class BoundedJSONParser(parsers.JSONParser):
    """Reads through `request.body`, which keeps DATA_UPLOAD_MAX_MEMORY_SIZE; the stream alone would not."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.body if isinstance(stream, HttpRequest) else stream.read()  # read already: within the limit
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deeply.") from error


class Text(serializers.CharField):
    """Text without control characters. `lines=True` lets tabs and line ends through."""

    default_error_messages = {"control_characters": "Remove the control characters."}

    def __init__(self, *, lines: bool = False, **kwargs: Any) -> None:
        self.refused = CONTROL_IN_LINES if lines else CONTROL
        kwargs.setdefault("max_length", 200)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, str) and self.refused.search(data):
            self.fail("control_characters")
        return super().to_internal_value(data)


class Moment(serializers.DateTimeField):
    """A moment with its offset, from 2000 to 2099."""

    default_error_messages = {
        "no_zone": "Give the moment with its offset, like 2026-03-01T12:00:00Z.",
        "out_of_range": "The moment must lie between the years 2000 and 2100.",
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("no_zone")
        if not is_in_range(value):
            self.fail("out_of_range")
        return super().enforce_timezone(value)


def is_in_range(value: datetime) -> bool:
    """Compared without conversion to UTC, which overflows at the ends of the calendar."""
    return EARLIEST.year <= value.year < LATEST.year and value >= EARLIEST


class MomentFilter(django_filters.IsoDateTimeFilter):
    """A filter by moment that the database can always compare."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, validators=[_bounded], **kwargs)


class TextFilter(django_filters.CharFilter):
    """A filter by text, of bounded length and without control characters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 200)
        super().__init__(*args, validators=[_plain], **kwargs)


def _bounded(value: datetime) -> None:
    if not is_in_range(value):
        raise FormValidationError("The moment must lie between the years 2000 and 2100.", code="out_of_range")


def _plain(value: str) -> None:
    if CONTROL.search(value):
        raise FormValidationError("Remove the control characters.", code="control_characters")


class CursorPagination(pagination.CursorPagination):
    """Pages by a cursor; set `ordering` on the view. A crafted cursor is an address that does not exist."""

    page_size_query_param = "page_size"
    max_page_size = 500
    ordering: str | list[str] | tuple[str, ...] = "-pk"

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        ordering = getattr(view, "ordering", self.ordering)
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def paginate_queryset(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().paginate_queryset(*args, **kwargs)
        except (DjangoValidationError, ValueError, OverflowError, TypeError, DataError) as error:
            raise no_such_page() from error


def no_such_page() -> exceptions.NotFound:
    return exceptions.NotFound("No such page: take the cursor from 'next' or 'previous'.")


def as_cursor(*numbers: int) -> str:
    """An opaque cursor of our own, for lists that are not a queryset."""
    return base64.urlsafe_b64encode(".".join(map(str, numbers)).encode()).decode().rstrip("=")


def from_cursor(text: str, count: int) -> list[int]:
    """Its numbers. Raises NotFound for whatever `as_cursor` did not make."""
    try:
        numbers = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii").split(".")
        values = [int(number) for number in numbers if number.isdecimal() and len(number) <= 19]
    except ValueError as error:
        raise no_such_page() from error
    if len(values) != count or len(numbers) != count or any(value >= 2**63 for value in values):
        raise no_such_page()
    return values
