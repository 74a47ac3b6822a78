"""What callers send and are shown about the life of an incident: its steps, people, clocks, follow-ups and review."""

from typing import Any

from rest_framework import serializers

from config.api import Moment, Text
from incidents import exports, facts
from incidents.api.shapes import Given, Reason
from incidents.models import (
    AffectedSet,
    FollowUp,
    Incident,
    IncidentClock,
    IncidentMoment,
    IncidentRole,
    PostIncidentReview,
)
from incidents.vocabulary import DpvType, IncidentType


class Step(Reason):
    at = Moment(required=False, help_text="Since when; now, if not given.")
    is_estimate = serializers.BooleanField(required=False)


class Acknowledgement(Given):
    at = Moment(required=False, help_text="When it was seen; now, if not given.")


class Closing(Reason):
    needs_review = serializers.BooleanField(
        required=False, allow_null=True, help_text="Null: as the severity's policy says. False: waived, for the reason."
    )


class Other(Reason):
    other = serializers.RegexField(r"^INC-[0-9]{1,9}$", help_text="The ref of the other incident.")


class FileWanted(Given):
    format = serializers.ChoiceField(list(exports.FORMATS), default="json")


class Description(Reason):
    title = Text(max_length=200, required=False)
    summary = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    impact = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    resolution = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    severity = serializers.ChoiceField(Incident.Severity.values, required=False)
    priority = serializers.ChoiceField(Incident.Priority.values, required=False)
    type = serializers.ChoiceField(IncidentType.values, required=False)
    dpv_types = serializers.ListField(
        child=serializers.ChoiceField(DpvType.values), required=False, max_length=len(DpvType)
    )
    is_near_miss = serializers.BooleanField(required=False)
    near_miss_prevented_by = Text(max_length=300, required=False, allow_blank=True)


class NewMoment(Reason):
    kind = serializers.ChoiceField(facts.CORRECTABLE)
    moment = Moment()
    is_estimate = serializers.BooleanField(required=False)


class NewUpdate(Given):
    text = Text(max_length=20_000, lines=True)


class NewRole(Given):
    person = Text(max_length=150, help_text="The user name.")
    role = serializers.ChoiceField(IncidentRole.Role.values)


class NewClock(Reason):
    rule = Text(max_length=50, help_text="The code of the rule.")
    started_at = Moment(required=False, help_text="What it counts from; the moment that the rule names, if not given.")
    amount = serializers.IntegerField(
        required=False, min_value=1, max_value=1000, help_text="For a rule without a number."
    )


class ClockAnswer(Given):
    state = serializers.ChoiceField(["met", "waived"])
    answer = Text(max_length=500, help_text="What was done and where it is kept, or why it does not apply.")
    at = Moment(required=False, help_text="When it was met; now, if not given.")


class NewFollowUp(Given):
    title = Text(max_length=200)
    kind = serializers.ChoiceField(FollowUp.Kind.values)
    owner = Text(max_length=150, help_text="The user name.")
    due_on = serializers.DateField()


class FollowUpOutcome(Given):
    state = serializers.ChoiceField(["done", "dropped"])
    outcome = Text(max_length=500, help_text="What was done, or why it will not be.")


class ReviewSections(Reason):
    what_happened = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    causes = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    what_helped = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    what_hindered = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    lessons = Text(max_length=20_000, lines=True, required=False, allow_blank=True)


class RoleShown(serializers.ModelSerializer[IncidentRole]):
    person = serializers.CharField(source="person.username", read_only=True)

    class Meta:
        model = IncidentRole
        fields = ["id", "person", "role", "assumed_at", "assumed_by", "renounced_at", "renounced_by"]
        read_only_fields = fields


class MomentShown(serializers.ModelSerializer[IncidentMoment]):
    class Meta:
        model = IncidentMoment
        fields = ["kind", "moment", "is_estimate", "recorded_at", "recorded_by"]
        read_only_fields = fields


class PeopleShown(serializers.Serializer[Any]):
    roles = RoleShown(many=True)
    moments = MomentShown(many=True)


class ClockShown(serializers.ModelSerializer[IncidentClock]):
    rule = serializers.CharField(source="rule_id", read_only=True)
    is_overdue = serializers.SerializerMethodField()

    class Meta:
        model = IncidentClock
        fields = [
            "rule", "citation", "term", "why", "started_at", "due_at", "decided_at", "decided_by", "state", "answer",
            "answered_at", "answered_by", "was_late", "is_overdue",
        ]  # fmt: skip
        read_only_fields = fields

    def get_is_overdue(self, clock: IncidentClock) -> bool:
        return clock.is_overdue(self.context["now"])


class FollowUpShown(serializers.ModelSerializer[FollowUp]):
    owner = serializers.CharField(source="owner.username", read_only=True)

    class Meta:
        model = FollowUp
        fields = [
            "id",
            "title",
            "kind",
            "owner",
            "due_on",
            "state",
            "outcome",
            "created_at",
            "settled_at",
            "settled_by",
        ]
        read_only_fields = fields


class ReviewShown(serializers.ModelSerializer[PostIncidentReview]):
    class Meta:
        model = PostIncidentReview
        fields = [
            "state", "due_at", "narrative", "narrative_as_of", "what_happened", "causes", "what_helped",
            "what_hindered", "lessons", "submitted_at", "submitted_by", "approved_at", "approved_by",
        ]  # fmt: skip
        read_only_fields = fields


class RelatedShown(serializers.Serializer[Any]):
    ref = serializers.CharField()
    title = serializers.CharField(allow_null=True, help_text="Null where the key may not read it.")
    status = serializers.ChoiceField(Incident.Status.values)
    how = serializers.ChoiceField(["related", "merged_into_this", "merged_into"])
    reason = serializers.CharField(allow_blank=True)


class SealShown(serializers.ModelSerializer[AffectedSet]):
    """Counts and SHA-256 of the sorted ids, one a line, none after the last."""

    decisions_sha256 = serializers.CharField(source="decisions_hex", read_only=True)
    subjects_sha256 = serializers.CharField(source="subjects_hex", read_only=True)
    messages_sha256 = serializers.CharField(source="messages_hex", read_only=True)

    class Meta:
        model = AffectedSet
        fields = [
            "as_of", "decisions", "decisions_sha256", "subjects", "subjects_sha256", "messages", "messages_sha256",
            "sealed_by", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class EffectShown(serializers.Serializer[Any]):
    before = serializers.CharField()
    after = serializers.CharField()
    cause = serializers.CharField()
    count = serializers.IntegerField()


class AffectedShown(serializers.Serializer[Any]):
    linked_count = serializers.IntegerField()
    counted_of = serializers.IntegerField(help_text="The newest ties that the effects are counted over.")
    effects = EffectShown(many=True)
    seals = SealShown(many=True)
