"""What every API answer has in common: problems (RFC 9457), cursors that cannot be crafted into an error."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import HttpRequest, JsonResponse
from rest_framework import exceptions, pagination, status
from rest_framework.response import Response

PROBLEM = "application/problem+json"


class CursorPagination(pagination.CursorPagination):
    """A crafted cursor is an address that does not exist, not an error of ours."""

    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().paginate_queryset(*args, **kwargs)
        except (DjangoValidationError, ValueError, OverflowError) as error:
            raise exceptions.NotFound("No such page: take the cursor from 'next' or 'previous'.") from error


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    raise NotImplementedError(error, context)


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return JsonResponse({"title": "Not found", "status": status.HTTP_404_NOT_FOUND}, status=404, content_type=PROBLEM)
