"""The preference page: what is stored about a person, one button that ends it all, and a way back in two steps.

It needs no script, cookie or login. The token in its address stands for the login and against forged requests: who
does not hold a message cannot guess it, and the page never tells its address to others (Referrer-Policy). Beside that,
a POST which a browser says comes from another site is refused; a browser that says nothing is not.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt

from consent import exit_paths, flow, interrupted, second_steps, spool, tokens
from consent.exit_paths import GPC, PREFERENCE_PAGE, Outcome
from consent.models import Choice, Purpose, Reversal
from consent.public import choices, gpc, outage, saving
from consent.public.choices import Person, day
from consent.public.languages import TEXTS, choose, words_for
from consent.public.opting_out import DoesNotHold
from consent.public.pages import agent_class, not_stored, page

log = structlog.get_logger(__name__)


@dataclass
class Reply:
    """What the page says beside what is stored: names of texts, and what waits for a second step."""

    said: str = ""
    problems: list[str] = field(default_factory=list)
    waiting: list[Reversal] = field(default_factory=list)
    groups: list[choices.Group] | None = None  # as the person filled them in, where nothing was stored


@csrf_exempt
def preferences(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows, POST stores and shows what is stored. A link that names nobody gets the same page whatever it is."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if request.method == "POST":
        with flow.measured(PREFERENCE_PAGE):
            response = _respond(request, token)
    else:
        _looked(request, token)
        response = _respond(request, token)
    response["Vary"] = "Accept-Language, Sec-GPC"
    return response


def _looked(request: HttpRequest, text: str) -> None:
    if request.method == "GET":
        flow.started(PREFERENCE_PAGE)
    if token := tokens.read(text):
        agent = agent_class(request.headers.get("User-Agent", ""))
        flow.looked(token.message_id, flow.Link.PREFERENCES, agent)


def _respond(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "POST" and spool.is_needed():
        response = _take(request, token)
    else:
        try:
            response = _answer(request, token)
        except (Error, DoesNotHold) as error:
            log.error("preferences_not_stored", error=str(error))
            is_taken = request.method == "POST" and outage.noted(error)
            response = _take(request, token) if is_taken else _failed(request, token, error)
    return response


def _take(request: HttpRequest, token: str) -> HttpResponse:
    """While the database is away: each no goes to disk; a yes comes back to its person, to be sent again."""
    read, language = tokens.read(token), choose(request)
    if read is None or comes_from_elsewhere(request):
        return _failed(request)
    scopes, has_more = outage.noes(_posted(request))
    by = saving.Wish(read.subject_id, language, agent_class(request.headers.get("User-Agent", "")))
    try:
        if scopes:
            outage.take(token, [by.draft(purpose, channel, Choice.OPT_OUT) for purpose, channel in scopes])
    except OSError as error:
        log.error("preferences_not_spooled", error=str(error))
        return _failed(request, token, error)
    return page(request, "taken", language, status=202) if scopes and not has_more else _failed(request)


def _failed(request: HttpRequest, token: str = "", error: Exception | None = None) -> HttpResponse:
    if request.method == "POST":
        exit_paths.count_use(PREFERENCE_PAGE, Outcome.FAILED, "error")
        if error is not None:
            _keep(token, error, outage.noes(_posted(request))[0])
    elif gpc.is_sent(request):
        exit_paths.count_use(GPC, Outcome.FAILED, "error")
    return not_stored(request, choose(request))


def _keep(text: str, error: Exception, scopes: list[outage.Scope]) -> None:
    """Each no that was neither in the database nor on disk. A yes is not kept: its person says it again."""
    if token := tokens.read(text):
        interrupted.keep(
            [
                interrupted.Attempt(
                    exit_path=PREFERENCE_PAGE,
                    place="POST /preferences/",
                    error_code=type(error).__name__,
                    error=str(error),
                    person=token.subject_id,
                    purpose=purpose,
                    channel=channel,
                    message_id=token.message_id,
                    is_certain=True,
                )
                for purpose, channel in scopes
            ]
        )


def _keep_hint(text: str) -> None:
    if who := interrupted.hint(tokens.hint(text)):
        interrupted.keep(
            [
                interrupted.Attempt(
                    exit_path=PREFERENCE_PAGE,
                    place="POST /preferences/",
                    error_code="bad_token",
                    error="The link was cut or changed.",
                    person=who,
                    is_ours=False,
                )
            ]
        )


def _answer(request: HttpRequest, token: str) -> HttpResponse:
    person = choices.person_of(token)
    if person is None:
        if request.method != "HEAD":
            exit_paths.count_use(PREFERENCE_PAGE, Outcome.REFUSED, "bad_token")
        if request.method == "POST":
            _keep_hint(token)
        return page(request, "dead_link", choose(request), status=404)
    language = choose(request, person.locale)
    if request.method == "POST" and comes_from_elsewhere(request):
        exit_paths.count_use(PREFERENCE_PAGE, Outcome.REFUSED, "cross_site")
        return page(request, "elsewhere", language, status=403)
    honoured = _honoured(person, request, language) if gpc.is_sent(request) else None
    reply = _reply(request, person, language) if request.method == "POST" else _asked(request, person)
    groups = reply.groups or choices.groups_for(person, language, reply.waiting)
    if reply.waiting:
        return _ask_again(request, reply, groups, language)
    return page(
        request,
        "preferences",
        language,
        status=400 if "invalid" in reply.problems else 200,
        address=TEXTS[language].preferences_for.replace("{address}", person.address) if person.address else "",
        groups=groups,
        said=getattr(TEXTS[language], reply.said) if reply.said else "",
        problems=[getattr(TEXTS[language], name) for name in reply.problems],
        signal=_signal_texts(honoured, language) if honoured else None,
    )


def _honoured(person: Person, request: HttpRequest, language: str) -> gpc.Honoured:
    flow.started(GPC)
    with flow.measured(GPC):
        return gpc.honour(person.subject_id, request, language)


def _reply(request: HttpRequest, person: Person, language: str) -> Reply:
    posted = _posted(request)
    by = saving.Wish(person.subject_id, language, agent_class(request.headers.get("User-Agent", "")))
    action = posted.get("action")
    if action == "stop":
        saving.stop_everything(by)
        return Reply("stopped")
    if action == "confirm":
        return _confirm(posted, by)
    groups = choices.groups_for(person, language)
    wishes = choices.wishes(choices.rows_of(groups), posted) if action == "save" else None
    if wishes is None:
        exit_paths.count_use(PREFERENCE_PAGE, Outcome.BROKEN_OFF, "invalid")
        return Reply(problems=["invalid"], groups=groups)
    waiting = saving.save(wishes, by, choices.notice_version(groups, language))
    return Reply("saved" if len(wishes) > len(waiting) else "nothing_new", waiting=waiting)


def _asked(request: HttpRequest, person: Person) -> Reply:
    """Where a mail about the second step leads: that one question. Looking at it changes nothing."""
    try:
        asked = UUID(request.GET["confirm"])
    except (KeyError, ValueError):
        return Reply()
    asked_about = Purpose.objects.filter(is_public=True).values("code")
    if reversal := second_steps.open_ones(person.subject_id).filter(pk=asked, purpose__in=asked_about).first():
        return Reply(waiting=[reversal])
    was_used = Reversal.objects.filter(pk=asked, subject=person.subject_id, confirmation__isnull=False).exists()
    return Reply(problems=[REFUSED_TEXTS["used" if was_used else "too_late"]])


def _confirm(posted: QueryDict, by: saving.Wish) -> Reply:
    try:
        ids = [UUID(text) for text in posted.getlist("reversal")]
    except ValueError:
        exit_paths.count_use(PREFERENCE_PAGE, Outcome.BROKEN_OFF, "invalid")
        return Reply(problems=["invalid"])
    refused = saving.confirm(ids, by)
    for code in set(refused) - {"used"}:  # pressed twice: what they wanted is stored
        exit_paths.count_use(PREFERENCE_PAGE, Outcome.REFUSED, code)
    return Reply("confirmed" if len(refused) < len(ids) else "", sorted({REFUSED_TEXTS[code] for code in refused}))


REFUSED_TEXTS = {"used": "refused_used", "too_late": "refused_late", "opted_out_again": "refused_meanwhile"}


def _ask_again(request: HttpRequest, reply: Reply, groups: list[choices.Group], language: str) -> HttpResponse:
    """The page of the second step: it names each scope, and the day on which the person had said no to it."""
    rows = {row.name: (group, row) for group in groups for row in group.rows}
    entries = []
    for reversal in reply.waiting:
        if (found := rows.get(f"{reversal.purpose}/{reversal.channel}")) is None:
            continue  # the purpose was closed this moment
        group, row = found
        text = TEXTS[language].confirm_entry.replace("{date}", day(row.answer.since, language))
        entries.append({"id": reversal.pk, "purpose": group.name, "channel": row.label, "text": text})
    in_any_language = f"&confirm={entries[0]['id']}" if len(entries) == 1 else ""
    others_are_saved = reply.said == "saved"
    return page(
        request, "confirm", language, entries=entries, others_are_saved=others_are_saved, and_query=in_any_language
    )


def _signal_texts(honoured: gpc.Honoured, language: str) -> list[str]:
    texts = TEXTS[language]
    said = []
    if honoured.out:
        names = ", ".join(words_for(purpose, language)[0] for purpose in honoured.out)
        said.append(texts.gpc_honoured.replace("{purposes}", names))
    for text, conflicts in ((texts.gpc_overruled, honoured.overruled), (texts.gpc_kept, honoured.kept)):
        for purpose, yes in conflicts:
            name = words_for(purpose, language)[0]
            said.append(text.replace("{purpose}", name).replace("{date}", day(yes, language)))
    return said


def comes_from_elsewhere(request: HttpRequest) -> bool:
    """A browser says so. `Origin: null` does not: our own pages send it, because they forbid the referrer."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin", "null")
    return origin != "null" and urlsplit(origin).netloc not in (
        request.get_host(),
        urlsplit(settings.PUBLIC_URL).netloc,
    )


def _posted(request: HttpRequest) -> QueryDict:
    try:
        return request.POST
    except (SuspiciousOperation, MultiPartParserError):  # too many fields, a broken form: the page comes back
        return QueryDict()
