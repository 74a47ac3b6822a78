"""How many people leave, minute by minute, and what is on fire meanwhile."""

import re
from datetime import timedelta

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import views
from rest_framework.request import Request
from rest_framework.response import Response

from config.models import Scope
from config.problems import Fault, invalid
from incidents import rates
from incidents.api.incidents import seen_by
from incidents.api.shapes import BandShown, TelemetryShown


class TelemetryView(views.APIView):
    scopes = {"GET": Scope.INCIDENTS_READ}

    @extend_schema(
        operation_id="telemetry",
        parameters=[OpenApiParameter("minutes", int, description="How far back, 1 to 1440; 60 if not given.")],
        responses=TelemetryShown,
    )
    def get(self, request: Request) -> Response:
        """Opt-outs of the last minutes by way out and cause, and the incidents of that time. Poll it."""
        text = request.query_params.get("minutes", "60")
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 1440:
            raise invalid([Fault("minutes", "out_of_range", "minutes lies between 1 and 1440.")])
        until = timezone.now()
        since = (until - timedelta(minutes=int(text))).replace(second=0, microsecond=0)
        incidents = rates.bands(since, until, seen_by(request))
        return Response(
            {
                "since": since,
                "until": until,
                "opt_outs": rates.by_minute(since, until),
                "incidents": BandShown(incidents, many=True).data,
            }
        )
