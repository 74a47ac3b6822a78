"""The addresses that name nobody: a page on what this is, and what programs ask a site for."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from consent.public.languages import choose
from consent.public.pages import page

# The day from which the product honours the signal (w3c/gpc: lastUpdate is an RFC 3339 full-date).
GPC_SUPPORT = {"gpc": True, "lastUpdate": "2026-11-23"}


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    return page(request, "front", choose(request))


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain; charset=utf-8")


@require_safe
def gpc_support(request: HttpRequest) -> JsonResponse:
    """/.well-known/gpc.json: this site honours Global Privacy Control."""
    response = JsonResponse(GPC_SUPPORT)
    response["Cache-Control"] = "public, max-age=86400"
    return response
