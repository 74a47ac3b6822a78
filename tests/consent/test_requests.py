"""A privacy request from receipt to close: what each step does, and every way it is refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from consent import replies, requests
from consent.exit_paths import of_request
from consent.fulfilment import correct, forget, hand_out
from consent.identifiers import Identity, unseal
from consent.models import AnswerText, DeadlineRule, Decision, ExitPath, Identifier, PrivacyRequest
from consent.services import DecisionsRefused, NewDecision, may_contact, merge, record
from consent.signals import request_answered
from tests.factories import PurposeFactory, UserFactory, email, opt_in, opt_out

pytestmark = pytest.mark.django_db

ANNA = Identity.of("email", "anna@example.org")
PHONE = Identity.of("phone", "+49 30 901820")


@pytest.fixture
def support():
    return UserFactory(username="sam")


@pytest.fixture
def access_request(support):
    return requests.log_request([ANNA], "access", received_via="email", by=support)


def events_of(request):
    return [(event.kind, event.recorded_by) for event in request.events.all()]


# Logging


def test_an_opt_out_takes_effect_on_receipt_and_says_why_and_by_which_way(support):
    record([opt_in("anna@example.org", decided_at=timezone.now() - timedelta(days=3))])

    request = requests.log_request([ANNA], "opt_out", received_via="phone", details="Please stop.", by=support)

    assert not may_contact(ANNA, "marketing", "email")
    decision = Decision.objects.get(choice="opt_out")
    assert decision.explicit
    assert (decision.cause, decision.exit_path, decision.actor) == ("privacy_request", "support-phone", "user:sam")
    assert decision.evidence.content == {"received_via": "phone", "details": "Please stop."}
    assert events_of(request) == [("logged", "user:sam"), ("acted", "user:sam")]
    assert f"decision #{decision.pk}" in request.events.last().text


def test_an_opt_out_may_name_purposes_and_channels(support):
    PurposeFactory(code="product_news")

    requests.log_request([ANNA], "opt_out", scopes=[("product_news", "email"), ("marketing", "sms")], by=support)

    assert set(Decision.objects.values_list("purpose", "channel")) == {("product_news", "email"), ("marketing", "sms")}


def test_an_opt_out_stands_where_its_request_is_refused(support):
    with pytest.raises(ValidationError, match="future"):
        requests.log_request([ANNA], "opt_out", received_at=timezone.now() + timedelta(days=1), by=support)

    assert Decision.objects.filter(choice="opt_out").count() == 1
    assert not PrivacyRequest.objects.exists()


def test_the_same_form_sent_again_records_the_opt_out_once(support):
    for _ in range(2):
        requests.log_request([ANNA], "opt_out", key="a form", by=support)

    assert Decision.objects.count() == 1


def test_a_way_out_that_nobody_registered_does_not_lose_the_opt_out(support):
    requests.opt_out_at_once([ANNA], received_via="a pigeon", by=support)

    assert Decision.objects.get().exit_path == ""


def test_a_letter_that_came_before_a_later_choice_is_kept_and_the_request_says_so(support):
    record([opt_in("anna@example.org", purpose="*", channel="*", decided_at=timezone.now() - timedelta(hours=1))])

    request = requests.log_request(
        [ANNA], "opt_out", received_via="post", received_at=timezone.now() - timedelta(days=2), by=support
    )

    assert "this later choice stands" in request.events.last().text


def test_identifiers_of_two_people_are_both_opted_out_and_stay_two_people(support):
    record([opt_in("anna@example.org"), opt_in("ben@example.org")])

    requests.log_request([ANNA, Identity.of("email", "ben@example.org")], "opt_out", by=support)

    assert not may_contact(ANNA, "marketing", "email")
    assert not may_contact(Identity.of("email", "ben@example.org"), "marketing", "email")
    assert Identifier.objects.values("subject").distinct().count() == 2


def test_other_requests_refuse_identifiers_of_two_people(support):
    record([opt_in("anna@example.org"), opt_in("ben@example.org")])

    with pytest.raises(ValidationError, match="merge them"):
        requests.log_request([ANNA, Identity.of("email", "ben@example.org")], "access", by=support)


def test_a_request_of_nobody_is_refused(support):
    with pytest.raises(ValidationError, match="Give an e-mail address"):
        requests.log_request([], "access", by=support)
    with pytest.raises(DecisionsRefused, match="Name the person"):
        requests.log_request([], "opt_out", by=support)


def test_the_clock_starts_on_receipt_with_the_rule_of_the_kind(support):
    received_at = datetime(2026, 6, 1, 12, tzinfo=UTC)

    request = requests.log_request([ANNA], "access", received_at=received_at, by=support)

    assert request.rule_id == "US-CA-RESPOND-ACCESS"
    assert request.due_at == datetime(2026, 7, 17, 6, 59, 59, tzinfo=UTC)  # 16 July ends in California


def test_a_rule_that_was_chosen_wins_over_the_default(support):
    month = DeadlineRule.objects.get(pk="EU-ART12-3-ACCESS")

    request = requests.log_request(
        [ANNA], "access", received_at=datetime(2026, 1, 31, 12, tzinfo=UTC), rule=month, by=support
    )

    assert request.due_at == datetime(2026, 3, 2, 22, 59, 59, tzinfo=UTC)


def test_without_a_default_rule_one_must_be_chosen(support):
    DeadlineRule.objects.filter(request_kind="access").update(is_default=False)

    with pytest.raises(ValidationError, match="choose one"):
        requests.log_request([ANNA], "access", by=support)


def test_requests_are_numbered(support):
    first = requests.log_request([ANNA], "access", by=support)
    second = requests.log_request([ANNA], "deletion", by=support)

    assert first.ref == f"PR-{first.pk}"
    assert second.pk == first.pk + 1


def test_every_kind_has_a_default_rule_and_answers_in_four_languages():
    for kind in PrivacyRequest.Kind.values:
        assert requests.default_rule(kind).citation
        assert set(AnswerText.objects.filter(request_kind=kind).values_list("locale", flat=True)) == {
            "en",
            "de",
            "es",
            "fr",
        }
    ways = {of_request(via) for via in ("email", "phone", "post", "web", "api")}
    assert ExitPath.objects.filter(code__in=ways).count() == 5


# Working


def test_taking_a_request_starts_it(access_request, support):
    request = requests.assign(access_request, support, by=support)

    assert (request.state, request.assignee) == ("in_progress", support)
    assert events_of(request)[-1] == ("assigned", "user:sam")
    assert request.history.first().history_user_id == "user:sam"


def test_taking_it_twice_is_told_once(access_request, support):
    for _ in range(2):
        requests.assign(access_request, support, by=support)

    assert [kind for kind, _ in events_of(access_request)] == ["logged", "assigned"]


def test_a_request_is_given_back(access_request, support):
    requests.assign(access_request, support, by=support)

    assert requests.assign(access_request, None, by=support).assignee is None


def test_nobody_who_left_and_no_program_gets_a_request(access_request, support):
    with pytest.raises(ValidationError, match="active member of staff"):
        requests.assign(access_request, UserFactory(is_active=False), by=support)
    with pytest.raises(ValidationError, match="active member of staff"):
        requests.assign(access_request, UserFactory(is_service=True), by=support)


def test_a_note_is_kept(access_request, support):
    requests.note(access_request, " Called back. ", by=support)

    assert access_request.events.last().text == "Called back."
    with pytest.raises(ValidationError, match="what happened"):
        requests.note(access_request, " ", by=support)


# Acting


def test_an_access_request_hands_out_everything_stored(support):
    record([opt_out(ANNA.value, evidence={"page": "/preferences/"})])
    request = requests.log_request([ANNA], "access", details="What do you have?", by=support)

    data = json.loads(hand_out(request, by=support))

    assert data["identifiers"][0]["value"] == "anna@example.org"
    assert data["choices"][0]["state"] == "opt_out"
    assert data["decisions"][0]["evidence"] == {"page": "/preferences/"}
    assert data["requests"][0]["details"] == "What do you have?"
    assert "SHA-256" in request.events.last().text


def test_data_of_merged_people_are_handed_out_together(access_request, support):
    record([opt_out("a.old@example.org", purpose="analytics")])
    other = Identifier.objects.get(digest=Identity.of("email", "a.old@example.org").digest).subject_id
    merge(other, access_request.subject_id, reason="The same person", by=support)

    data = json.loads(hand_out(access_request, by=support))

    assert {i["value"] for i in data["identifiers"]} == {"anna@example.org", "a.old@example.org"}
    assert "analytics" in {d["purpose"] for d in data["decisions"]}


def test_a_deletion_is_answered_before_it_is_done(support):
    request = requests.log_request([ANNA], "deletion", by=support)

    with pytest.raises(ValidationError, match=f"Answer {request.ref} first"):
        forget(request, by=support)

    replies.answer(request, "We are erasing your data.", by=support)
    assert forget(request, by=support) == 1
    assert not Identifier.objects.filter(sealed__isnull=False).exists()


def test_a_deletion_without_an_address_is_done_at_once_and_the_opt_out_outlives_it(support):
    record([NewDecision(subject=[PHONE], purpose="marketing", channel="sms", choice="opt_out", cause="subject_choice")])
    request = requests.log_request([PHONE], "deletion", by=support)

    forget(request, by=support)

    assert not may_contact(PHONE, "marketing", "sms")
    assert request.events.last().kind == "acted"


def test_a_correction_links_the_new_address_and_retires_the_old_one(support):
    record([opt_out("ana@example.org")])
    request = requests.log_request(email("ana@example.org"), "correction", by=support)
    old = Identifier.objects.get()

    new = correct(request, old, ANNA, by=support)

    old.refresh_from_db()
    assert old.sealed is None
    assert unseal("email", bytes(new.sealed)) == "anna@example.org"
    assert not may_contact(ANNA, "marketing", "email")
    assert not may_contact(Identity.of("email", "ana@example.org"), "marketing", "email")


def test_a_correction_does_not_take_another_persons_address(support):
    record([opt_out("anna@example.org")])
    request = requests.log_request(email("ben@example.org"), "correction", by=support)
    old = Identifier.objects.get(subject=request.subject)

    with pytest.raises(ValidationError, match="Another person here"):
        correct(request, old, ANNA, by=support)


def test_a_retired_address_cannot_be_corrected_again(support):
    request = requests.log_request(email("ana@example.org"), "correction", by=support)
    old = Identifier.objects.get()
    correct(request, old, ANNA, by=support)
    old.refresh_from_db()

    with pytest.raises(ValidationError, match="reload the page"):
        correct(request, old, ANNA, by=support)


def test_an_act_that_was_not_asked_for_is_refused(access_request, support):
    with pytest.raises(ValidationError, match="asks for something else"):
        forget(access_request, by=support)


# Answering


def test_an_answer_is_filled_and_its_news_goes_with_the_transaction(access_request, support):
    heard = []
    template = AnswerText.objects.get(request_kind="access", locale="de", title="Was wir über Sie speichern")

    def hear(**news):
        heard.append((news["request"], news["text"], news["by"]))

    request_answered.connect(hear)
    try:
        text = replies.fill(template.body, access_request)
        request = replies.answer(access_request, text, template=template, by=support)
    finally:
        request_answered.disconnect(hear)

    ((answered, sent, by),) = heard
    assert (answered, by) == (request, "user:sam")
    assert access_request.ref in sent
    assert "e-mail address: anna@example.org" in sent
    assert request.state == "answered"
    assert request.events.last().answer == template


def test_the_log_of_a_request_does_not_keep_the_data_that_were_sent(access_request, support):
    request = replies.answer(access_request, "This is all of it:\n\n{data}", by=support)

    assert request.events.last().text == "This is all of it:\n\n{data}"


def test_only_an_access_request_is_answered_with_data(support):
    request = requests.log_request([ANNA], "correction", by=support)

    with pytest.raises(ValidationError, match=r"still holds \{data\}"):
        replies.answer(request, "This is all of it: {data}", by=support)


def test_what_must_still_be_written_is_not_sent(access_request, support):
    text = replies.fill("We refuse, because {reason}.", access_request)

    with pytest.raises(ValidationError, match=r"still holds \{reason\}"):
        replies.answer(access_request, text, by=support)
    with pytest.raises(ValidationError, match="Write the answer"):
        replies.answer(access_request, "  ", by=support)


def test_without_an_address_an_answer_says_what_to_do_instead(support):
    request = requests.log_request([PHONE], "access", by=support)

    with pytest.raises(ValidationError, match="by letter or telephone"):
        replies.answer(request, "Hello", by=support)


# Closing and queues


def test_a_request_is_closed_with_an_outcome_and_a_reason(access_request, support):
    request = requests.close(access_request, "denied", reason="Not verified in 45 days", by=support)

    assert (request.state, request.outcome, request.closed_by) == ("closed", "denied", "user:sam")
    assert request.events.last().text == "denied: Not verified in 45 days"


@pytest.mark.parametrize(("outcome", "reason"), [("done", " "), ("perhaps", "A reason")])
def test_closing_says_how_and_why(access_request, support, outcome, reason):
    with pytest.raises(ValidationError):
        requests.close(access_request, outcome, reason=reason, by=support)


def test_a_closed_request_is_over(access_request, support):
    requests.close(access_request, "done", reason="Answered by letter", by=support)

    for step in (
        lambda: requests.assign(access_request, support, by=support),
        lambda: requests.note(access_request, "More", by=support),
        lambda: replies.answer(access_request, "More", by=support),
        lambda: requests.close(access_request, "done", reason="Again", by=support),
        lambda: hand_out(access_request, by=support),
    ):
        with pytest.raises(ValidationError, match="Log a new request"):
            step()


def test_what_is_overdue_and_what_is_due_soon_are_questions_to_the_list(support):
    now = timezone.now()
    late = requests.log_request([ANNA], "access", received_at=now - timedelta(days=60), by=support)
    soon = requests.log_request([ANNA], "access", received_at=now - timedelta(days=42), by=support)
    requests.log_request([ANNA], "access", by=support)
    answered = requests.log_request([ANNA], "access", received_at=now - timedelta(days=60), by=support)

    answered = replies.answer(answered, "Here it is.", by=support)

    assert list(PrivacyRequest.objects.overdue(now)) == [late]
    assert list(PrivacyRequest.objects.due_within(7, now)) == [soon]
    assert late.is_overdue(now)
    assert not answered.is_overdue(now)
