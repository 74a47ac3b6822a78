"""Playbooks for services: what is being done for an incident, started and answered. People approve, not services."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import Text, idempotent
from config.schema import IDEMPOTENCY_KEY
from incidents.api.incidents import OfIncident, caller_of
from incidents.api.shapes import Reason, given
from incidents.models import Playbook, PlaybookRun, StepRun
from incidents.playbooks import attaching, hands

MOST = 50  # runs of an incident that are shown
VERBS: dict[str, Callable[..., PlaybookRun]] = {
    "confirm": hands.confirm, "decline": hands.decline, "decide": hands.decide, "retry": hands.retry,
    "skip": hands.skip, "undo": hands.undo, "cancel": hands.cancel,
}  # fmt: skip


class StepShown(serializers.ModelSerializer[StepRun]):
    class Meta:
        model = StepRun
        fields = ["key", "title", "kind", "state", "attempt", "reason", "output", "wait_until", "ended_at", "ended_by"]


class RunShown(serializers.ModelSerializer[PlaybookRun]):
    playbook = serializers.CharField(source="playbook.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    steps = StepShown(source="step_runs", many=True, read_only=True)

    class Meta:
        model = PlaybookRun
        fields = [
            "id", "playbook", "version", "trigger", "reason", "state", "position", "next_at", "started_at",
            "started_by", "stopped_at", "ended_at", "ended_by", "audit_result", "steps",
        ]  # fmt: skip


class PlaybooksShown(serializers.Serializer[Any]):
    runs = RunShown(many=True)
    suggested = serializers.ListField(child=serializers.CharField(), help_text="Slugs that its signals call for.")


class NewRun(Reason):
    playbook = Text(max_length=50, help_text="The slug of a playbook.")


class Answer(Reason):
    """`step` is the key of the step that is answered: where the run is at another one by now, it is refused."""

    verb = serializers.ChoiceField(choices=list(VERBS))
    step = Text(max_length=50, required=False)
    choice = Text(max_length=50, required=False, help_text="For decide: one of what the step offers.")


class PlaybooksView(OfIncident):
    @extend_schema(operation_id="incidents_playbooks", responses=PlaybooksShown)
    def get(self, request: Request, ref: str) -> Response:
        """What is being done for it and was done, newest first, and which playbooks its signals call for."""
        incident = self.incident(ref)
        runs = runs_of(PlaybookRun.objects.filter(incident=incident)).order_by("-pk")[:MOST]
        suggested = [version.playbook.slug for version, _ in attaching.suggested(incident)]
        return Response({"runs": RunShown(runs, many=True).data, "suggested": suggested})

    @extend_schema(
        operation_id="incidents_start_playbook", request=NewRun, responses={200: RunShown, 201: RunShown},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Start one: 201. Where it is being done already nothing happens, and the answer is that run: 200."""
        incident, told = self.incident(ref), given(NewRun, request)
        playbook = Playbook.objects.filter(slug=told["playbook"]).first()
        if playbook is None:
            raise ValidationError({"playbook": "There is no such playbook."})
        trigger = PlaybookRun.Trigger.SERVICE
        run, is_new = hands.start(incident, playbook, reason=told["reason"], by=caller_of(request), trigger=trigger)
        shown = runs_of(PlaybookRun.objects.all()).get(pk=run.pk)
        return Response(RunShown(shown).data, status=201 if is_new else 200)


class PlaybookView(OfIncident):
    @extend_schema(
        operation_id="incidents_answer_playbook", request=Answer, responses=RunShown, parameters=[IDEMPOTENCY_KEY]
    )
    @idempotent
    def post(self, request: Request, ref: str, run: int) -> Response:
        """Answer what its step asks, try again, skip, take back, cancel. Approvals and roles take a person, and so does
        taking back what took an approval."""
        found = PlaybookRun.objects.filter(incident=self.incident(ref), pk=run).first()
        if found is None:
            raise Http404
        told = given(Answer, request)
        verb, facts = told["verb"], {"reason": told["reason"], "by": caller_of(request)}
        if verb == "decide":
            facts["choice"] = told.get("choice", "")
        if verb not in ("undo", "cancel"):
            facts["step"] = told.get("step", "")
        VERBS[verb](found, **facts)
        return Response(RunShown(runs_of(PlaybookRun.objects.all()).get(pk=run)).data)


def runs_of(found: Any) -> Any:
    return found.select_related("playbook", "version").prefetch_related("step_runs")
