"""What callers send about change sets, and what they are shown."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.api import Moment, Text
from config.schema import Strict
from config.text import holds_control
from consent.models import ANY, Channel, Choice
from incidents.api.shapes import Given
from incidents.changes.wording import told_operations, told_selector
from incidents.models import ChangeApproval, ChangeBatch, ChangeSet, Rollback

MOST_ROWS = 5_000
JSON = serializers.JSONField


class Operation(Strict):
    operation = Text(max_length=50, help_text="set_choice, backfill, restore, sync_segment, import, set_purpose, …")
    args = serializers.DictField(required=False, help_text="What the operation takes; a refusal names what is wrong.")


class Row(Strict):
    """What a list or an import wants for one key. `sync_segment` reads the people alone."""

    subject = serializers.UUIDField()
    purpose = Text(max_length=50)
    channel = serializers.ChoiceField([*Channel.values, ANY])
    choice = serializers.ChoiceField(Choice.values)
    decided_at = Moment(required=False, allow_null=True, help_text="When it was decided, where that is known.")


class NewChangeSet(Given):
    title = Text(max_length=200)
    reason = Text(max_length=5000, lines=True, help_text="Why it must be done, for whoever reads it in a year.")
    incident = Text(
        max_length=20, required=False, allow_null=True, help_text="The ref of the incident that it helps to end."
    )
    operations = Operation(many=True, help_text="In their order. A set writes choices or changes configuration.")
    selector = serializers.DictField(
        required=False, help_text='To whom: {"purpose": "marketing", "channel": "email", "explicit": false, …}.'
    )
    rows = Row(many=True, required=False, help_text=f"For import and sync_segment: at most {MOST_ROWS:,}.")
    leaves_protected = serializers.BooleanField(
        required=False, help_text="It may go on although people's own opt-outs are selected; they stay out."
    )
    batch_size = serializers.IntegerField(required=False, min_value=1, max_value=20_000)
    validation_policy = serializers.DictField(
        required=False, help_text="interval_s, count, failure_limit, inconclusive (pause or roll_back)."
    )

    def validate(self, told: dict[str, Any]) -> dict[str, Any]:
        for name in ("operations", "selector", "validation_policy"):
            if holds_control(told.get(name)):
                raise serializers.ValidationError({name: "Remove the control characters."})
        return told

    def validate_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(rows) > MOST_ROWS:
            raise serializers.ValidationError(f"At most {MOST_ROWS:,} rows: make several sets, or a script.")
        return rows


class ChangeSetShown(serializers.ModelSerializer[ChangeSet]):
    ref = serializers.CharField(read_only=True)
    incident = serializers.CharField(source="incident.ref", allow_null=True, default=None, read_only=True)
    in_words = serializers.SerializerMethodField(help_text="What it does and to whom, in sentences.")
    operations = JSON(read_only=True, help_text="As they were written.")
    selector = JSON(read_only=True)
    plan_digest = serializers.SerializerMethodField(
        help_text="SHA-256 of operations and planned rows; approvals are for it."
    )
    protected_touched = serializers.IntegerField(
        read_only=True, help_text="Opt-outs of people's own that it would have undone. They are never written."
    )

    class Meta:
        model = ChangeSet
        fields = [
            "ref", "title", "reason", "kind", "state", "revision", "incident", "in_words", "operations", "selector",
            "leaves_protected", "batch_size", "created_at", "created_by", "editors", "planned_at", "plan_digest",
            "change_count", "same_count", "protected_count", "protected_touched", "required_approvals", "submitted_at",
            "scheduled_for", "bypassed_at", "bypassed_by", "seconded_by", "review_due_at", "reviewed_at", "started_at",
            "started_by", "paused_at", "paused_reason", "applied_at", "rolled_back_at", "rollback_reason", "ended_at",
            "ended_reason",
        ]  # fmt: skip
        read_only_fields = fields

    def get_in_words(self, change: ChangeSet) -> list[str]:
        return [sentence for sentence in (*told_operations(change), told_selector(change.selector)) if sentence]

    def get_plan_digest(self, change: ChangeSet) -> str | None:
        return bytes(change.plan_digest).hex() if change.plan_digest else None


class TransitionShown(serializers.Serializer[Any]):
    """How many choices of people in a region go from which state into which, for a purpose."""

    purpose = serializers.CharField()
    region = serializers.CharField(help_text="A country's code, or unknown.")
    before = serializers.CharField()
    after = serializers.CharField()
    count = serializers.IntegerField()


class ForecastShown(serializers.Serializer[Any]):
    """What it sets going. Nothing here before it is planned."""

    messages = serializers.IntegerField(required=False)
    webhooks = serializers.IntegerField(required=False)
    seconds = serializers.IntegerField(required=False)


class ApprovalShown(serializers.ModelSerializer[ChangeApproval]):
    counts = serializers.SerializerMethodField(help_text="Whether it is for the plan that stands now.")

    class Meta:
        model = ChangeApproval
        fields = ["verdict", "given_by", "given_at", "comment", "revision", "counts"]
        read_only_fields = fields

    def get_counts(self, answer: ChangeApproval) -> bool:
        change = self.context["change"]
        return (answer.revision, bytes(answer.plan_digest)) == (change.revision, bytes(change.plan_digest or b""))


class BatchShown(serializers.ModelSerializer[ChangeBatch]):
    batch = serializers.UUIDField(source="batch_id", allow_null=True, read_only=True, help_text="Of its decisions.")
    words = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="What the verdict rests on.")

    class Meta:
        model = ChangeBatch
        fields = [
            "number", "batch", "state", "written_count", "moved_count", "refused_count", "words", "applied_at",
            "judged_at", "rolled_back_at", "validation",
        ]  # fmt: skip
        read_only_fields = fields


class RollbackShown(serializers.ModelSerializer[Rollback]):
    later_count = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Writes about the same people since, for somebody to look at."
    )

    class Meta:
        model = Rollback
        fields = [
            "id", "state", "reason", "item_count", "opt_out_count", "voided_count", "rewritten_again", "weakened_count",
            "later_count", "started_at", "started_by", "ended_at",
        ]  # fmt: skip
        read_only_fields = fields


class WholeShown(ChangeSetShown):
    """A change set with its plan, answers, batches (the newest 100) and rollbacks."""

    matrix = TransitionShown(many=True, read_only=True)
    forecast = ForecastShown(read_only=True)
    approvals = serializers.SerializerMethodField()
    batches = serializers.SerializerMethodField()
    rollbacks = serializers.SerializerMethodField()

    class Meta(ChangeSetShown.Meta):
        fields = [*ChangeSetShown.Meta.fields, "matrix", "forecast", "approvals", "batches", "rollbacks"]
        read_only_fields = fields

    @extend_schema_field(ApprovalShown(many=True))
    def get_approvals(self, change: ChangeSet) -> Any:
        return ApprovalShown(change.approvals.order_by("pk")[:200], many=True, context={"change": change}).data

    @extend_schema_field(BatchShown(many=True))
    def get_batches(self, change: ChangeSet) -> Any:
        return BatchShown(change.batches.order_by("-number")[:100], many=True).data

    @extend_schema_field(RollbackShown(many=True))
    def get_rollbacks(self, change: ChangeSet) -> Any:
        return RollbackShown(change.rollbacks.order_by("-pk")[:20], many=True).data
