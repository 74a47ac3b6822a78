"""What is counted of the log, and what is not; names are shown only where five people share them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consent.models import ExitPathMinute, LinkFetch, Subject
from consent.services import record
from incidents import linking
from incidents.detection import causes, counts, sends
from incidents.models import DecisionMinute, FacetBucket, Marker, Series
from tests.factories import ExitPathFactory, MessageFactory, PurposeFactory, SubjectFactory, incident, opt_in, opt_out


@pytest.fixture(autouse=True)
def marketing(committed):
    PurposeFactory(code="marketing")


def watched():
    """Opt-outs of each series, by its group, around now."""
    now = timezone.now()
    return {
        series.group: sum(counts.of_series(series, now - timedelta(hours=1), now + timedelta(hours=1)).values())
        for series in Series.objects.all()
    }


def pressed(message):
    subject = SubjectFactory()
    record([opt_out(subject, exit_path="one-click", message_id=message.pk)])


def fetched(message, ago):
    second = (timezone.now() - ago).replace(microsecond=0)
    LinkFetch.objects.create(message_id=message.pk, link="hidden", second=second, agent="browser", count=1)


def test_opt_outs_are_counted_once_by_purpose_channel_cause_and_way_out():
    record([opt_out(f"p{n}@example.org", exit_path="api", actor="service:shop") for n in range(3)])
    record([opt_out("other@example.org", cause="complaint"), opt_in("in@example.org")])

    seen = linking.read_log() + linking.read_log()

    assert seen == 5
    assert watched() == {"choice": 3, "complaint": 1}
    clients = FacetBucket.objects.filter(kind="client").values_list("label", "count")
    assert list(clients) == [(counts.label_of("client", "service:shop"), 3)]


def test_a_canary_is_counted_nowhere():
    ExitPathFactory(code="one-click")
    declared = incident()
    canary = SubjectFactory()
    Subject.objects.filter(pk=canary.pk).update(is_canary=True)
    record([opt_out(canary, exit_path="one-click")])

    linking.read_log()
    declared.refresh_from_db()

    assert not DecisionMinute.objects.exists()
    assert not Series.objects.exists()
    assert not ExitPathMinute.objects.exists()
    assert declared.linked_count == 0


def test_what_gateways_press_is_no_choice_of_people():
    for _ in range(3):
        message = MessageFactory(state="accepted", settled_at=timezone.now() - timedelta(hours=2))
        fetched(message, timedelta(seconds=30))
        pressed(message)

    linking.read_log()

    assert watched() == {"machine": 3}


def test_what_turns_out_to_be_a_gateways_moves_to_the_series_of_machines():
    messages = [MessageFactory(state="accepted", settled_at=timezone.now() - timedelta(hours=2)) for _ in range(2)]
    for message in messages:
        pressed(message)
    linking.read_log()
    assert watched() == {"choice": 2}

    fetched(messages[0], timedelta(seconds=30))
    linking.look_again()

    assert watched() == {"choice": 1, "machine": 1}
    assert Series.objects.get(group="machine").first_at <= timezone.now()


def test_a_drill_leads_to_no_series_and_is_nobody_who_leaves():
    record([opt_out(f"p{n}@big.example", actor="drill:surge") for n in range(6)])

    linking.read_log()

    assert DecisionMinute.objects.filter(is_drill=True).exists()
    assert not Series.objects.exists()
    assert not FacetBucket.objects.exists()


def test_a_network_is_known_where_a_service_told_the_address_and_odd_evidence_is_passed_over():
    record(
        [
            opt_out("a@example.org", evidence={"ip": "203.0.113.7"}),
            opt_out("b@example.org", evidence={"ip": "203.0.113.99"}),
            opt_out("c@example.org", evidence={"ip": "no address"}),
            opt_out("d@example.org", evidence={"ip": ["list"]}),
            opt_out("e@example.org", evidence={"form": "header"}),
        ]
    )

    linking.read_log()

    found = list(FacetBucket.objects.filter(kind="network").values_list("label", "count"))
    assert found == [(counts.label_of("network", "203.0.113.0/24"), 2)]
    assert counts.network_of("2001:db8:1:2::3") == "2001:db8:1::/48"


def test_a_domain_is_named_where_five_people_share_it_and_kept_as_a_hash_otherwise():
    record([opt_out(f"p{n}@big.example") for n in range(5)] + [opt_out(f"p{n}@vanity.example") for n in range(4)])
    linking.read_log()
    now = timezone.now()

    names = causes.names_in("marketing", "email", now - timedelta(hours=1), now + timedelta(minutes=1))

    assert set(names.values()) == {"big.example"}
    assert FacetBucket.objects.filter(kind="domain").count() == 2
    assert not FacetBucket.objects.filter(label__contains="vanity").exists()


def test_one_person_who_leaves_five_times_is_not_five_people():
    subject = SubjectFactory()
    record([opt_out("lone@vanity.example")] * 1)
    record([opt_out("lone@vanity.example", decided_at=timezone.now()) for _ in range(5)] + [opt_out(subject)])
    now = timezone.now()

    assert causes.names_in("marketing", "email", now - timedelta(hours=1), now + timedelta(minutes=1)) == {}


def test_a_way_out_or_a_purpose_is_asked_for_without_reading_all_the_others(committed):
    since, now = timezone.now() - timedelta(weeks=6), timezone.now()
    minutes = [now - timedelta(minutes=n) for n in range(20_000)]
    facts = {"purpose": "analytics", "channel": "email", "count": 1}
    DecisionMinute.objects.bulk_create(
        DecisionMinute(minute=at, choice="opt_out", exit_path="settings", cause="subject_choice", **facts)
        for at in minutes
    )
    FacetBucket.objects.bulk_create(FacetBucket(bucket=at, kind="domain", label="a", **facts) for at in minutes)
    with committed.connect("superuser") as connection:
        connection.execute("ANALYZE incidents_decisionminute, incidents_facetbucket")

    by_way_out = counts.opt_outs(since, now, exit_path="one-click", count__gt=0).explain()
    by_purpose = FacetBucket.objects.filter(purpose="marketing", channel="email", bucket__gte=since).explain()

    assert "decisionminute_by_way_out" in by_way_out
    assert "facetbucket_one_row" in by_purpose


def test_our_own_bulks_are_sends_that_are_expected():
    now = timezone.now()
    for _ in range(3):
        MessageFactory(lane="bulk", template_key="notice", created_at=now - timedelta(minutes=8))
    MessageFactory(created_at=now - timedelta(minutes=8))

    first = sends.fold_own(now - timedelta(minutes=7)), sends.fold_own(now)
    again = sends.fold_own(now)

    assert sum(first) == 1
    assert again == 0
    assert list(Marker.objects.values_list("kind", "size", "purpose", "family")) == [("send", 3, "marketing", "notice")]
