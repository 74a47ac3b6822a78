"""Told at least once under one id: retries, circuits, 410, rotation, and workers that die."""

import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Identifier
from messaging.models import Endpoint, EndpointHealth, EndpointSecret, WebhookAttempt, WebhookDelivery
from messaging.propagation import endpoints, replaying, sending
from messaging.propagation.calling import Answer
from tests.factories import EndpointFactory, SubjectFactory, WebhookDeliveryFactory
from tests.messaging.hooks import receiver

State = WebhookDelivery.State


@pytest.fixture
def service(settings):
    with receiver() as server:
        settings.WEBHOOK_ALLOWED_HOSTS = [server.place]
        yield server


@pytest.fixture
def registered(db, service):
    return endpoints.create("crm", url=service.url, owner="CRM team", by="user:olga")


@pytest.fixture
def crm(registered):
    return registered[0]


def owed(endpoint, **facts):
    return WebhookDeliveryFactory(endpoint=endpoint, **facts)


def again(delivery):
    """As if its pause had passed."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    EndpointHealth.objects.update(open_until=None)
    sending.tell(delivery.endpoint_id)
    delivery.refresh_from_db()
    return delivery


def test_a_change_is_told_signed_and_noted(service, registered):
    crm, secret = registered
    delivery = owed(crm, before="opt_in", decision_id=7, merged=[SubjectFactory().pk])

    assert sending.tell(crm.pk) == 1

    [call] = service.calls
    call.verify(secret)
    assert call.headers["webhook-id"] == delivery.webhook_id == f"msg_{delivery.pk.hex}"
    assert call.headers["user-agent"].startswith("Holdfast/")
    assert call.event["type"] == "consent.changed"
    data = call.event["data"]
    assert data["subject"] == {"id": str(delivery.subject_id), "merged": [str(m) for m in delivery.merged]}
    assert (data["before"], data["after"], data["decision"], data["version"]) == ("opt_in", "opt_out", "7", 1)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts_made) == (State.DELIVERED, 1)
    attempt = WebhookAttempt.objects.get()
    assert (attempt.number, attempt.status, attempt.error) == (1, 204, "")
    assert EndpointHealth.objects.get().last_success_at


def test_of_what_a_service_answers_nothing_about_a_person_is_kept(service, crm):
    crm = endpoints.change(crm, {"with_user_ids": True}, reason="They know no other id", by="user:olga")
    person = SubjectFactory()
    known = Identity.of("user_id", "u-17")
    Identifier.objects.create(subject=person, kind=known.kind, digest=known.digest, sealed=known.seal())
    service.body = b'{"id": "u-17", "mail": "anna@example.org"}'
    service.answers = [500, 200]
    delivery = owed(crm, subject_id=person.pk)

    sending.tell(crm.pk)
    again(delivery)

    refused, taken = WebhookAttempt.objects.order_by("number")
    assert refused.reply == '{"id": "(a user id)", "mail": "(an address)"}'
    assert taken.reply == f"42 bytes, SHA-256 {hashlib.sha256(service.body).hexdigest()}"


def test_an_answer_full_of_short_addresses_is_noted_all_the_same(service, crm):
    service.body, service.answers = b"a@b.c " * 200, [500]
    owed(crm)

    sending.tell(crm.pk)

    assert len(WebhookAttempt.objects.get().reply) == 500
    assert "a@b.c" not in EndpointHealth.objects.get().last_error


def test_nobody_is_named_unless_the_endpoint_is_set_to_get_user_ids(service, crm):
    person = SubjectFactory()
    for kind, value in (("user_id", "u-17"), ("email", "anna@example.org")):
        identity = Identity.of(kind, value)
        Identifier.objects.create(subject=person, kind=kind, digest=identity.digest, sealed=identity.seal())
    owed(crm, subject_id=person.pk)
    sending.tell(crm.pk)
    endpoints.change(crm, {"with_user_ids": True}, reason="They know no other id", by="user:olga")
    owed(crm, subject_id=person.pk)
    sending.tell(crm.pk)

    without, with_ids = service.calls

    assert b"u-17" not in without.body
    assert with_ids.event["data"]["subject"]["user_ids"] == ["u-17"]
    assert b"anna" not in with_ids.body


def test_the_retry_list_is_the_one_of_the_spec_and_ends_in_failed(service, crm):
    service.answers = [500] * 10
    delivery = owed(crm)
    pauses = []

    for _ in range(10):
        before = timezone.now()
        again(delivery)
        pauses.append((delivery.not_before - before).total_seconds())

    listed = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert all(pause <= waited <= pause * 1.2 + 5 for pause, waited in zip(listed, pauses, strict=False))
    assert (delivery.state, delivery.attempts_made) == (State.FAILED, 10)
    assert delivery.settled_at
    assert {call.headers["webhook-id"] for call in service.calls} == {delivery.webhook_id}


def test_one_that_took_it_at_last_is_not_told_again(service, crm):
    service.answers = [503]
    delivery = owed(crm)

    again(delivery)
    again(delivery)

    assert delivery.state == State.DELIVERED
    assert sending.tell(crm.pk) == 0
    assert len(service.calls) == 2


def test_one_that_is_gone_is_disabled_and_what_it_is_owed_is_kept_until_somebody_resumes_it(service, crm):
    service.answers = [410]
    first, second = owed(crm), owed(crm)

    assert sending.tell(crm.pk) == 1

    crm.refresh_from_db()
    assert (crm.state, crm.state_changed_by) == ("disabled", "system:webhooks")
    assert "410" in crm.state_reason
    assert crm.history.first().history_user_id == "system:webhooks"
    assert crm.pk not in sending.endpoints_to_call()
    endpoints.resume(crm, reason="It was a mistake of theirs", by="user:olga")
    assert sending.tell(crm.pk) == 2
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {State.DELIVERED}
    assert {first.webhook_id, second.webhook_id} == {call.headers["webhook-id"] for call in service.calls[1:]}


def test_one_that_fails_is_not_stormed_by_all_it_is_owed(service, crm):
    service.answers = [500] * 100
    for _ in range(20):
        owed(crm)

    sending.tell(crm.pk)

    assert len(service.calls) == sending.OPENS_AFTER
    assert sending.tell(crm.pk) == 0
    assert crm.pk not in sending.endpoints_to_call()
    health = EndpointHealth.objects.get()
    assert health.failures_in_a_row == sending.OPENS_AFTER
    assert "HTTP 500" in health.last_error
    EndpointHealth.objects.update(open_until=timezone.now())
    sending.tell(crm.pk)
    assert len(service.calls) == sending.OPENS_AFTER + 1, "one call asks whether it is back"


def test_one_poisonous_event_keeps_no_other_waiting(service, crm):
    service.answers = [400]
    bad, good = owed(crm), owed(crm)

    sending.tell(crm.pk)

    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == (State.RETRY_WAIT, State.DELIVERED)
    assert EndpointHealth.objects.get().failures_in_a_row == 0


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (429, "120", 120),
        (503, "999999999999", 3600),
        (503, "Fri, 01 Jan 2100 00:00:00 GMT", 3600),
        (503, "Fri, 01 Jan 2010 00:00:00 GMT", 0),
        (503, "soon", 0),
        (503, "-5", 0),
        (500, "120", 0),
    ],
)
def test_a_wish_for_peace_is_granted_within_an_hour(status, asked, seconds):
    answer = Answer(status, headers={"retry-after": asked})

    assert sending.asked_for(answer, timezone.now()) == timedelta(seconds=seconds)
    assert sending.outcome_of(1, answer)[1] >= timedelta(seconds=max(seconds, 5))


def test_a_busy_service_is_left_alone_for_as_long_as_it_asked(service, crm):
    service.answers = [(429, {"retry-after": "60"})]
    owed(crm), owed(crm)

    assert sending.tell(crm.pk) == 1
    assert EndpointHealth.objects.get().open_until > timezone.now() + timedelta(seconds=50)


def test_an_endpoint_is_called_by_one_worker_at_a_time(service, crm):
    owed(crm)
    EndpointHealth.objects.update(lease=uuid4(), lease_until=timezone.now() + timedelta(minutes=1))

    assert sending.tell(crm.pk) == 0
    assert service.calls == []


def test_what_a_dead_worker_left_is_told_again_under_the_same_id(service, crm):
    delivery = owed(crm)
    assert sending.claim(crm.pk).pk == delivery.pk
    assert sending.recover() == 0
    WebhookDelivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert sending.recover() == 1

    again(delivery)
    assert delivery.state == State.DELIVERED
    assert service.calls[0].headers["webhook-id"] == delivery.webhook_id
    assert list(WebhookAttempt.objects.order_by("number").values_list("error", flat=True)) == ["worker_lost", ""]


def test_a_success_that_comes_after_the_lease_ended_counts(crm):
    owed(crm)
    claimed = sending.claim(crm.pk)
    WebhookDelivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    sending.recover()

    sending.settle(claimed, Answer(204), timezone.now())

    assert WebhookDelivery.objects.get().state == State.DELIVERED


def test_while_secrets_overlap_a_call_bears_both_signatures(service, registered):
    crm, old = registered
    new = endpoints.rotate(crm, reason="Yearly", by="user:olga")
    owed(crm)
    sending.tell(crm.pk)

    newest = endpoints.rotate(crm, reason="The old one leaked", by="user:olga", overlap=timedelta())
    owed(crm)
    sending.tell(crm.pk)

    both, one = service.calls
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    both.verify(old)
    both.verify(new)
    assert len(one.headers["webhook-signature"].split(" ")) == 1
    one.verify(newest)


def test_secrets_lie_sealed_and_at_most_two_are_good(registered):
    crm, first = registered
    others = [endpoints.rotate(crm, reason="Again", by="user:olga") for _ in range(3)]

    assert endpoints.secrets_of(crm) == [others[2], others[1]]
    for sealed in EndpointSecret.objects.values_list("sealed", flat=True):
        assert not any(secret.encode() in bytes(sealed) for secret in [first, *others])


def test_a_secret_that_cannot_be_opened_is_told_and_nothing_goes_out_unsigned(service, crm):
    EndpointSecret.objects.update(sealed=b"sealed by another key, long ago")
    delivery = owed(crm)

    sending.tell(crm.pk)

    delivery.refresh_from_db()
    assert (delivery.state, service.calls) == (State.RETRY_WAIT, [])
    assert "PRIVACY_KEY" in delivery.last_error


def test_a_paused_one_is_not_called_and_keeps_what_it_is_owed(service, crm):
    owed(crm)
    endpoints.pause(crm, reason="Their upgrade", by="user:olga")

    assert sending.tell(crm.pk) == 0
    with pytest.raises(ValidationError, match="paused"):
        endpoints.pause(crm, reason="Twice", by="user:olga")
    endpoints.resume(crm, reason="Done", by="user:olga")
    assert sending.tell(crm.pk) == 1


def test_nothing_is_done_to_an_endpoint_without_a_reason(crm):
    for verb in (endpoints.pause, endpoints.retire, endpoints.rotate):
        with pytest.raises(ValidationError, match="Say why"):
            verb(crm, reason=" ", by="user:olga")
    assert Endpoint.objects.get().state == "active"


def test_one_delivery_is_replayed_under_its_id_with_all_its_tries(service, crm):
    delivery = owed(crm)
    sending.tell(crm.pk)

    noted = replaying.replay(delivery, reason="They lost a day", by="user:olga")
    with pytest.raises(ValidationError, match="due"):
        replaying.replay(delivery, reason="Twice", by="user:olga")
    sending.tell(crm.pk)

    first, second = service.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert (noted.requested_by, noted.reason, noted.count) == ("user:olga", "They lost a day", 1)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.attempts_made) == (State.DELIVERED, 1, 2)


def test_all_that_was_given_up_is_replayed_and_nothing_else(service, crm):
    failed = [owed(crm, state=State.FAILED, tries=10) for _ in range(2)]
    owed(crm, state=State.DELIVERED)

    assert replaying.replay_failed(crm, reason="Back again", by="user:olga").count == 2
    sending.tell(crm.pk)

    assert {call.headers["webhook-id"] for call in service.calls} == {delivery.webhook_id for delivery in failed}


def test_a_test_event_says_nothing_about_anybody(service, crm):
    replaying.test(crm, reason="First contact", by="user:olga")
    sending.tell(crm.pk)

    [call] = service.calls
    assert call.event["type"] == "webhook.test"
    assert set(call.event["data"]) == {"id"}


def test_a_retired_one_is_told_and_replayed_nothing(crm):
    endpoints.retire(crm, reason="Service is switched off", by="user:olga")

    with pytest.raises(ValidationError, match="retired"):
        replaying.replay_failed(crm, reason="Please", by="user:olga")
    with pytest.raises(ValidationError):
        endpoints.resume(crm, reason="Please", by="user:olga")


@pytest.mark.django_db
def test_a_failing_endpoint_is_called_after_the_healthy_ones():
    failing, healthy = EndpointFactory(health__failures_in_a_row=4), EndpointFactory()
    for endpoint in (failing, healthy):
        owed(endpoint)

    assert sending.endpoints_to_call() == [healthy.pk, failing.pk]
