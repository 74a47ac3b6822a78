"""The tabs of a notice's page: facts, the text as people get it, recipients with the proof report, and events."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from config import csv_files
from config.models import User
from messaging import notices
from messaging import report as proofs
from messaging.cohorts import COHORTS
from messaging.gates import render_sample
from messaging.models import Notice, NoticeEvent, Outcome, TemplateVersion
from messaging.rendering import RenderError

ROWS = 25
TABS = (
    ("facts", "Facts", "messaging.view_notice"),
    ("preview", "As people get it", "messaging.view_templatebody"),
    ("recipients", "Recipients", "messaging.view_noticerecipient"),
    ("events", "Events", "messaging.view_noticeevent"),
)


def current(request: HttpRequest) -> str:
    asked = request.GET.get("tab", "")
    return asked if any(asked == name and request.user.has_perm(needed) for name, _, needed in TABS) else "facts"


def context(notice: Notice, request: HttpRequest) -> dict[str, Any]:
    """What the page of a notice shows below its title."""
    tab = current(request)
    shows = {"preview": preview, "recipients": recipients, "events": events}
    return {
        "notice": notice,
        "tab": tab,
        "tabs": [(name, words) for name, words, needed in TABS if request.user.has_perm(needed)],
        "progress": proofs.progress_of(notice) if notice.state not in Notice.OPEN else None,
        "left_out": proofs.exclusions_of(notice),
        "hands_in": sorted(notices.hands_in(notice)) if notice.state == Notice.State.COUNTED else [],
        "refused_lines": notice.cohort.get("told", []) if notice.cohort_kind == Notice.Kind.LIST else [],
        **(shows[tab](notice, request) if tab in shows else {}),
    }


def preview(notice: Notice, request: HttpRequest) -> dict[str, Any]:
    """Each language of the fixed text with the facts of this notice, or of the newest one while it is a draft."""
    version = notice.version or TemplateVersion.objects.published(notice.template_id).first()
    shown: list[dict[str, Any]] = []
    if version is None:
        return {"previews": shown, "version": None}
    for body in version.bodies.order_by("locale"):
        try:
            shown.append({"title": body.locale, "body": render_sample(version, notice.context, body)})
        except RenderError as error:
            shown.append({"title": body.locale, "problem": str(error)})
    return {"previews": shown, "version": version}


def recipients(notice: Notice, request: HttpRequest) -> dict[str, Any]:
    outcome, after = request.GET.get("outcome", ""), request.GET.get("after", "0")
    if not after.isdecimal() or len(after) > 18 or (outcome and outcome not in Outcome.values):
        raise Http404("No such page.")
    found = proofs.recipients_of(notice).filter(pk__gt=int(after)).order_by("pk")
    some = list(found.filter(outcome=outcome)[: ROWS + 1] if outcome else found[: ROWS + 1])
    where: dict[str, str | int] = {"tab": "recipients", **({"outcome": outcome} if outcome else {})}
    return {
        "rows": [proofs.proof(row) | {"shown": row, "words": Outcome(row.outcome).label} for row in some[:ROWS]],
        "outcome": outcome,
        "outcomes": [(name, f"{words} ({count:,})") for name, words, count in proofs.progress_of(notice).in_words()],
        "newest": after != "0",
        "first": "?" + urlencode(where),
        "older": "?" + urlencode({**where, "after": some[ROWS - 1].pk}) if len(some) > ROWS else "",
    }


def events(notice: Notice, request: HttpRequest) -> dict[str, Any]:
    after = request.GET.get("after", "0")
    if not after.isdecimal() or len(after) > 18:
        raise Http404("No such page.")
    some = list(notice.events.filter(pk__gt=int(after))[: ROWS + 1])
    return {
        "events": [(event, numbers_of(event)) for event in some[:ROWS]],
        "newest": after != "0",
        "first": "?tab=events",
        "older": f"?tab=events&after={some[ROWS - 1].pk}" if len(some) > ROWS else "",
    }


def numbers_of(event: NoticeEvent) -> str:
    facts = {name.replace("_", " "): value for name, value in event.facts.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def report(notice: Notice, *, reason: str, by: User) -> StreamingHttpResponse:
    """The proof report as CSV, streamed. Raises ValidationError without a reason, which is kept in the events."""
    if not reason.strip() or len(reason) > 200:
        raise ValidationError("Say what you need the report for, in 200 characters at most.")
    notices.note(notice, NoticeEvent.Kind.DOWNLOADED, by, reason)
    return csv_files.download(f"{notice.ref}-proof.csv", proofs.lines(notice))


def incident(notice: Notice) -> str:
    """The incident in words, as the app that knows it tells it."""
    if notice.incident_id is None:
        return ""
    known = dict(COHORTS["incident"].choices()) if "incident" in COHORTS else {}
    return known.get(notice.incident_id, f"incident number {notice.incident_id}")


def whom(notice: Notice) -> str:
    """The cohort in words."""
    if notice.cohort_kind == Notice.Kind.LIST:
        return f"a list of {notice.cohort.get('lines', 0):,} lines, {notice.cohort.get('refused', 0):,} name nobody"
    if notice.cohort_kind == Notice.Kind.QUERY:
        filters = {
            name.replace("_", " "): value.replace("_", " ") for name, value in notice.cohort.items() if name != "of"
        }
        whose = "standing choice" if notice.cohort.get("of") == "standing" else "any decision"
        return f"{whose}: " + ", ".join(f"{name} {value}" for name, value in filters.items())
    return "people tied to the incident"


def page(object_id: Any, tab: str) -> str:
    return f"{reverse('admin:messaging_notice_change', args=[object_id])}?tab={tab}"
