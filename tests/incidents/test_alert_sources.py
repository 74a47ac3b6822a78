"""Sources of alerts: what a mapping may say, secrets that are changed without a gap, silences that end."""

import json
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents import alerts, facts
from incidents.alerts.sources import secrets_of
from incidents.mapping import check_mapping, check_severity_map, point
from incidents.models import AlertDelivery, AlertSecret, AlertSource, Incident
from tests.factories import AlertDeliveryFactory, AlertSourceFactory
from tests.incidents.test_alerts import SAMPLE

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"key": "/service"},
        {"key": ["/a/0/b", "/c~1d/e~0f"], "title": "/t", "status": "/s", "resolved": ["ok"], "severity": "/l"},
        {"key": "/ü", "id": "/id", "at": "/at"},
    ],
)
def test_a_mapping_of_pointers_is_taken(mapping):
    check_mapping(mapping)


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ([], "JSON object"),
        ({"query": "/a"}, "no entry 'query'"),
        ({"key": 5}, "key must be text or a list"),
        ({"key": []}, "key must be text or a list"),
        ({"key": [f"/{n}" for n in range(21)]}, "key must be text or a list"),
        ({"title": ["/a"]}, "title must be text."),
        ({"key": "service"}, "no JSON pointer"),
        ({"key": "/a~2b"}, "no JSON pointer"),
        ({"key": "/a" * 200}, "no JSON pointer"),
        ({"key": "{{ service }}"}, "no JSON pointer"),
        ({"resolved": "ok"}, "point at the status too"),
        ({"status": "/state"}, "which words of the status end it"),
    ],
)
def test_a_mapping_that_could_not_be_followed_is_refused_when_it_is_saved(mapping, reason):
    with pytest.raises(ValidationError, match=reason.replace("(", r"\(")):
        check_mapping(mapping)


@pytest.mark.parametrize("severities", [[], {"red": "worst"}, {"red": None}, {str(n): "sev1" for n in range(101)}])
def test_a_severity_map_leads_to_what_we_know(severities):
    with pytest.raises(ValidationError):
        check_severity_map(severities)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("", {"a": [1]}), ("/a/0", 1), ("/a/1", None), ("/a/x", None), ("/a/-1", None), ("/b/c", None)],
)
def test_a_pointer_leads_somewhere_or_nowhere(pointer, found):
    assert point({"a": [1]}, pointer) == found


@pytest.mark.parametrize(
    ("kind", "facts", "reason"),
    [
        ("generic", {}, "needs a mapping"),
        ("alertmanager", {"signature": "hmac"}, "cannot sign"),
        ("grafana", {"rate_limit": 0}, "greater than or equal to 1"),
        ("slack", {}, "not a valid choice"),
        ("pagerduty", {"timestamp_header": "X-Time"}, "Only Grafana"),
        ("grafana", {"signature_header": "X Header:"}, "letters, digits and hyphens"),
        ("grafana", {"tolerance": timedelta(days=2)}, "less than or equal to"),
        ("grafana", {"heartbeat_timeout": timedelta(seconds=5)}, "greater than or equal to"),
    ],
)
def test_a_source_that_could_not_work_is_refused(kind, facts, reason):
    with pytest.raises(ValidationError, match=reason):
        alerts.issue_source("New", kind=kind, by="user:anna", **facts)

    assert not AlertSource.objects.exists()


@pytest.mark.parametrize(
    "columns",
    [
        {"rate_limit": 0},
        {"signature": "hmac"},
        {"kind": "generic"},
        {"silenced_until": "2026-03-01T00:00:00Z"},
        {"silenced_by": "user:anna"},
    ],
)
def test_the_database_refuses_the_same(columns):
    source = AlertSourceFactory()

    with pytest.raises(IntegrityError, match="alertsource_"), transaction.atomic():
        AlertSource.objects.filter(pk=source.pk).update(**columns)


def test_a_source_signs_as_its_kind_does_unless_it_cannot():
    found = {
        kind: alerts.issue_source(kind, kind=kind, by="user:anna", mapping={"key": "/k"})[0].signature
        for kind in AlertSource.Kind.values
    }

    assert found["alertmanager"] == found["cloudevents"] == found["generic"] == "none"
    assert [found[kind] for kind in ("grafana", "pagerduty", "standard_webhooks")] == [
        "grafana", "pagerduty", "standard_webhooks",
    ]  # fmt: skip


@pytest.fixture
def grafana():
    return alerts.issue_source("Grafana", kind="grafana", by="user:anna")[0]


def test_a_secret_is_sealed_and_shown_once(grafana):
    secret, text = alerts.add_secret(grafana, by="user:anna")

    assert len(text) > 40
    assert secrets_of(grafana) == [text]
    assert text.encode() not in bytes(secret.sealed)
    assert secret.created_by == "user:anna"


def test_two_secrets_hold_until_one_is_retired_and_then_it_is_gone(grafana):
    old, _ = alerts.add_secret(grafana, "the older secret", by="user:anna")
    alerts.add_secret(grafana, "the newer secret", by="user:anna")
    assert secrets_of(grafana) == ["the newer secret", "the older secret"]

    retired = alerts.retire_secret(old, by="user:ben")

    assert secrets_of(grafana) == ["the newer secret"]
    assert (bytes(retired.sealed), retired.retired_by) == (b"", "user:ben")
    with pytest.raises(ValidationError, match="retired already"):
        alerts.retire_secret(old, by="user:ben")


def test_a_sealed_secret_opens_for_its_own_source_alone(grafana):
    secret, _ = alerts.add_secret(grafana, by="user:anna")
    other, _ = alerts.issue_source("Other", kind="grafana", by="user:anna")
    AlertSecret.objects.create(source=other, sealed=secret.sealed, created_by="user:anna")

    with pytest.raises(InvalidTag):
        secrets_of(other)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("alertmanager", "long enough", "choose its signature first"),
        ("grafana", "short", "8 to 500 characters"),
        ("grafana", "two\nlines of it", "8 to 500 characters"),
        ("standard_webhooks", "whsec_not base64", "Copy the whole secret"),
        ("standard_webhooks", "whsec_c2hvcnQ=", "Copy the whole secret"),
    ],
)
def test_a_secret_that_could_not_hold_is_refused(kind, text, reason):
    source, _ = alerts.issue_source("New", kind=kind, by="user:anna")

    with pytest.raises(ValidationError, match=reason):
        alerts.add_secret(source, text, by="user:anna")


def test_secrets_do_not_pile_up(grafana):
    for _ in range(5):
        alerts.add_secret(grafana, by="user:anna")

    with pytest.raises(ValidationError, match="Retire one"):
        alerts.add_secret(grafana, by="user:anna")


def test_the_database_keeps_a_retired_secret_empty(grafana):
    secret, _ = alerts.add_secret(grafana, by="user:anna")

    with pytest.raises(IntegrityError, match="retired_is_gone"), transaction.atomic():
        AlertSecret.objects.filter(pk=secret.pk).update(retired_at=timezone.now(), retired_by="user:anna")
    with pytest.raises(IntegrityError, match="with_retired_by"), transaction.atomic():
        AlertSecret.objects.filter(pk=secret.pk).update(retired_at=timezone.now(), sealed=b"")


def test_a_silence_says_who_why_and_until_when():
    source, until = AlertSourceFactory(), timezone.now() + timedelta(hours=2)

    silenced = alerts.silence(source, until=until, reason="The relay is replaced", by="user:anna")

    assert (silenced.silenced_until, silenced.silenced_by) == (until, "user:anna")
    assert silenced.is_silenced(timezone.now())
    assert not silenced.is_silenced(until)
    version = silenced.history.first()
    assert (version.history_change_reason, version.silence_reason) == ("The relay is replaced",) * 2


@pytest.mark.parametrize(("hours", "reason"), [(-1, "Because"), (24 * 31, "Because"), (1, "  ")])
def test_a_silence_without_an_end_ahead_or_a_reason_is_refused(hours, reason):
    with pytest.raises(ValidationError):
        alerts.silence(
            AlertSourceFactory(), until=timezone.now() + timedelta(hours=hours), reason=reason, by="user:anna"
        )


def test_a_silence_can_be_ended_early_once():
    source = AlertSourceFactory()
    alerts.silence(source, until=timezone.now() + timedelta(hours=2), reason="Work", by="user:anna")

    ended = alerts.end_silence(source, reason="Done", by="user:ben")

    assert ended.silenced_until is None
    with pytest.raises(ValidationError, match="not silenced"):
        alerts.end_silence(source, reason="Done", by="user:ben")


def test_a_change_leaves_what_others_wrote_meanwhile():
    stale = AlertSourceFactory()
    alerts.silence(stale, until=timezone.now() + timedelta(hours=2), reason="Work", by="user:anna")
    AlertSource.objects.filter(pk=stale.pk).update(last_seen_at=timezone.now())

    alerts.change(stale, reason="Slower", by="user:ben", rate_limit=60)

    stale.refresh_from_db()
    assert (stale.rate_limit, stale.silence_reason) == (60, "Work")
    assert stale.last_seen_at is not None


def test_payloads_are_forgotten_after_ninety_days_but_for_what_the_law_holds():
    source, _ = alerts.issue_source("Alertmanager", by="user:anna")
    for _ in range(2):
        AlertDelivery.objects.create(source=source, raw_body=json.dumps(SAMPLE).encode(), body_digest=b"x")
    alerts.read_stored()
    free, held = AlertDelivery.objects.order_by("pk")
    alone = AlertDeliveryFactory(source=source, outcome="rejected", reason="No JSON")
    said = {"attorney_review": "", "by": "user:anna"}
    incident = facts.hold_for_law(Incident.objects.get(), is_held=True, reason="Court", **said)
    later = timezone.now() + timedelta(days=91)

    with pytest.raises(ValidationError, match=f"{incident.ref} is under legal hold"):
        alerts.wipe(held, by="user:anna")
    assert alerts.forget(timezone.now()) == 0
    assert alerts.forget(later) == 1

    alone.refresh_from_db()
    assert (bytes(alone.raw_body), alone.wiped_by) == (b"", "system:retention")
    assert not alone.reason  # it may quote the body
    facts.hold_for_law(incident, is_held=False, reason="Over", **said)
    assert alerts.forget(later) == 2
    free.refresh_from_db()
    assert bytes(free.raw_body) == b""


def test_a_new_address_takes_back_nothing_that_was_changed_meanwhile():
    stale, _ = alerts.issue_source("Alertmanager", by="user:anna")
    alerts.silence(stale, until=timezone.now() + timedelta(hours=2), reason="Work", by="user:ben")
    alerts.change(AlertSource.objects.get(), rate_limit=60, reason="Too fast", by="user:ben")

    alerts.renew_token(stale, reason="Leaked", by="user:anna")

    stale.refresh_from_db()
    assert (stale.rate_limit, stale.silence_reason) == (60, "Work")
