"""How many people leave, minute by minute, how the ways out do, and what is on fire meanwhile."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import views
from rest_framework.request import Request
from rest_framework.response import Response

from config.models import Scope
from config.problems import Fault, Refused, invalid
from consent import flow
from consent.models import ANY, Cause, Channel
from consent.models.purpose import code
from incidents import marks, rates
from incidents.api.shapes import BandShown, FlowShown, MarkShown, TelemetryShown
from incidents.rates import COLUMNS, MODES, Only
from incidents.seeing import seen_by

CODES = ("purpose", "exit_path")
OUTCOMES = ("started", "completed", "refused", "broken_off", "failed")
PARAMETERS = [
    OpenApiParameter("minutes", int, description="How far back, 1 to 1440; 60 if not given."),
    OpenApiParameter(
        "group_by", str, description=f"Columns to tell apart, by commas, of {', '.join(COLUMNS)}; all if not given."
    ),
    OpenApiParameter("purpose", str, description="Only this one; opt-outs of everything are counted with each."),
    OpenApiParameter("channel", str, enum=[*Channel.values, ANY], description="Likewise."),
    OpenApiParameter("exit_path", str, description="Only this way out."),
    OpenApiParameter("cause", str, enum=list(Cause.values), description="Only this cause."),
    OpenApiParameter("mode", str, enum=[*MODES, "all"], description="real if not given: drills stand apart."),
]


class TelemetryView(views.APIView):
    scopes = {"GET": Scope.INCIDENTS_READ}

    @extend_schema(operation_id="telemetry", parameters=PARAMETERS, responses=TelemetryShown)
    def get(self, request: Request) -> Response:
        """Opt-outs of the last minutes, the health of the ways out, marks, and the incidents of that time. Poll it."""
        minutes, columns, only = _asked(request.query_params)
        until = timezone.now()
        since = (until - timedelta(minutes=minutes)).replace(second=0, microsecond=0)
        counted = rates.by_minute(since, until, columns, only)
        found = marks.between(since, until, request.auth)
        return Response(
            {
                "since": since,
                "until": until,
                "opt_outs": counted.rows,
                "is_complete": counted.is_complete,
                "unexplained_share": rates.known(since, until).share,
                "flow": _flow(since, until, only.exit_path),
                "marks": MarkShown(found, many=True).data,
                "incidents": BandShown(rates.bands(since, until, seen_by(request.auth)), many=True).data,
            }
        )


class StreamView(views.APIView):
    """The stream is a process of its own: connections that stay open would each hold a thread here."""

    scopes = {"GET": Scope.INCIDENTS_READ}

    @extend_schema(
        operation_id="telemetry_stream",
        parameters=[
            OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="Where you were cut off.")
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR,
                description="Events `opt_outs` with JSON: what changed. `unmeasured`: the numbers cannot be read until "
                "the next `opt_outs`. After `reset`, poll once.",
            )
        },
    )
    def get(self, request: Request) -> Response:
        """Server-sent events: told within a second or two when numbers change. Poll for the numbers themselves."""
        if not settings.STREAM_URL:
            raise Refused(404, "not_found", "No stream runs here. Poll /api/v1/telemetry/ instead.")
        where = f"{settings.STREAM_URL}/api/v1/telemetry/stream/"
        raise Refused(421, "elsewhere", f"The stream is served at {where}. Send the same key there.")


def _asked(query: Mapping[str, str]) -> tuple[int, list[str], Only]:
    """Raises Refused with everything that is wrong."""
    faults: list[Fault] = []
    text = query.get("minutes", "60")
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 1440:
        faults.append(Fault("minutes", "out_of_range", "minutes lies between 1 and 1440."))
    columns = query["group_by"].split(",") if "group_by" in query else list(COLUMNS)
    if unknown := sorted(set(columns) - set(COLUMNS) - {""}):
        detail = f"No such column: {', '.join(unknown)[:100]}. There are {', '.join(COLUMNS)}."
        faults.append(Fault("group_by", "unknown", detail))
    for name, known in (("channel", [*Channel.values, ANY]), ("cause", Cause.values), ("mode", [*MODES, "all"])):
        if name in query and query[name] not in known:
            faults.append(Fault(name, "unknown", f"{name} is one of {', '.join(known)}."))
    for name in CODES:
        if name in query and query[name] != ANY and not re.fullmatch(code.regex, query[name]):
            faults.append(Fault(name, "unknown", f"No {name.replace('_', ' ')} has such a code."))
    if faults:
        raise invalid(faults)
    mode = query.get("mode", "real").replace("all", "")
    only = Only(**{name: query.get(name, "") for name in ("purpose", "channel", "exit_path", "cause")}, mode=mode)
    return int(text), [name for name in COLUMNS if name in columns], only


def _flow(since: datetime, until: datetime, exit_path: str) -> Any:
    told = [
        {
            "exit_path": one.exit_path,
            **{outcome: one.count(outcome) for outcome in OUTCOMES},
            "p50_ms": one.p50_ms,
            "p95_ms": one.p95_ms,
            "p99_ms": one.p99_ms,
            "slowest_ms": one.slowest_ms,
        }
        for one in flow.health(since, until, [exit_path] if exit_path else [])
    ]
    return FlowShown(told, many=True).data
