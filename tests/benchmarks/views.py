"""What is compared with: the framework's shapes of the same calls, without a key and without a database."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from consent.models import Cause, Channel, Choice


class Person(serializers.Serializer):
    email = serializers.EmailField()


class NewDecision(serializers.Serializer):
    subject = Person()
    purpose = serializers.SlugField(max_length=50)
    channel = serializers.ChoiceField(Channel.choices)
    choice = serializers.ChoiceField(Choice.choices)
    cause = serializers.ChoiceField(Cause.choices)
    decided_at = serializers.DateTimeField(required=False)


class Recorded(serializers.Serializer):
    id = serializers.CharField()
    purpose = serializers.CharField()
    channel = serializers.CharField()
    choice = serializers.CharField()


class Open(APIView):
    authentication_classes = []
    permission_classes = []


class BareView(Open):
    """A bare DRF view."""

    def get(self, request: Request) -> Response:
        return Response({"allowed": False, "state": "opted_out", "reason": "explicit_opt_out"})


class SerializedView(Open):
    """A DRF view with serializers and no database."""

    def post(self, request: Request) -> Response:
        decision = NewDecision(data=request.data)
        decision.is_valid(raise_exception=True)
        return Response(Recorded({"id": "1", **decision.validated_data}).data, status=201)
