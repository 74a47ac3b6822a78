"""What callers send about incidents, and what they are shown."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from config.api import Moment, Text
from config.schema import Strict
from consent.models import Decision
from incidents.models import Incident
from incidents.timeline import Line
from incidents.vocabulary import IncidentType, dpv_status

ONLY_OF_ENTRIES = (
    "seq", "actor", "source", "old", "new", "supersedes", "recorded_at", "evidence", "evidence_sha256", "skew_ms",
    "digest",
)  # fmt: skip


class Given(Strict):
    """What a caller sends. An unknown field is refused: a misspelt one would change what is meant."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return super().to_internal_value(data)


class Codes(serializers.ListField):
    child = Text(max_length=50)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, **kwargs)


class NewIncident(Given):
    title = Text(max_length=200)
    summary = Text(max_length=20_000, lines=True, required=False, allow_blank=True)
    occurred_from = Moment(help_text="When it began; it may lie in the past, not in the future.")
    occurred_to = Moment(required=False, allow_null=True, help_text="Empty while it goes on.")
    purposes = Codes(required=False, help_text="Registered codes; empty: all.")
    exit_paths = Codes(required=False, help_text="Registered codes; empty: all.")
    severity = serializers.ChoiceField(Incident.Severity.values, required=False)
    priority = serializers.ChoiceField(Incident.Priority.values, required=False)
    type = serializers.ChoiceField(IncidentType.values, required=False)
    detected_at = Moment(required=False, allow_null=True, help_text="When we became aware.")
    estimated = serializers.ListField(
        child=serializers.ChoiceField(["occurred_from", "occurred_to", "detected_at"]), required=False, max_length=3
    )
    mode = serializers.ChoiceField(Incident.Mode.values, required=False)


class NewNote(Given):
    text = Text(max_length=20_000, lines=True)
    occurred_at = Moment(required=False, help_text="When it happened; now, if not given.")
    evidence = Text(max_length=500, required=False, help_text="Where what shows it is kept.")
    evidence_sha256 = serializers.RegexField(r"^[0-9a-f]{64}$", required=False, help_text="Of what is kept there.")
    skew_ms = serializers.IntegerField(
        required=False, min_value=-(2**31), max_value=2**31 - 1, help_text="How far your clock is ahead of ours."
    )


class Reason(Given):
    reason = Text(max_length=500)


class NewWindow(Reason):
    occurred_from = Moment(required=False)
    occurred_to = Moment(required=False, allow_null=True)


class NewScope(Reason):
    purposes = Codes(required=False)
    exit_paths = Codes(required=False)


class IncidentShown(serializers.ModelSerializer[Incident]):
    commander = serializers.CharField(allow_null=True, source="commander.actor", default=None)
    duplicate_of = serializers.CharField(allow_null=True, source="duplicate_of.ref", default=None)
    dpv_status = serializers.SerializerMethodField()
    type = serializers.CharField(read_only=True, help_text="One of the types; empty: not said.")
    attorney_review = serializers.CharField(read_only=True, help_text="requested, done, or empty: not asked for.")

    class Meta:
        model = Incident
        fields = [
            "ref", "title", "summary", "impact", "resolution", "mode", "status", "dpv_status", "severity", "priority",
            "type", "dpv_types", "is_near_miss", "near_miss_prevented_by", "visibility", "legal_hold",
            "attorney_review", "purposes", "exit_paths", "occurred_from", "occurred_to", "detected_at", "declared_at",
            "declared_by", "acknowledged_at", "acknowledged_by", "contained_at", "contained_by", "recovered_at",
            "recovered_by", "closed_at", "closed_by", "next_update_due", "commander", "duplicate_of",
            "caused_by_change_set", "linked_count",
        ]  # fmt: skip
        read_only_fields = fields

    def get_dpv_status(self, incident: Incident) -> str:
        return dpv_status(incident.status, is_near_miss=incident.is_near_miss)


class BandShown(serializers.ModelSerializer[Incident]):
    class Meta:
        model = Incident
        fields = ["ref", "title", "mode", "status", "severity", "occurred_from", "occurred_to"]
        read_only_fields = fields


class DecisionShown(serializers.ModelSerializer[Decision]):
    id = serializers.CharField(read_only=True)
    subject = serializers.UUIDField(source="subject_id", read_only=True)

    class Meta:
        model = Decision
        fields = [
            "id", "subject", "purpose", "channel", "choice", "explicit", "cause", "exit_path", "decided_at",
            "received_at", "actor",
        ]  # fmt: skip
        read_only_fields = fields


class LineShown(serializers.Serializer[Any]):
    """An entry, or the decisions of one minute, way out, choice and cause (`kind` is decisions, `seq` is null)."""

    seq = serializers.IntegerField(allow_null=True)
    kind = serializers.CharField()
    text = serializers.CharField()
    actor = serializers.CharField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # the name of the column
    old = serializers.CharField(allow_null=True)
    new = serializers.CharField(allow_null=True)
    supersedes = serializers.IntegerField(allow_null=True, help_text="The seq of the line that this one corrects.")
    is_superseded = serializers.BooleanField()
    evidence = serializers.CharField(allow_null=True)
    evidence_sha256 = serializers.CharField(allow_null=True)
    skew_ms = serializers.IntegerField(allow_null=True)
    digest = serializers.CharField(allow_null=True, help_text="SHA-256 of the line and of the digest before it.")
    occurred_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField(allow_null=True)
    exit_path = serializers.CharField(allow_null=True)
    choice = serializers.CharField(allow_null=True)
    cause = serializers.CharField(allow_null=True)
    count = serializers.IntegerField(allow_null=True)


class StoryShown(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = LineShown(many=True)


class MinuteShown(serializers.Serializer[Any]):
    """Columns that were not asked for by `group_by` are left out."""

    minute = serializers.DateTimeField()
    purpose = serializers.CharField(required=False)
    channel = serializers.CharField(required=False)
    exit_path = serializers.CharField(allow_blank=True, required=False)
    cause = serializers.CharField(required=False, help_text="The assessed one, where somebody looked again.")
    is_drill = serializers.BooleanField(required=False)
    count = serializers.IntegerField()
    unexplained = serializers.IntegerField(help_text="Of these, how many nobody knows a reason of.")


class FlowShown(serializers.Serializer[Any]):
    """How a way out did in the span. A null was not measured."""

    exit_path = serializers.CharField()
    started = serializers.IntegerField()
    completed = serializers.IntegerField()
    refused = serializers.IntegerField()
    broken_off = serializers.IntegerField()
    failed = serializers.IntegerField()
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)
    slowest_ms = serializers.FloatField(allow_null=True)


class MarkShown(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    kind = serializers.CharField(help_text="alert, incident, send, and what else is registered.")
    text = serializers.CharField()
    is_drill = serializers.BooleanField()


class TelemetryShown(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    opt_outs = MinuteShown(many=True)
    is_complete = serializers.BooleanField(
        help_text="False: these are only the newest rows. Ask for fewer minutes, or group by fewer columns."
    )
    unexplained_share = serializers.FloatField(allow_null=True, help_text="Of real opt-outs; null: there were none.")
    flow = FlowShown(many=True)
    marks = MarkShown(many=True)
    incidents = BandShown(many=True)


def given(shape: type[Given], request: Request) -> dict[str, Any]:
    serializer = shape(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def told(line: Line) -> dict[str, Any]:
    entry = line.entry
    if entry is None:
        told = {"exit_path": line.exit_path, "choice": line.choice, "cause": line.cause, "count": line.count}
        empty = dict.fromkeys(ONLY_OF_ENTRIES)
        shared = {"kind": "decisions", "text": line.text, "is_superseded": False, "occurred_at": line.place.moment}
        return {**empty, **shared, **told}
    return {
        "seq": entry.seq,
        "kind": entry.kind,
        "text": entry.text,
        "actor": entry.actor,
        "source": entry.source,
        "old": entry.old,
        "new": entry.new,
        "supersedes": entry.supersedes.seq if entry.supersedes else None,
        "is_superseded": line.is_superseded,
        "evidence": entry.evidence,
        "evidence_sha256": entry.evidence_hex or None,
        "skew_ms": entry.skew_ms,
        "digest": bytes(entry.digest).hex(),
        "occurred_at": entry.occurred_at,
        "recorded_at": entry.recorded_at,
        **dict.fromkeys(("exit_path", "choice", "cause", "count")),
    }
