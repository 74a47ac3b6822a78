"""What the schema says of the lean views: they read and write JSON by hand, so their shapes are written down here."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer
from rest_framework import serializers

from config.schema import IDEMPOTENCY_KEY, Strict
from consent.api.reading import CAUSES, CHANNELS, CODE, MOST_REASONS, REASON
from consent.models import ANY, Cause, Channel, Choice, Identifier

STATE_WORDS = ["opted_in", "opted_out", "never_asked"]
CODE_PATTERN = f"^{CODE.pattern}$"
SCOPE_PATTERN = rf"^(\*|{CODE.pattern})$"

Fields = serializers.Serializer[Any]


class SubjectSchema(Strict):
    """A person: a known id, or one or several identifiers, which are linked."""

    email = serializers.EmailField(required=False, max_length=254)
    phone = serializers.CharField(required=False, help_text="With country code, like +49 30 901820.")
    user_id = serializers.CharField(required=False, max_length=200)
    id = serializers.UUIDField(required=False, help_text="As an earlier answer gave it; alone.")


class Effective(Fields):
    """What holds for the decision's own subject, purpose and channel after it was recorded."""

    state = serializers.ChoiceField(["opted_in", "opted_out"])
    since = serializers.DateTimeField()
    decision = serializers.CharField()


class NewDecision(Strict):
    subject = SubjectSchema()
    purpose = serializers.RegexField(SCOPE_PATTERN, help_text="A registered code, or * for all, also future ones.")
    channel = serializers.ChoiceField([*sorted(CHANNELS), ANY])
    choice = serializers.ChoiceField(Choice.values)
    cause = serializers.ChoiceField(sorted(CAUSES), help_text="Why: what led to this choice.")
    explicit = serializers.BooleanField(
        required=False, default=True, help_text="The person said so. false for imports, defaults and jobs."
    )
    exit_path = serializers.CharField(required=False, max_length=50, help_text="The registered way out that was used.")
    decided_at = serializers.DateTimeField(
        required=False, help_text="When the person decided; now, if not given. Since 2000, at most 5 minutes ahead."
    )
    confidence = serializers.IntegerField(required=False, min_value=0, max_value=100, default=100)
    reasons = serializers.ListField(
        child=serializers.RegexField(f"^{REASON.pattern}$"), required=False, max_length=MOST_REASONS
    )
    notice_version = serializers.CharField(required=False, max_length=100)
    locale = serializers.CharField(required=False, max_length=35)
    evidence = serializers.DictField(required=False, help_text="JSON of at most 8 KiB that shows the choice was made.")


class NewDecisions(Strict):
    decisions = serializers.ListField(child=NewDecision(), min_length=1, max_length=1000)


class RecordedInList(Fields):
    id = serializers.CharField(help_text="An opaque text.")
    subject = serializers.UUIDField()
    purpose = serializers.CharField()
    channel = serializers.CharField()
    choice = serializers.ChoiceField(Choice.values)
    decided_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    effective = Effective()


class Recorded(RecordedInList):
    receipt = serializers.CharField(help_text="Ed25519 over the facts above; see …/receipt/.")


class RecordedList(Fields):
    decisions = RecordedInList(many=True)
    receipt = serializers.CharField(help_text="One signature over all, in order.")


class Spooled(Fields):
    """The database is away: the opt-out is on disk and takes effect when it is back."""

    id = serializers.CharField(help_text="Begins with spool:, and names no decision of the log.")
    subject = serializers.UUIDField(allow_null=True)
    purpose = serializers.CharField()
    channel = serializers.CharField()
    choice = serializers.ChoiceField(["opt_out"])
    decided_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    receipt = serializers.CharField(required=False, help_text="In an answer to a list, one receipt signs all.")


class SpooledList(Fields):
    decisions = Spooled(many=True)
    receipt = serializers.CharField()


class LoggedDecision(Fields):
    id = serializers.CharField()
    subject = serializers.UUIDField()
    purpose = serializers.CharField()
    channel = serializers.CharField()
    choice = serializers.ChoiceField(Choice.values)
    decided_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    explicit = serializers.BooleanField()
    cause = serializers.ChoiceField(Cause.values)
    confidence = serializers.IntegerField()
    reasons = serializers.ListField(child=serializers.CharField())
    exit_path = serializers.CharField(allow_blank=True)
    actor = serializers.CharField(help_text="Who wrote it down.")
    notice_version = serializers.CharField(allow_blank=True)
    locale = serializers.CharField(allow_blank=True)
    message = serializers.UUIDField(allow_null=True)
    batch = serializers.UUIDField(allow_null=True)
    reversal = serializers.UUIDField(allow_null=True)
    restates = serializers.CharField(allow_null=True, help_text="The decision that a merge carried over.")


class LogPage(Fields):
    next = serializers.URLField(help_text="Always there; after the last page it is where news will be.")
    previous = serializers.URLField(allow_null=True)
    results = LoggedDecision(many=True)


class Receipt(Fields):
    id = serializers.CharField()
    subject = serializers.UUIDField()
    purpose = serializers.CharField()
    channel = serializers.CharField()
    choice = serializers.ChoiceField(Choice.values)
    decided_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    receipt = serializers.CharField()
    algorithm = serializers.ChoiceField(["Ed25519"])
    public_key = serializers.CharField()


class Question(Strict):
    subject = SubjectSchema()
    purpose = serializers.RegexField(CODE_PATTERN)
    channel = serializers.ChoiceField(sorted(CHANNELS))


class Questions(Strict):
    queries = serializers.ListField(child=Question(), min_length=1, max_length=1000)


class CheckAnswer(Fields):
    allowed = serializers.BooleanField(help_text="Contact only where this is true.")
    state = serializers.ChoiceField(STATE_WORDS)
    reason = serializers.CharField(help_text="The rule that decided, like explicit_opt_out or opt_in_needed.")
    decision = serializers.CharField(allow_null=True, help_text="What it rests on.")
    since = serializers.DateTimeField(allow_null=True)


class CheckAnswers(Fields):
    answers = CheckAnswer(many=True)


class KnownBy(Fields):
    kind = serializers.ChoiceField(Identifier.Kind.values)
    value = serializers.CharField(allow_null=True, help_text="Masked; null once erased.")


class Consent(Fields):
    purpose = serializers.CharField()
    channel = serializers.CharField()
    state = serializers.ChoiceField(STATE_WORDS)
    explicit = serializers.BooleanField()
    cause = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField(allow_null=True)
    decision = serializers.CharField(allow_null=True)


class Person(Fields):
    id = serializers.UUIDField()
    merged_into = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    erased_at = serializers.DateTimeField(allow_null=True)
    locale = serializers.CharField(allow_blank=True)
    identifiers = KnownBy(many=True)
    consents = Consent(many=True)


class Version(Fields):
    id = serializers.CharField()
    at = serializers.DateTimeField()
    purpose = serializers.CharField()
    channel = serializers.CharField()
    version = serializers.IntegerField()
    to = serializers.ChoiceField(STATE_WORDS)
    explicit = serializers.BooleanField()
    cause = serializers.CharField(allow_blank=True)
    actor = serializers.CharField(allow_blank=True)
    decision = serializers.CharField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.ChoiceField(STATE_WORDS)}


class VersionPage(Fields):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = Version(many=True)


class StoryLine(Fields):
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    by = serializers.CharField(allow_blank=True)
    decision = serializers.CharField(allow_null=True)


class Story(Fields):
    subject = serializers.UUIDField()
    is_cut = serializers.BooleanField(help_text="Older lines were left out.")
    entries = StoryLine(many=True)


class RequestedReversal(Fields):
    id = serializers.UUIDField()
    subject = serializers.UUIDField()
    purpose = serializers.CharField()
    channel = serializers.CharField()
    requested_at = serializers.DateTimeField()
    confirm_before = serializers.DateTimeField()


def _query(name: str, help_text: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, more.pop("type", str), OpenApiParameter.QUERY, description=help_text, **more)


SUBJECT_PARAMETERS = [
    _query("email", "Name the person by one or several of email, phone, user_id, id."),
    _query("phone", "With country code; write + as %2B."),
    _query("user_id", "Your own id of the person."),
    _query("id", "As an earlier answer gave it; alone.", type=OpenApiTypes.UUID),
]
CURSOR = _query("cursor", "From `next` of the page before.")

RECORD: dict[str, Any] = {
    "request": PolymorphicProxySerializer(
        component_name="OneOrManyDecisions", serializers=[NewDecision, NewDecisions], resource_type_field_name=None
    ),
    "responses": {
        201: PolymorphicProxySerializer(
            component_name="OneOrManyRecorded", serializers=[Recorded, RecordedList], resource_type_field_name=None
        ),
        202: PolymorphicProxySerializer(
            component_name="OneOrManySpooled", serializers=[Spooled, SpooledList], resource_type_field_name=None
        ),
    },
    "parameters": [IDEMPOTENCY_KEY],
    "examples": [
        OpenApiExample(
            "An opt-out",
            request_only=True,
            value={
                "subject": {"email": "anna@example.org"},
                "purpose": "marketing",
                "channel": "email",
                "choice": "opt_out",
                "cause": "subject_choice",
            },
        )
    ],
}
FOLLOW: dict[str, Any] = {
    "operation_id": "decisions_list",
    "responses": LogPage,
    "parameters": [
        CURSOR,
        _query("page_size", "1 to 500; 100 if not given.", type=int),
        _query("purpose", "Only this purpose."),
        _query("channel", "Only this channel.", enum=[*Channel.values, ANY]),
        _query("choice", "Only this choice.", enum=Choice.values),
        _query("cause", "Only this cause.", enum=Cause.values),
        _query("exit_path", "Only this way out."),
        _query("subject", "Only this person, with everybody merged into them.", type=OpenApiTypes.UUID),
        _query("since", "Received at or after this moment.", type=OpenApiTypes.DATETIME),
    ],
}
DECISION: dict[str, Any] = {"operation_id": "decisions_retrieve", "responses": LoggedDecision}
RECEIPT: dict[str, Any] = {"responses": Receipt}
CHECK: dict[str, Any] = {
    "responses": CheckAnswer,
    "parameters": [
        *SUBJECT_PARAMETERS,
        _query("purpose", "One purpose by its code.", required=True),
        _query("channel", "One channel.", required=True, enum=sorted(CHANNELS)),
    ],
}
CHECK_MANY: dict[str, Any] = {"request": Questions, "responses": CheckAnswers}
SUBJECT: dict[str, Any] = {"responses": Person}
HISTORY: dict[str, Any] = {"responses": VersionPage, "parameters": [CURSOR]}
WHY: dict[str, Any] = {"responses": Story}
FIRST_STEP: dict[str, Any] = {"responses": {201: RequestedReversal}, "parameters": [IDEMPOTENCY_KEY]}
SECOND_STEP: dict[str, Any] = {"responses": {201: Recorded}, "parameters": [IDEMPOTENCY_KEY]}
