"""Promises that every model keeps. A new one fails here until somebody decides."""

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import CheckConstraint, Q

from config.history import AppendOnly, TrackedModel

APPS = ("config", "consent", "messaging", "incidents")
MODELS = [model for app in APPS for model in apps.get_app_config(app).get_models()]
HISTORIES = [model for model in MODELS if hasattr(model, "history_object")]
OURS = [model for model in MODELS if model not in HISTORIES]

# Neither append-only nor tracked, and why that is right.
ITS_COLUMNS_ARE_ITS_HISTORY = {
    "config.User": "Django's own log of the admin keeps changes; records name people by text",
    "config.IdempotencyRecord": "a stored answer that is dropped after a day",
    "config.RefusedCall": "a count",
    "consent.Subject": "a random number; merges and erasures are rows and times of their own",
    "consent.Identifier": "made and erased; what it said must not survive in a history",
    "consent.Evidence": "made and erased; the decision keeps a commitment to it",
    "consent.FeedCursor": "how far a reader has come, and nothing else",
    "consent.ExitPathMinute": "a count",
    "consent.ExitPathLatency": "a count",
    "consent.LinkFetch": "a count that is dropped after a week",
    "consent.InterruptedOptOut": "tried, and settled once by whom and why: a trigger refuses more",
    "consent.Import": "brought, planned, applied, undone, each with who: a trigger keeps the rest",
    "consent.ImportRow": "waits, is taken away when it is written, and forgotten after thirty days",
    "messaging.TemplateVersion": "drafts change, a published one never does: a trigger refuses it",
    "messaging.TemplateBody": "belongs to a version, and is as fixed as that",
    "messaging.TemplateFault": "a count of what went wrong, with its last error",
    "messaging.Message": "its attempts and events tell what happened to it",
    "messaging.DeliveryAttempt": "its phase only moves forward",
    "messaging.DoubtRuling": "proposed, then agreed or withdrawn once: a trigger refuses more",
    "messaging.SendHold": "held, then let go once: a trigger refuses more",
    "messaging.HookDelivery": "bytes as they came; its fate is written once",
    "messaging.InboundMessage": "bytes as they came; what was done about it is written once",
    "messaging.Notice": "its events tell what was done; a trigger keeps it as it was approved",
    "messaging.NoticeRecipient": "counted anew while it is a draft, then fixed by a trigger",
    "messaging.TransportHealth": "what the last attempts taught",
    "messaging.EndpointSecret": "made, and given an end once",
    "messaging.EndpointHealth": "what the last calls taught",
    "messaging.StateReport": "begun and finished once, each with who; it counts in between",
    "messaging.Difference": "found, told again and settled once, each with its time; reports tell the rest",
    "messaging.WebhookDelivery": "its attempts and replays tell what happened to it",
    "incidents.AlertGroup": "its deliveries tell what happened to it",
    "incidents.AlertDelivery": "bytes as they came; its fate is written once",
    "incidents.AlertOverflow": "a count",
    "incidents.AlertSecret": "made once and retired once, each with who and when; its text must not survive that",
    "incidents.DecisionRollup": "a count",
    "incidents.DecisionMinute": "a count",
    "incidents.IncidentRole": "taken and laid down, each with who and when",
    "incidents.FacetBucket": "a count",
    "incidents.PastMix": "counts added up anew each day",
    "incidents.BucketScore": "how a count was judged; an alarm holds what it needs of it",
    "incidents.Series": "how far its buckets were judged, and the sums so far",
    "incidents.Episode": "begun by an alarm, ended once",
    "incidents.DetectionCursor": "how far a look has come, and nothing else",
    "incidents.ExitPathProbe": "its steps are written as they happen, its verdict once",
    "incidents.LookCursor": "how far a look has come, and nothing else",
    "incidents.AuditorBeat": "when the auditor last came round, and nothing else",
    "incidents.PlaybookVersion": "written, approved, published, retired, each with who; a trigger keeps its steps",
    "incidents.PlaybookRun": "its steps and the incident's timeline tell what was done",
    "incidents.StepRun": "each of its states is a line of the timeline; a trigger keeps what is done",
    "incidents.ChangeRow": "what a script or an import brought; its set's plan is made of it",
    "incidents.PlannedWrite": "made anew with each plan; once approved a trigger keeps it, its outcome is written once",
    "incidents.ChangeBatch": "written once, then judged, then perhaps taken back",
    "incidents.Rollback": "begun, perhaps confirmed, ended, each with who; a trigger keeps what it is about",
    "incidents.RollbackItem": "declared bad, then done",
    "incidents.Restore": "found, put right and let go once, each with its time; its incident tells the rest",
    "incidents.Trouble": "from when to when, and nothing else",
    "incidents.Backfill": "work that is owed, until it is done",
}


# A history whose rows are never deleted but may be emptied, and why.
MAY_BE_EMPTIED = {"consent.HistoricalPrivacyRequest": "it holds what a person wrote, which an erasure must reach"}


def label(model):
    return model._meta.label


GROWING = [m for m in OURS if issubclass(m, AppendOnly)] + [m for m in HISTORIES if label(m) not in MAY_BE_EMPTIED]


def is_written_by_database(model):
    """simple-history reads it, and nothing of ours writes it: config.history.WrittenByDatabase."""
    return hasattr(model, "history") and not issubclass(model, TrackedModel)


@pytest.mark.parametrize("model", OURS, ids=label)
def test_a_model_is_appended_or_tracked_or_says_why_it_is_neither(model):
    kept = issubclass(model, AppendOnly | TrackedModel) or is_written_by_database(model)

    assert kept != (label(model) in ITS_COLUMNS_ARE_ITS_HISTORY)


def test_no_reason_stands_for_a_model_that_is_gone():
    assert set(ITS_COLUMNS_ARE_ITS_HISTORY) <= {label(model) for model in OURS}


@pytest.mark.django_db
@pytest.mark.parametrize("model", GROWING, ids=label)
def test_the_database_itself_refuses_to_change_what_is_appended(model):
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table]
        )
        triggers = dict(cursor.fetchall())
        cursor.execute(
            """SELECT privilege FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
                WHERE has_table_privilege('holdfast_app', %s, privilege)
               UNION SELECT 'UPDATE of a column' WHERE has_any_column_privilege('holdfast_app', %s, 'UPDATE')""",
            [table, table],
        )
        granted = cursor.fetchall()

    assert triggers.get("refuse_change") == triggers.get("refuse_truncate") == "A"
    assert granted == []


@pytest.mark.django_db
@pytest.mark.parametrize("name", MAY_BE_EMPTIED)
def test_the_database_itself_refuses_to_delete_what_may_only_be_emptied(name):
    table = apps.get_model(name)._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass", [table])
        triggers = dict(cursor.fetchall())

    assert triggers.get("refuse_delete") == triggers.get("refuse_truncate") == "A"


@pytest.mark.parametrize("model", OURS, ids=label)
def test_a_model_says_which_of_its_fields_are_personal(model):
    fields = {field.name for field in model._meta.get_fields()}

    assert set(model.personal) <= fields


@pytest.mark.parametrize("model", OURS, ids=label)
def test_a_moment_and_its_person_come_together(model):
    fields = {field.name: field for field in model._meta.get_fields()}
    pairs = [
        (name, f"{name.removesuffix('_at')}_by")
        for name, field in fields.items()
        if name.endswith("_at") and f"{name.removesuffix('_at')}_by" in fields and field.null
    ]
    rules = [
        named_in(constraint.condition)
        for constraint in model._meta.constraints
        if isinstance(constraint, CheckConstraint)
    ]

    assert [pair for pair in pairs if not any(set(pair) <= names for names in rules)] == []


def named_in(condition: Q) -> set[str]:
    """The fields that a condition speaks of."""
    names: set[str] = set()
    for child in condition.children:
        names |= named_in(child) if isinstance(child, Q) else {child[0].partition("__")[0]}
    return names
