"""The live page: who leaves and why, how the ways out do, and what happens meanwhile, as it happens.

The server draws everything; the script only asks for it again when the stream says that something changed, or every
few seconds where there is no stream. Without scripts it is a page with a form.
"""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from config.admin import person
from config.models import User
from consent import flow
from consent.models import Channel, ExitPath, Purpose
from incidents import chart, marks, rates
from incidents.models import Incident
from incidents.rates import MODES, PERIODS, Only
from incidents.seeing import seen_by
from incidents.stream import tickets
from incidents.stream.serving import PAGES

ALL = ("", "all")
NEWEST = 30  # rows of the table beside the chart
SPLITS = [("cause", "cause"), ("path", "way out"), ("purpose", "purpose"), ("channel", "channel")]


def purposes() -> list[tuple[str, str]]:
    return [ALL, *Purpose.objects.values_list("code", "name")]


def exit_paths() -> list[tuple[str, str]]:
    return [ALL, *ExitPath.objects.values_list("code", "name")]


class View(forms.Form):
    """What of it is looked at. Nonsense in the address is as good as nothing: the page opens all the same."""

    period = forms.ChoiceField(choices=[(p.code, p.title) for p in PERIODS.values()], required=False)
    by = forms.ChoiceField(label="Split by", choices=SPLITS, required=False)
    purpose = forms.ChoiceField(choices=purposes, required=False)
    channel = forms.ChoiceField(choices=[ALL, *Channel.choices], required=False)
    path = forms.ChoiceField(label="Way out", choices=exit_paths, required=False)
    mode = forms.ChoiceField(label="Whose", choices=[("real", "real people"), ("drill", "drills")], required=False)

    def told(self) -> dict[str, str]:
        self.is_valid()
        said: dict[str, str] = {name: self.cleaned_data.get(name, "") for name in self.fields}
        defaults = {"period": "1h", "by": "cause", "mode": "real"}
        return {name: value or defaults.get(name, "") for name, value in said.items()}


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    user = _may(request)
    asked = View(request.GET).told()
    stream = f"{settings.STREAM_URL}{PAGES}" if settings.STREAM_URL else ""
    context = {
        **admin.site.each_context(request),
        "title": "Live",
        "form": View(asked),
        "numbers_url": reverse("live-numbers"),
        "stream_url": stream,
        "zone": timezone.get_current_timezone_name(),
        "ticket": tickets.issue(user) if stream else "",
        **_numbers(user, asked),
    }
    return TemplateResponse(request, "admin/incidents/live.html", context)


@require_safe
def numbers(request: HttpRequest) -> HttpResponse:
    """The part of the page that changes."""
    user = _may(request)
    context = _numbers(user, View(request.GET).told())
    return TemplateResponse(request, "admin/incidents/live_numbers.html", context)


def _may(request: HttpRequest) -> User:
    user = person(request)
    if not user.has_perm(tickets.PERMISSION):
        raise PermissionDenied
    return user


def _numbers(user: User, asked: dict[str, str]) -> dict[str, Any]:
    now, period = timezone.now(), PERIODS[asked["period"]]
    first = period.steps(now)[0]
    only = Only(asked["purpose"], asked["channel"], asked["path"], mode=asked["mode"] if asked["mode"] in MODES else "")
    found = rates.opt_outs(period, asked["by"], now, only=only)
    sees_incidents = user.has_perm("incidents.view_incident")
    incidents = rates.bands(first, now, seen_by(user)) if sees_incidents else []
    flags = marks.between(first, now, user) if sees_incidents else []
    drawn = chart.draw(found, period, incidents, flags)
    return {
        "chart": drawn,
        "period": period,
        "split": dict(SPLITS)[asked["by"]],
        "newest": drawn.table[:NEWEST],
        "ways_out": flow.health(first, now, [asked["path"]] if asked["path"] else []),
        "meanwhile": sorted(
            [(mark.at, mark.kind, mark.text, mark.url, mark.is_drill) for mark in flags]
            + [_band(incident) for incident in incidents],
            key=lambda line: line[0],
            reverse=True,
        ),
        "sees_incidents": sees_incidents,
        "summary": _summary(found, period, now),
        "now": now,
    }


def _band(incident: Incident) -> tuple[Any, str, str, str, bool]:
    url = reverse("admin:incidents_incident_change", args=[incident.pk])
    began = f"{incident} began ({incident.get_status_display()})"
    return incident.occurred_from, "incident", began, url, incident.mode == Incident.Mode.DRILL


def _summary(found: rates.Rates, period: rates.Period, now: datetime) -> str:
    """One sentence for those who listen: the newest opt-outs, and what most of them gave as their cause."""
    recent = [step for step in found.steps if step >= now - timedelta(minutes=6)] or found.steps[-1:]
    total = sum(sum(found.counts[step].values()) for step in recent if step in found.counts)
    by_key = {key: sum(found.counts[step][key] for step in recent if step in found.counts) for key in found.keys}
    most = max(by_key, key=lambda key: by_key[key], default="")
    is_fine = period.step <= timedelta(minutes=1)
    when = "in the last minutes" if is_fine else f"since {timezone.localtime(recent[0]):%H:%M}"
    words = f"{total:,} opt-out{'' if total == 1 else 's'} {when}"
    return f"{words}, most by {rates.title_of(most)}." if total else f"{words}."
