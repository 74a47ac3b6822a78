"""A person says that a message reached them: voluntary, by one button, and nothing depends on it.

Like every page here it acts on POST alone: scanners open links, and their opening proves nothing.
"""

import structlog
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from consent import signals, tokens
from consent.public.languages import choose
from consent.public.pages import not_stored, page

log = structlog.get_logger(__name__)


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def acknowledge(request: HttpRequest, token: str) -> HttpResponse:
    """GET: a page with one button, the same for every token. POST: kept, and thanked for."""
    language = choose(request)
    if request.method != "POST" or request.POST.get("read") != "yes":
        return page(request, "acknowledge", language, token=token)
    named = tokens.read(token)
    if named is None or named.message_id is None:
        return page(request, "dead_link", language)
    try:
        signals.message_acknowledged.send(sender=None, message_id=named.message_id, subject_id=named.subject_id)
    except Error as error:
        log.error("acknowledgement_not_stored", error=str(error))
        return not_stored(request, language)
    return page(request, "acknowledged", language)
