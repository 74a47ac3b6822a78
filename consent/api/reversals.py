"""Back in after an explicit opt-out, in two steps: a preference page of a service asks, then the person confirms."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import Text, idempotent
from config.authentication import Caller
from config.models import Scope
from config.problems import Fault, invalid
from consent import subjects
from consent.api import described, showing
from consent.api.reading import Subject, subject_of
from consent.models import ANY, Channel, Reversal
from consent.second_steps import OPEN_FOR, ask_by_mail
from consent.services import confirm_reversal, request_reversal
from consent.validation import exit_paths, purposes


class FirstStep(serializers.Serializer[Reversal]):
    subject = described.SubjectSchema()
    purpose = Text(max_length=50)
    channel = serializers.ChoiceField([*Channel.values, ANY])
    reason = Text(max_length=200, required=False, allow_blank=True)
    by_mail = serializers.BooleanField(
        default=False,
        help_text="Mail the person the way to the second step on their preference page, once in seven days; for a "
        "service that does not ask them a second time itself.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """The person is read as everywhere; the serializer only describes them."""
        subject, faults = subject_of(data.get("subject") if isinstance(data, dict) else None, "/subject")
        if faults:
            raise invalid(faults)
        fields = {name: value for name, value in data.items() if name != "subject"}
        return {**super().to_internal_value({**fields, "subject": {}}), "subject": subject}

    def validate_purpose(self, code: str) -> str:
        if code != ANY and purposes.unknown({code}):
            raise serializers.ValidationError("No such purpose.", code="unknown")
        return code


class SecondStep(serializers.Serializer[Reversal]):
    exit_path = Text(max_length=50, required=False, allow_blank=True)
    locale = Text(max_length=35, required=False, allow_blank=True)

    def validate_exit_path(self, code: str) -> str:
        if code and exit_paths.unknown({code}):
            raise serializers.ValidationError("No such exit path. Register it first.", code="unknown")
        return code


class ReversalsView(APIView):
    scopes = {"POST": Scope.DECISIONS_WRITE}

    @extend_schema(**described.FIRST_STEP, request=FirstStep)
    @idempotent
    def post(self, request: Request) -> Response:
        """The first step, when the person asks to come back. Nothing changes until they confirm, within seven days."""
        step = FirstStep(data=request.data)
        step.is_valid(raise_exception=True)
        asked = step.validated_data
        caller: Caller = request.auth  # type: ignore[assignment]
        subject_id = _known(asked["subject"])
        first_step = ask_by_mail if asked["by_mail"] else request_reversal
        reversal = first_step(
            subject_id, asked["purpose"], asked["channel"], by=caller.account, reason=asked.get("reason", "")
        )
        reversal.refresh_from_db(fields=["requested_at"])
        return Response(
            {
                "id": str(reversal.pk),
                "subject": str(reversal.subject_id),
                "purpose": reversal.purpose,
                "channel": reversal.channel,
                "requested_at": showing.moment(reversal.requested_at),
                "confirm_before": showing.moment(reversal.requested_at + OPEN_FOR),
            },
            status=201,
        )


class ConfirmView(APIView):
    scopes = {"POST": Scope.DECISIONS_WRITE}

    @extend_schema(**described.SECOND_STEP, request=SecondStep)
    @idempotent
    def post(self, request: Request, reversal: UUID) -> Response:
        """The second step, when the person confirms, in a request of its own: records the opt-in."""
        step = SecondStep(data=request.data)
        step.is_valid(raise_exception=True)
        caller: Caller = request.auth  # type: ignore[assignment]
        recorded = confirm_reversal(reversal, by=caller.account, **step.validated_data)
        return Response(showing.recorded(recorded), status=201)


def _known(subject: Subject) -> UUID:
    if isinstance(subject, UUID):
        found = set(subjects.roots([subject]).values())
    else:
        found = set(subjects.find(subject).values())
    if len(found) != 1:
        detail = "Nobody is known by this." if not found else "These identifiers belong to several people."
        raise invalid([Fault("/subject", "unknown" if not found else "ambiguous", detail)])
    return found.pop()
