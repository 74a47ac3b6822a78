"""What every page for people has in common: its language, its headers, and that it keeps nothing in the browser."""

from dataclasses import asdict
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from consent.public.languages import TEXTS

RETRY_AFTER = "60"


def contact() -> str:
    """Where a person reaches somebody when a page does not help."""
    return parseaddr(settings.MAIL_FROM)[1]


def page(request: HttpRequest, template: str, language: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """A page in a language; its texts are `t`, with organisation and contact filled in."""
    html = render_to_string(
        f"public/{template}.html",
        {
            "t": texts(language),
            "language": language,
            "languages": [(code, t.language) for code, t in TEXTS.items()],
            "organisation": settings.ORGANISATION,
            "contact": contact(),
            **context,
        },
    )
    return private(HttpResponse(html, status=status))


def private(response: HttpResponse) -> HttpResponse:
    """Not stored, not indexed, and its address, which holds the token, not told to whomever a link leads to."""
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response


def not_stored(request: HttpRequest, language: str) -> HttpResponse:
    """The fault is ours: everything the person sent goes back to them in a form with one button, to be sent again."""
    fields = [(name, value) for name, values in request.POST.lists() for value in values]
    response = page(request, "not_stored", language, status=503, fields=fields, is_post=request.method == "POST")
    response["Retry-After"] = RETRY_AFTER
    return response


def texts(language: str) -> dict[str, Any]:
    facts = {"{organisation}": settings.ORGANISATION, "{contact}": contact()}
    return {name: _filled(text, facts) for name, text in asdict(TEXTS[language]).items()}


def _filled(text: Any, facts: dict[str, str]) -> Any:
    if isinstance(text, str):
        for name, value in facts.items():
            text = text.replace(name, value)
    return text


def agent_class(user_agent: str) -> str:
    """What kind of program spoke: enough to tell people from machines, too little to tell people apart."""
    agent = user_agent.lower()
    if not agent:
        return "none"
    if any(word in agent for word in ("bot", "crawl", "spider", "scan", "preview", "proxy")):
        return "bot"
    if "mozilla/" in agent:
        return "browser"
    return "program"
