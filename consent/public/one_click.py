"""One press and out (RFC 8058): no login, cookie, session, CSRF token or redirect stands in the way.

GET and HEAD change nothing and use nothing up, because mail scanners fetch every link. They do not even look the token
up, so that the page is the same for every token and works while the database is away; that a link was looked at is
noted in memory, for telling scanners from people. A POST acts when it carries
`List-Unsubscribe=One-Click` or the field of our own button; a token that is not ours is answered like one that is.
"""

import hashlib
import re
from urllib.parse import parse_qsl

import structlog
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from consent import causes, exit_paths, flow, interrupted, spool, tokens
from consent.exit_paths import ONE_CLICK, Outcome
from consent.models import Cause, Choice
from consent.public import outage
from consent.public.languages import choose
from consent.public.opting_out import DoesNotHold, press
from consent.public.pages import RETRY_AFTER, agent_class, not_stored, page, private
from consent.recording import NewDecision
from consent.refusals import DecisionsRefused

log = structlog.get_logger(__name__)

LONGEST_BODY = 2048
FORMS = {"header": "header", "header_multipart": "header", "page": "page_button"}  # codes of what a press rests on
PAIRS = {("list-unsubscribe", "one-click"): "header", ("stop", "yes"): "page"}
# Read by hand: RFC 8058 section 8.3 prints a body whose boundary is not the one that its header names (errata 5117 and
# 8927), and mail providers copied it. A strict parser finds no field there, or one with the boundary in its value.
PART = re.compile(
    rb'content-disposition:[^\r\n]{0,100}[;\s]name="?list-unsubscribe"?[^\r\n]{0,100}'
    rb"(?:\r?\n[^\r\n]{1,200}){0,5}\r?\n\r?\n[ \t]*one-click[ \t]*(?:\r?\n|$)",
    re.IGNORECASE,
)


@csrf_exempt
def one_click(request: HttpRequest, token: str) -> HttpResponse:
    """GET: a page with one button. POST: the opt-out, answered 200 once it is stored, 503 where it could not be.

    Stored means in the database, or on disk while that is away.
    """
    if request.method in ("GET", "HEAD"):
        _looked(request, token, flow.Link.UNSUBSCRIBE)
        return _ask(request, token)
    if request.method != "POST":
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    form = form_of(request)
    if form is None:
        exit_paths.count_use(ONE_CLICK, Outcome.REFUSED, "bad_body")
        return _ask(request, token)
    if form != "page":  # our own page was counted when it was opened
        flow.started(ONE_CLICK)
    try:
        with flow.measured(ONE_CLICK):
            _stop(token, form, request.META.get("HTTP_USER_AGENT", ""))
    except (Error, OSError, DoesNotHold) as error:
        log.error("one_click_not_stored", error=str(error))
        exit_paths.count_use(ONE_CLICK, Outcome.FAILED, "error")
        _keep(token, type(error).__name__, str(error))
        return _not_stored(request, form)
    if form == "page":
        return page(request, "received", choose(request), token=token)
    return private(HttpResponse("Received.\n", content_type="text/plain; charset=utf-8"))


def form_of(request: HttpRequest) -> str | None:
    """Which of the accepted forms a POST has: header, header_multipart or page; None for anything else."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) > LONGEST_BODY:
        return None
    body = _body(request)
    if request.META.get("CONTENT_TYPE", "").lower().startswith("multipart/form-data"):
        return "header_multipart" if PART.search(body) else None
    try:
        pairs = parse_qsl(body.decode("latin-1"), max_num_fields=20)
    except ValueError:
        return None
    forms = [PAIRS.get((name.strip().lower(), value.strip().lower())) for name, value in pairs]
    return next((form for form in forms if form), None)


def _body(request: HttpRequest) -> bytes:
    """Django reads no body without a Content-Length: a press that is sent in chunks would be lost."""
    is_chunked = request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
    if is_chunked and request.META.get("wsgi.input_terminated"):
        return bytes(request.META["wsgi.input"].read(LONGEST_BODY))
    return request.body


def _stop(text: str, form: str, user_agent: str) -> None:
    """Opt out in the token's scope. A token that names nobody is counted instead: the same work, the same answer."""
    token, now = tokens.read(text), timezone.now()
    if token is None:
        return _unknown(text)
    draft = NewDecision(
        subject=token.subject_id,
        purpose=token.purpose,
        channel=token.channel,
        choice=Choice.OPT_OUT,
        cause=Cause.SUBJECT_CHOICE,
        exit_path=ONE_CLICK,
        decided_at=now,
        is_now=True,
        message_id=token.message_id,
        reasons=causes.said(FORMS[form], agent=agent_class(user_agent)),
        evidence={"form": form, "agent": agent_class(user_agent), "pressed_at": now.isoformat()},
        idempotency_key=f"{ONE_CLICK}:{hashlib.sha256(text.encode()).hexdigest()[:40]}",
    )
    try:
        if spool.is_needed():
            outage.take(text, [draft])
        elif not press(draft):  # what was recorded is counted from the log
            exit_paths.count_use(ONE_CLICK, Outcome.COMPLETED, "repeated")
    except DecisionsRefused as refused:
        _unknown(text, refused)
    except Error as error:
        outage.noted(error)
        outage.take(text, [draft])


def hidden_link(request: HttpRequest, token: str) -> HttpResponse:
    """A link of our page that no person sees or reaches: who fetches it is a program. It shows the same page."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    _looked(request, token, flow.Link.HIDDEN)
    return _ask(request, token)


def _looked(request: HttpRequest, text: str, link: str) -> None:
    if request.method == "GET" and link == flow.Link.UNSUBSCRIBE:
        flow.started(ONE_CLICK)
    if token := tokens.read(text):
        flow.looked(token.message_id, link, agent_class(request.META.get("HTTP_USER_AGENT", "")))


def _unknown(text: str, refused: DecisionsRefused | None = None) -> None:
    """Counted; and where the link still tells whose wish it was, kept for support to ask them."""
    code = refused.problems[0].code if refused else "bad_token"
    exit_paths.count_use(ONE_CLICK, Outcome.REFUSED, "bad_token")
    if who := interrupted.hint(tokens.hint(text)):
        interrupted.keep(
            [
                interrupted.Attempt(
                    exit_path=ONE_CLICK,
                    place="POST /u/",
                    error_code=code,
                    error=refused.problems[0].message if refused else "The link was cut or changed.",
                    person=who,
                    is_ours=False,
                )
            ]
        )


def _keep(text: str, code: str, error: str) -> None:
    if token := tokens.read(text):
        interrupted.keep(
            [
                interrupted.Attempt(
                    exit_path=ONE_CLICK,
                    place="POST /u/",
                    error_code=code,
                    error=error,
                    person=token.subject_id,
                    purpose=token.purpose,
                    channel=token.channel,
                    message_id=token.message_id,
                    is_certain=True,
                )
            ]
        )


def _ask(request: HttpRequest, token: str) -> HttpResponse:
    return page(request, "unsubscribe", choose(request), token=token)


def _not_stored(request: HttpRequest, form: str) -> HttpResponse:
    if form == "page":
        return not_stored(request, choose(request))
    response = private(HttpResponse("Not stored. Try again.\n", status=503, content_type="text/plain; charset=utf-8"))
    response["Retry-After"] = RETRY_AFTER
    return response
