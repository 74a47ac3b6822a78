"""The life of an incident for services: its steps, who works on it, clocks, follow-ups, review, ties and exports."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import idempotent
from config.models import User
from config.schema import IDEMPOTENCY_KEY
from incidents import affected, clocks, exports, facts, follow_ups, lifecycle, relations, review, roles
from incidents.api import case_shapes as shapes
from incidents.api.incidents import READ, WRITE, OfIncident, caller_of
from incidents.api.shapes import Given, IncidentShown, Reason, given
from incidents.models import FollowUp, Incident, IncidentClockRule, IncidentRole, PostIncidentReview
from incidents.seeing import seen_by
from incidents.timeline import Source


class StepView(OfIncident):
    """One verb of the life of an incident."""

    scopes = {"POST": WRITE}
    shape: ClassVar[type[Given]]
    verb: ClassVar[Callable[..., Any]]

    def take(self, request: Request, ref: str) -> Response:
        told = given(self.shape, request)
        done = type(self).verb(self.incident(ref), **told, by=caller_of(request), source=Source.API)
        return Response(IncidentShown(done).data)


def step(name: str, verb: Callable[..., Any], shape: type[Given], words: str) -> type[StepView]:
    """A view for a verb that takes what `shape` holds and answers with the incident."""

    def post(self: StepView, request: Request, ref: str) -> Response:
        return self.take(request, ref)

    post.__doc__ = words
    described = extend_schema(
        operation_id=f"incidents_{name}", request=shape, responses=IncidentShown, parameters=[IDEMPOTENCY_KEY]
    )
    facts_of_view = {"shape": shape, "verb": staticmethod(verb), "post": described(idempotent(post))}
    return type(f"{name.title().replace('_', '')}View", (StepView,), facts_of_view)


AcceptView = step("accept", lifecycle.accept, Reason, "Out of triage: it is an incident.")
AcknowledgeView = step("acknowledge", lifecycle.acknowledge, shapes.Acknowledgement, "Somebody has seen it.")
DeclineView = step("decline", lifecycle.decline, Reason, "It is no incident.")
RecoverView = step("recover", lifecycle.begin_recovery, Reason, "What it broke is being mended.")
MonitorView = step("monitor", lifecycle.begin_monitoring, shapes.Step, "All is mended; it is being watched.")
ReopenView = step("reopen", lifecycle.reopen, Reason, "It burns again, or was one after all.")
UpdateView = step("update", clocks.post_update, shapes.NewUpdate, "Tell those who wait where it stands.")
MomentView = step("moment", facts.set_moment, shapes.NewMoment, "Put a time right, or mark it as an estimate.")


class MergeView(OfIncident):
    @extend_schema(
        operation_id="incidents_merge", request=shapes.Other, responses=IncidentShown, parameters=[IDEMPOTENCY_KEY]
    )
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """It is the same as another, which takes over its alerts, time, scope and ties."""
        told = given(shapes.Other, request)
        incident, other = self.incident(ref), self.other(told["other"])
        done = lifecycle.merge_into(incident, other, reason=told["reason"], by=caller_of(request), source=Source.API)
        return Response(IncidentShown(done).data)


class PeopleView(OfIncident):
    @extend_schema(operation_id="incidents_people", responses=shapes.PeopleShown)
    def get(self, request: Request, ref: str) -> Response:
        """Who has which part, also in the past; and each time of it as it was set, the newest of a kind counts."""
        return Response(self.shown(self.incident(ref)))

    @extend_schema(
        operation_id="incidents_role", request=shapes.NewRole, responses={201: shapes.PeopleShown},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Give somebody a part. A new commander takes over from the one before."""
        incident, told = self.incident(ref), given(shapes.NewRole, request)
        roles.assume(
            incident, someone(told["person"], "person"), told["role"], by=caller_of(request), source=Source.API
        )
        return Response(self.shown(incident), status=201)

    def shown(self, incident: Incident) -> dict[str, Any]:
        held = incident.roles.select_related("person")[:200]
        return {
            "roles": shapes.RoleShown(held, many=True).data,
            "moments": shapes.MomentShown(facts.moments_of(incident), many=True).data,
        }


class RenounceView(OfIncident):
    @extend_schema(
        operation_id="incidents_renounce", request=None, responses=shapes.RoleShown, parameters=[IDEMPOTENCY_KEY]
    )
    @idempotent
    def post(self, request: Request, ref: str, role: int) -> Response:
        """Lay a part down."""
        held = self.incident(ref).roles.filter(pk=role).select_related("incident").first()
        if held is None:
            raise Http404
        done: IncidentRole = roles.renounce(held, by=caller_of(request), source=Source.API)
        return Response(shapes.RoleShown(done).data)


class ClocksView(OfIncident):
    @extend_schema(operation_id="incidents_clocks", responses=shapes.ClockShown(many=True))
    def get(self, request: Request, ref: str) -> Response:
        """Its legal clocks, those due first before the others."""
        found = self.incident(ref).clocks.all()[:200]
        return Response(shapes.ClockShown(found, many=True, context={"now": timezone.now()}).data)

    @extend_schema(
        operation_id="incidents_start_clock", request=shapes.NewClock, responses={201: shapes.ClockShown},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Decide that a rule applies, and why; its term is counted down from then on."""
        incident, told = self.incident(ref), given(shapes.NewClock, request)
        rule = IncidentClockRule.objects.filter(code=told.pop("rule"), is_active=True).first()
        if rule is None:
            raise ValidationError({"rule": "There is no such rule, or it is switched off."})
        clock = clocks.start_clock(incident, rule, **told, by=caller_of(request), source=Source.API)
        return Response(shapes.ClockShown(clock, context={"now": timezone.now()}).data, status=201)


class ClockView(OfIncident):
    @extend_schema(operation_id="incidents_answer_clock", request=shapes.ClockAnswer, responses=shapes.ClockShown)
    def patch(self, request: Request, ref: str, rule: str) -> Response:
        """It was met, or turned out not to apply."""
        told = given(shapes.ClockAnswer, request)
        found = self.incident(ref).clocks.select_related("incident").filter(rule=rule) if "\0" not in rule else None
        clock = found.order_by("-pk").first() if found is not None else None
        if clock is None:
            raise Http404
        by = caller_of(request)
        if told["state"] == "met":
            clock = clocks.meet_clock(clock, answer=told["answer"], at=told.get("at"), by=by, source=Source.API)
        else:
            clock = clocks.waive_clock(clock, reason=told["answer"], by=by, source=Source.API)
        return Response(shapes.ClockShown(clock, context={"now": timezone.now()}).data)


class FollowUpsView(OfIncident):
    @extend_schema(operation_id="incidents_follow_ups", responses=shapes.FollowUpShown(many=True))
    def get(self, request: Request, ref: str) -> Response:
        """What must still be done, and what was."""
        return Response(
            shapes.FollowUpShown(self.incident(ref).follow_ups.select_related("owner")[:200], many=True).data
        )

    @extend_schema(
        operation_id="incidents_add_follow_up", request=shapes.NewFollowUp, responses={201: shapes.FollowUpShown},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Add one, with an owner and a day."""
        incident, told = self.incident(ref), given(shapes.NewFollowUp, request)
        told["owner"] = someone(told["owner"], "owner")
        work = follow_ups.add_follow_up(incident, told.pop("title"), **told, by=caller_of(request), source=Source.API)
        return Response(shapes.FollowUpShown(work).data, status=201)


class FollowUpView(OfIncident):
    @extend_schema(
        operation_id="incidents_settle_follow_up", request=shapes.FollowUpOutcome, responses=shapes.FollowUpShown
    )
    def patch(self, request: Request, ref: str, follow_up: int) -> Response:
        """It is done, or will not be."""
        told, by = given(shapes.FollowUpOutcome, request), caller_of(request)
        work = FollowUp.objects.select_related("incident").filter(incident=self.incident(ref), pk=follow_up).first()
        if work is None:
            raise Http404
        if told["state"] == "done":
            done = follow_ups.finish(work, outcome=told["outcome"], by=by, source=Source.API)
        else:
            done = follow_ups.drop(work, reason=told["outcome"], by=by, source=Source.API)
        return Response(shapes.FollowUpShown(done).data)


class ReviewView(OfIncident):
    @extend_schema(operation_id="incidents_review", responses=shapes.ReviewShown)
    def get(self, request: Request, ref: str) -> Response:
        """What it taught. Not found until one is owed or begun."""
        found = PostIncidentReview.objects.filter(incident=self.incident(ref)).first()
        if found is None:
            raise Http404
        return Response(shapes.ReviewShown(found).data)

    @extend_schema(operation_id="incidents_write_review", request=shapes.ReviewSections, responses=shapes.ReviewShown)
    def patch(self, request: Request, ref: str) -> Response:
        """Write on its sections; the numbers are counted anew. It is submitted and approved by people."""
        told = given(shapes.ReviewSections, request)
        done = review.write(self.incident(ref), **told, by=caller_of(request), source=Source.API)
        return Response(shapes.ReviewShown(done).data)


class RelatedView(OfIncident):
    @extend_schema(operation_id="incidents_related", responses=shapes.RelatedShown(many=True))
    def get(self, request: Request, ref: str) -> Response:
        """Incidents that belong together with it, that were merged into it, or that it was merged into."""
        incident = self.incident(ref)
        found = [(other, "related", reason) for other, reason in relations.related_to(incident)]
        found += [(other, "merged_into_this", "") for other in incident.duplicates.order_by("pk")]
        found += [(incident.duplicate_of, "merged_into", "")] if incident.duplicate_of else []
        found = found[:200]
        seen = set(seen_by(request.auth).filter(pk__in=[row[0].pk for row in found]).values_list("pk", flat=True))
        return Response(
            [
                {
                    "ref": other.ref,
                    "title": other.title if other.pk in seen else None,
                    "status": other.status,
                    "how": how,
                    "reason": reason,
                }
                for other, how, reason in found
            ]
        )

    @extend_schema(
        operation_id="incidents_relate", request=shapes.Other, responses={201: shapes.RelatedShown(many=True)},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """The two belong together."""
        told = given(shapes.Other, request)
        incident, other = self.incident(ref), self.other(told["other"])
        relations.relate(incident, other, reason=told["reason"], by=caller_of(request), source=Source.API)
        return Response(self.get(request, ref).data, status=201)


class AffectedView(OfIncident):
    @extend_schema(operation_id="incidents_affected", responses=shapes.AffectedShown)
    def get(self, request: Request, ref: str) -> Response:
        """What the tied decisions changed, and the seals over whom and what it touched, newest first."""
        return Response(self.shown(self.incident(ref)))

    @extend_schema(
        operation_id="incidents_seal", request=Reason, responses={201: shapes.AffectedShown},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Count the ties of now and keep digests of their ids."""
        incident, told = self.incident(ref), given(Reason, request)
        affected.seal_and_tell(incident, **told, by=caller_of(request), source=Source.API)
        return Response(self.shown(incident), status=201)

    def shown(self, incident: Incident) -> dict[str, Any]:
        return {
            "linked_count": incident.linked_count,
            "counted_of": affected.MOST,
            "effects": shapes.EffectShown(affected.effects(incident), many=True).data,
            "seals": shapes.SealShown(incident.affected_sets.all()[:50], many=True).data,
        }


class AsAFile(BaseContentNegotiation):
    """What is sent is JSON; what comes back is the file that the body names, whatever `Accept` says."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class ExportView(OfIncident):
    scopes = {"POST": READ}
    content_negotiation_class = AsAFile

    @extend_schema(
        operation_id="incidents_export",
        request=shapes.FileWanted,
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY),
        },
    )
    def post(self, request: Request, ref: str) -> HttpResponse:
        """The whole story as a file, oldest first. Each that is handed out is a line of the story, with its SHA-256."""
        incident, wanted = self.incident(ref), given(shapes.FileWanted, request)
        made = exports.export(incident, **wanted, by=caller_of(request), source=Source.API)
        headers = {
            "Content-Disposition": f'attachment; filename="{made.name}"',
            "Digest": f"sha-256={made.digest.hex()}",
        }
        return HttpResponse(made.body, content_type=made.content_type, headers=headers)


def someone(name: str, field: str) -> User:
    """A person by their user name. Raises ValidationError by field."""
    found = User.objects.filter(username=name, is_service=False, is_active=True).first()
    if found is None:
        raise ValidationError({field: "No person has this user name, or their account is not active."})
    return found
