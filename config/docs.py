"""The interface described: the schema as it is committed, and a page to read it."""

from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularSwaggerSplitView

SCHEMA = Path(__file__).with_name("schema.yml")


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """OpenAPI 3.1. A test keeps the file equal to what the views say."""
    return HttpResponse(SCHEMA.read_bytes(), content_type="application/yaml")


class DocsView(SpectacularSwaggerSplitView):
    """Its script is a request of its own, so that script-src 'self' allows it."""

    url_name = "schema"
    authentication_classes = []
