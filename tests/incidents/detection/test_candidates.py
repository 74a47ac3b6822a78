"""What may explain an alarm: where it is the true cause, it stands first."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.services import record
from incidents import facts, linking
from incidents.detection import alarms, causes
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.models import Alarm, AlertGroup, FacetBucket, TimelineEntry
from tests.factories import (
    AlertSourceFactory,
    ChangeSetFactory,
    ExitPathFactory,
    MarkerFactory,
    PurposeFactory,
    incident,
    opt_out,
)
from tests.incidents.change_sets import begun, imported
from tests.incidents.detection.conftest import last, leave

MANY = 12


@pytest.fixture
def past(committed):
    """Four weeks in which others left by the same way, for the same cause."""
    PurposeFactory(code="marketing")
    ExitPathFactory(code="settings")
    days = [bucket_of(timezone.now()) - timedelta(days=n) for n in range(2, 28)]
    leave(days, 20, exit_path="settings")
    FacetBucket.objects.bulk_create(
        FacetBucket(bucket=at, purpose="marketing", channel="email", kind=kind, label=name * 16, count=10)
        for at in days
        for kind in FacetBucket.Kind.values
        for name in "ab"
    )


def likeliest(**of_each):
    """The first candidate for why so many left now, each with facts of their own: (kind, name)."""
    own = {"subject": lambda n: f"p{n}@d{n}.example", "ip": lambda n: f"198.51.{n}.7", "actor": lambda n: "subject"}
    asked = own | of_each
    record(
        [
            opt_out(asked["subject"](n), exit_path="settings", actor=asked["actor"](n), evidence={"ip": asked["ip"](n)})
            for n in range(MANY)
        ]
    )
    linking.read_log()
    first = bucket_of(timezone.now()) - BUCKET
    expected = {first + BUCKET * n: 0.5 for n in range(3)}
    found = causes.rank(causes.Span("marketing", "email", "choice", first, first + 3 * BUCKET, expected))
    return (found[0]["kind"], found[0]["name"]) if found else None


def test_a_mail_domain(past):
    assert likeliest(subject=lambda n: f"p{n}@big.example") == ("domain", "big.example")


def test_a_network(past):
    assert likeliest(ip=lambda n: f"203.0.113.{n}") == ("network", "203.0.113.0/24")


def test_a_client(past):
    assert likeliest(actor=lambda n: "service:shop") == ("client", "service:shop")


def test_a_send(past):
    begun = bucket_of(timezone.now()) - BUCKET
    MarkerFactory(title="shop 4.2", at=begun - timedelta(hours=10))
    MarkerFactory(kind="send", title="May offers", at=begun, size=500, purpose="marketing", channel="email")
    MarkerFactory(kind="send", title="News", at=begun, size=500, purpose="analytics", channel="email")

    assert likeliest() == ("send", "May offers")


def alert(of, title, at):
    return AlertGroup.objects.create(
        source=AlertSourceFactory(), key=b"k" * 32, group_key="k", title=title, first_at=at, last_at=at, incident=of
    )


@pytest.mark.parametrize(
    "facts",
    [{"status": "triage"}, {}, {"purposes": ["analytics"]}, {"purposes": ["marketing"]}],
    ids=["as an alert opens it", "of everything", "of something else", "of these choices"],
)
def test_an_alert(past, facts):
    """And never that people reacted to something: to what is the question."""
    begun = bucket_of(timezone.now()) - BUCKET
    MarkerFactory(title="shop 4.2", at=begun - timedelta(hours=10))
    PurposeFactory(code="analytics")
    alert(incident("Relay down", **facts), "RelayDown", begun)

    assert likeliest() == ("alert", "RelayDown")


def test_a_change_set_that_began_just_before(past):
    MarkerFactory(title="shop 4.2", at=bucket_of(timezone.now()) - timedelta(hours=10))
    imported(2)
    change = begun()

    assert likeliest() == ("change set", f"{change.ref} begun (bulk edit)")


def test_a_change_set_about_another_purpose_explains_nothing_here(past):
    imported(2, purpose="analytics")
    begun(selector={"purpose": "analytics", "channel": "email", "explicit": False})

    assert (likeliest() or ("",))[0] != "change set"


@pytest.mark.django_db
def test_an_alert_or_a_change_set_of_a_restricted_incident_is_told_to_nobody(series, now):
    hidden = facts.restrict(incident("Leak of the list"), is_restricted=True, reason="Names", by="user:lea")
    alert(hidden, "Leak of the list", bucket_of(now) - timedelta(hours=1))
    alert(incident("Relay down"), "RelayDown", bucket_of(now) - timedelta(hours=1))
    begun = {"started_at": bucket_of(now) - timedelta(hours=1), "started_by": "user:zoe"}
    secret, known = ChangeSetFactory(incident=hidden, **begun), ChangeSetFactory(**begun)
    leave(last(now, 2), 2)
    leave(last(now, 1), 6, exit_path="settings")

    alarms.detect(now)

    told = [each["name"] + each["detail"] for alarm in Alarm.objects.all() for each in alarm.candidates]
    assert any("RelayDown" in text for text in told)
    assert any(text.startswith(known.ref) for text in told)
    assert not [text for text in told if text.startswith(secret.ref) or known.title in text]
    told += TimelineEntry.objects.exclude(incident=hidden).values_list("text", flat=True)
    assert not [text for text in told if "Leak" in text or hidden.ref in text]
