"""Change sets for services: written, planned, submitted, applied, stopped, taken back. People approve, not services."""

import re
from collections.abc import Callable
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, views
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, idempotent
from config.models import Scope
from config.problems import problem_response
from config.schema import IDEMPOTENCY_KEY
from consent.bulk import Instruction
from incidents.api.change_shapes import ChangeSetShown, NewChangeSet, WholeShown
from incidents.api.incidents import caller_of
from incidents.api.shapes import Given, Reason, given
from incidents.changes import applying, deciding, planning, rolling_back, staging
from incidents.changes.operations import LISTED
from incidents.models import ChangeSet, Incident
from incidents.seeing import seen_by

REF = re.compile(r"CS-[0-9]{1,9}")
SCOPES: dict[str, str] = {"GET": Scope.CHANGES_READ, "POST": Scope.CHANGES_WRITE}


class Nothing(Given):
    """An empty body, or none."""


@extend_schema_view(get=extend_schema(operation_id="change_sets_list"))
class ChangeSetsView(generics.ListAPIView[ChangeSet]):
    """Change sets, newest first."""

    queryset = ChangeSet.objects.select_related("incident")
    serializer_class = ChangeSetShown
    pagination_class = CursorPagination
    ordering = "-id"
    filterset_fields = ["state", "kind"]
    scopes = SCOPES

    @extend_schema(
        operation_id="change_sets_write", request=NewChangeSet, responses={201: WholeShown},
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request) -> Response:
        """Write a draft. Nothing is done: plan it, submit it, and a person other than its author approves it."""
        told = given(NewChangeSet, request)
        rows, by = told.pop("rows", []), caller_of(request)
        told["incident"] = named(request, told.get("incident"))
        told["operations"] = [dict(operation) for operation in told["operations"]]
        if rows and not any(one["operation"] in LISTED for one in told["operations"]):
            raise ValidationError({"rows": "Only import and sync_segment read rows: leave them out."})
        with transaction.atomic():
            change = deciding.write(**told, by=by)
            if rows:
                staging.bring(change, [instruction(row) for row in rows])
        return Response(WholeShown(change).data, status=201)


class OfChangeSet(views.APIView):
    """What lies below one change set's address."""

    scopes = SCOPES

    def change(self, ref: str) -> ChangeSet:
        number = int(ref[3:]) if REF.fullmatch(ref) else None
        found = ChangeSet.objects.select_related("incident").filter(pk=number).first() if number else None
        if found is None:
            raise Http404
        return found


class ChangeSetView(OfChangeSet):
    @extend_schema(operation_id="change_sets_read", responses=WholeShown)
    def get(self, request: Request, ref: str) -> Response:
        """One change set with its plan, who answered, its batches, and what was taken back."""
        return Response(WholeShown(self.change(ref)).data)


class StepView(OfChangeSet):
    """One verb of a change set."""

    shape: ClassVar[type[Given]]
    verb: ClassVar[Callable[..., Any]]

    def take(self, request: Request, ref: str) -> Response:
        told = given(self.shape, request)
        change = self.change(ref)
        try:
            type(self).verb(change, **told, by=caller_of(request))
        except ValidationError as error:
            if getattr(error, "code", "") != "protected":
                raise
            # What the refusal told, a near miss, is kept: it is answered and not raised, which would undo it.
            return refused(error)
        return Response(WholeShown(self.change(ref)).data)


def step(name: str, verb: Callable[..., Any], shape: type[Given], words: str) -> type[StepView]:
    """A view for a verb that takes what `shape` holds and answers with the set as it is then."""

    def post(self: StepView, request: Request, ref: str) -> Response:
        return self.take(request, ref)

    post.__doc__ = words
    described = extend_schema(
        operation_id=f"change_sets_{name}", request=None if shape is Nothing else shape, responses=WholeShown,
        parameters=[IDEMPOTENCY_KEY],
    )  # fmt: skip
    facts_of_view = {"shape": shape, "verb": staticmethod(verb), "post": described(idempotent(post))}
    return type(f"{name.title().replace('_', '')}View", (StepView,), facts_of_view)


PlanView = step(
    "plan", planning.plan, Nothing, "Count what it would do, on the state of now. Nothing is written; it holds a day."
)
SubmitView = step(
    "submit", deciding.submit, Nothing,
    "Ask people to approve its plan. Refused where it would touch opt-outs of people's own, unless it leaves them out.",
)  # fmt: skip
ApplyView = step(
    "apply", applying.apply, Nothing,
    "Begin to write what people approved, batch by batch. `state` is stale where the plan does not hold any more.",
)  # fmt: skip
PauseView = step("pause", applying.pause, Reason, "No further batch; what was written stays.")
ResumeView = step("resume", applying.resume, Reason, "Go on where it stopped.")
RollBackView = step(
    "roll_back", rolling_back.roll_back, Reason,
    "Take back all that it wrote. Everybody gets back their own last choice; what people chose meanwhile stays. Where "
    "it was applied and opted people out, a person must confirm it: its rollback is waiting.",
)  # fmt: skip
CancelView = step("cancel", deciding.cancel, Reason, "Give it up before anything of it was written.")


def refused(error: ValidationError) -> Response:
    response = problem_response(error, {})
    assert response is not None  # a ValidationError is always a problem
    return response


def instruction(row: dict[str, Any]) -> Instruction:
    return Instruction(row["subject"], row["purpose"], row["channel"], row["choice"], row.get("decided_at"))


def named(request: Request, ref: str | None) -> Incident | None:
    """Raises ValidationError by field for what the key may not read, as for what there is not."""
    if not ref:
        return None
    found = seen_by(request.auth).filter(ref=ref).first()
    if found is None:
        raise ValidationError({"incident": "There is no such incident."})
    return found
