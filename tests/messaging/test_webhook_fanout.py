"""Every change of state is owed to every service that wants it, once; what changes nothing is owed to nobody."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from consent import feed
from consent.models import Consent
from consent.services import merge, open_batch, record, void
from messaging.models import WebhookDelivery
from messaging.propagation import endpoints, fanout, replaying, sending
from tests.factories import EndpointFactory, PurposeFactory, SubjectFactory, opt_in, opt_out
from tests.messaging.hooks import receiver
from tests.stack.launcher import until

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def purposes(committed):
    for code in ("marketing", "news"):
        PurposeFactory(code=code)


def told(endpoint=None):
    """What is owed in order: (purpose, channel, before, after, version)."""
    fanout.owe_all()
    rows = WebhookDelivery.objects.filter(kind="consent.changed")
    rows = rows.filter(endpoint=endpoint) if endpoint else rows
    return list(rows.order_by("source_id").values_list("purpose", "channel", "before", "after", "version"))


def test_a_change_is_owed_once_to_each_endpoint_however_often_the_log_is_read(purposes):
    first, second = EndpointFactory(), EndpointFactory()
    subject = SubjectFactory()
    record([opt_in(subject)])
    record([opt_out(subject)])

    expected = [("marketing", "email", None, "opt_in", 1), ("marketing", "email", "opt_in", "opt_out", 2)]

    assert told(first) == told(second) == expected
    feed.FeedCursor.objects.update(tx=0, decision=0)
    assert told(first) == expected
    assert WebhookDelivery.objects.count() == 4


def test_a_late_older_choice_and_a_second_no_change_nothing_and_are_owed_to_nobody():
    EndpointFactory()
    subject = SubjectFactory()
    record([opt_out(subject)])
    record([opt_out(subject)])
    record([opt_in(subject, explicit=False, cause="import")])
    record([opt_out(subject, decided_at=timezone.now() - timedelta(days=2))])

    assert told() == [("marketing", "email", None, "opt_out", 1)]


def test_a_void_is_a_change_though_nobody_decided_anything():
    EndpointFactory()
    batch = open_batch("import", reason="Old list", by="user:ben")
    [imported] = record([opt_in(SubjectFactory(), explicit=False, cause="import", batch_id=batch.pk)])
    void([imported.id], reason="Wrong list", by="user:ben")

    assert told() == [("marketing", "email", None, "opt_in", 1), ("marketing", "email", "opt_in", None, 2)]


def test_a_state_that_is_projected_again_after_tampering_is_a_change(committed):
    EndpointFactory()
    record([opt_out(SubjectFactory())])
    told()
    with committed.connect("superuser") as superuser:
        superuser.execute("ALTER TABLE consent_consent DISABLE TRIGGER USER")
        superuser.execute("UPDATE consent_consent SET state = 'opt_in'")
        superuser.execute("ALTER TABLE consent_consent ENABLE TRIGGER USER")
        superuser.execute("SELECT consent_reproject(array_agg(id)) FROM consent_consent")

    assert [change[2:4] for change in told()][-1] == ("opt_in", "opt_out")


def test_an_endpoint_is_told_what_it_wants_and_what_is_about_everything():
    news, by_mail = EndpointFactory(purposes=["news"]), EndpointFactory(channels=["email"])
    record([opt_out(SubjectFactory(), *scope) for scope in (("news", "sms"), ("marketing", "email"), ("*", "*"))])

    assert {change[:2] for change in told(news)} == {("news", "sms"), ("*", "*")}
    assert {change[:2] for change in told(by_mail)} == {("marketing", "email"), ("*", "*")}


def test_two_who_are_one_person_are_told_as_such():
    EndpointFactory()
    anna, anne = SubjectFactory(), SubjectFactory()
    record([opt_out(anna), opt_in(anne)])
    told()

    merge(anna.pk, anne.pk, reason="One customer", by="user:olga")
    told()
    told()

    merged = WebhookDelivery.objects.get(kind="subject.merged")
    assert (merged.subject_id, merged.into_id) == (anna.pk, anne.pk)
    newest = WebhookDelivery.objects.filter(kind="consent.changed").latest("source_id")
    assert (newest.subject_id, newest.after, newest.merged) == (anne.pk, "opt_out", [anna.pk])


def merged_by_hand(connection, merged, into):
    connection.execute("UPDATE consent_subject SET merged_into_id = %s WHERE id = %s", [into.pk, merged.pk])
    connection.execute(
        "INSERT INTO consent_subjectmerge (merged_id, into_id, reason, merged_at, merged_by) "
        "VALUES (%s, %s, 'Import', clock_timestamp(), 'service:crm')",
        [merged.pk, into.pk],
    )


def test_a_merge_that_commits_late_is_told_whatever_was_told_before_it(committed):
    """By the order of transactions, not of numbers, and however many others came between two looks."""
    EndpointFactory()
    people = [SubjectFactory() for _ in range(6)]
    told()
    with committed.connect("holdfast_app", autocommit=False) as late:
        merged_by_hand(late, people[0], people[1])
        merge(people[2].pk, people[3].pk, reason="One customer", by="user:olga")
        record([opt_out(people[5])])
        told()
        late.commit()
    record([opt_out(people[4])])

    told()

    assert set(WebhookDelivery.objects.filter(kind="subject.merged").values_list("subject_id", flat=True)) == {
        people[0].pk,
        people[2].pk,
    }
    told()
    assert WebhookDelivery.objects.filter(kind="subject.merged").count() == 2


def test_what_commits_late_is_told_and_delays_nobody_for_good(committed):
    EndpointFactory()
    subject = SubjectFactory()
    told()
    with committed.connect("holdfast_app", autocommit=False) as late:
        late.execute("SELECT pg_current_xact_id()")
        record([opt_out(subject, channel="sms")])
        assert told() == []
        late.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor) "
            "VALUES (%s, 'marketing', 'post', 'opt_out', true, 'support', clock_timestamp(), 'x')",
            [subject.pk],
        )
        late.commit()

    assert sorted(change[1] for change in told()) == ["post", "sms"]


def test_without_endpoints_the_past_is_passed_by_and_a_new_one_is_told_what_changes_then():
    record([opt_out(SubjectFactory())])
    assert told() == []
    assert feed.lag(fanout.READER) == 0

    EndpointFactory()
    record([opt_out(SubjectFactory(), channel="sms")])

    assert [change[1] for change in told()] == ["sms"]


def test_a_retired_endpoint_is_owed_nothing_and_a_paused_one_all():
    EndpointFactory(state="retired", state_reason="Gone")
    paused = EndpointFactory(state="paused", state_reason="Upgrade")
    record([opt_out(SubjectFactory())])

    told()

    assert WebhookDelivery.objects.get().endpoint == paused


def test_a_replay_since_a_moment_sends_what_holds_now_under_known_ids_and_what_was_never_sent():
    subject, before = SubjectFactory(), timezone.now()
    record([opt_out(subject)])
    told()
    endpoint = EndpointFactory()
    record([opt_in(SubjectFactory(), "news")])
    told()
    known = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(state="delivered", settled_at=timezone.now())

    done = replaying.replay_since(endpoint, before, reason="A new store", by="user:olga")

    assert (done.count, done.what) == (2, "since")
    assert told(endpoint) == [("marketing", "email", None, "opt_out", 1), ("news", "email", None, "opt_in", 1)]
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"due"}
    assert WebhookDelivery.objects.filter(pk=known.pk).exists()
    with pytest.raises(ValidationError, match="future"):
        replaying.replay_since(endpoint, timezone.now() + timedelta(days=1), reason="Soon", by="user:olga")


def test_a_replay_of_more_than_can_be_sent_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(replaying, "MOST_AT_ONCE", 1)
    endpoint, before = EndpointFactory(), timezone.now()
    record([opt_out(SubjectFactory()), opt_out(SubjectFactory())])

    with pytest.raises(ValidationError, match="later moment"):
        replaying.replay_since(endpoint, before, reason="All", by="user:olga")
    assert Consent.objects.count() == 2
    assert not WebhookDelivery.objects.exists()


def test_a_service_that_hangs_keeps_no_other_waiting(settings):
    """The hanging call is still open when the other service has all of its news, also what came meanwhile."""
    with receiver() as slow, receiver() as quick:
        settings.WEBHOOK_ALLOWED_HOSTS = [slow.place, quick.place]
        slow.answers = ["trickle"]
        for name, server in (("slow", slow), ("quick", quick)):
            endpoints.create(name, url=server.url, owner="Somebody", by="user:olga")
        record([opt_out(SubjectFactory())])
        fanout.owe_all()

        def run():
            try:
                sending.tell_all()
            finally:
                connections.close_all()

        worker = threading.Thread(target=run)
        worker.start()
        until(lambda: quick.calls and slow.calls, 10)
        record([opt_out(SubjectFactory(), channel="sms")])
        fanout.owe_all()
        until(lambda: len(quick.calls) == 2, 10)
        assert len(slow.calls) == 1
        slow.end.set()
        worker.join(10)
        assert not worker.is_alive()


def test_a_fault_of_ours_with_one_endpoint_is_logged_and_keeps_no_other_waiting(settings, monkeypatch):
    with receiver() as server:
        settings.WEBHOOK_ALLOWED_HOSTS = [server.place]
        bad, _ = endpoints.create("bad", url=server.url, owner="Somebody", by="user:olga")
        good, _ = endpoints.create("good", url=server.url, owner="Somebody", by="user:olga")
        record([opt_out(SubjectFactory())])
        fanout.owe_all()
        whole = sending.body_of
        monkeypatch.setattr(
            sending, "body_of", lambda delivery, endpoint: 1 / 0 if endpoint == bad else whole(delivery, endpoint)
        )

        assert sending.tell_all() == 1

    assert WebhookDelivery.objects.get(endpoint=good).state == "delivered"
    assert WebhookDelivery.objects.get(endpoint=bad).state == "sending", "until its lease ends"
