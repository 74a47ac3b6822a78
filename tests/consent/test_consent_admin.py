"""The desks, as each role works at them: what they see, what they may do, and what they are told when they may not."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from consent import requests, subjects
from consent.admin.matrix import matrix
from consent.identifiers import Identity
from consent.models import AnswerText, Batch, Consent, Decision, GuardChange, PrivacyRequest, Reveal, Reversal, Subject
from consent.services import guard_level, may_contact, open_batch, record
from incidents.models import DecisionLink
from tests.factories import IncidentFactory, PurposeFactory, UserFactory, opt_in, opt_out

pytestmark = pytest.mark.django_db

ANNA = Identity.of("email", "anna@example.org")


def at(name, *args):
    return reverse(f"admin:consent_{name}", args=args)


def press(client, url, **answers):
    """Send a dialog; its answer leads to a page that says what happened."""
    response = client.post(url, {"_form_submitted": "on", **answers})
    assert response.status_code == 200, response.content.decode()[:2000]
    page = response.headers.get("HX-Redirect")
    return client.get(page).content.decode() if page else response.content.decode()


def words(response):
    """What a reader sees of a page: no tags, single blanks."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def subject_of(identity):
    return subjects.find([identity])[identity.kind, identity.digest]


@pytest.fixture
def support(client):
    user = UserFactory(username="sam", role="Support")
    client.force_login(user)
    return user


@pytest.fixture
def officer(client):
    user = UserFactory(username="olga", role="Officer")
    client.force_login(user)
    return user


@pytest.fixture
def anna():
    record([opt_in(ANNA.value, decided_at=timezone.now() - timedelta(days=2))])
    return subject_of(ANNA)


@pytest.fixture
def asked(anna):
    return requests.log_request([ANNA], "access", details="What do you have?", by="user:someone")


# Logging a request

FORM = {
    "email": ANNA.value,
    "received_via": "phone",
    "locale": "en",
    "purposes": "*",
    "channels": "*",
    "key": "one form",
}


def test_a_decision_is_named_in_words():
    decision = Decision(pk=7, choice="opt_out", purpose="marketing", channel="email")

    assert str(decision) == "opt out marketing/email #7"


def test_support_logs_an_opt_out_and_it_is_in_effect(client, support, anna):
    response = client.post(at("privacyrequest_add"), {**FORM, "kind": "opt_out"}, follow=True)

    request = PrivacyRequest.objects.get()
    assert f"{request.ref} is logged" in response.content.decode()
    assert not may_contact(ANNA, "marketing", "email")
    assert Decision.objects.get(choice="opt_out").actor == "user:sam"


@pytest.mark.parametrize(
    "mistake",
    [
        {"received_at_0": "2026-13-45", "received_at_1": "12:00"},
        {"received_at_0": "2199-01-01", "received_at_1": "12:00"},
        {"rule": "US-CA-RESPOND-ACCESS"},
        {"locale": "tlh"},
        {"phone": "12"},
    ],
    ids=["no date", "the future", "a rule of another kind", "no language", "no number"],
)
def test_a_mistake_elsewhere_in_the_form_does_not_cost_the_opt_out(client, support, anna, mistake):
    page = client.post(at("privacyrequest_add"), {**FORM, "kind": "opt_out", **mistake}).content.decode()

    assert "The opt-out is recorded and in effect" in page
    assert not may_contact(ANNA, "marketing", "email")
    assert not PrivacyRequest.objects.exists()


def test_the_form_sent_again_without_the_mistake_adds_no_second_opt_out(client, support, anna):
    client.post(at("privacyrequest_add"), {**FORM, "kind": "opt_out", "locale": "tlh"})

    client.post(at("privacyrequest_add"), {**FORM, "kind": "opt_out"})

    assert Decision.objects.filter(choice="opt_out").count() == 1
    assert PrivacyRequest.objects.count() == 1


def test_a_corrected_address_is_opted_out_too(client, support):
    client.post(at("privacyrequest_add"), {**FORM, "email": "ana@example.org", "kind": "opt_out", "locale": "tlh"})

    client.post(at("privacyrequest_add"), {**FORM, "kind": "opt_out"})

    assert Consent.objects.opted_out().filter(subject=subject_of(ANNA)).exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"email": ""}, "Give an e-mail address, a telephone number or a user id."),
        ({"email": "anna"}, "Give an e-mail address like name@example.org."),
        ({"phone": "030 1"}, "Give the number with its country code"),
    ],
)
def test_an_identifier_that_is_none_of_its_kind_is_said_beside_it(client, support, wrong, told):
    page = client.post(at("privacyrequest_add"), {**FORM, "kind": "access", **wrong}).content.decode()

    assert told in page
    assert not PrivacyRequest.objects.exists()


def test_a_request_is_logged_from_a_persons_page(client, support, anna):
    form = at("privacyrequest_add") + f"?subject={anna}"
    assert "a…@example.org" in client.get(form).content.decode()

    client.post(form, {**FORM, "email": "", "kind": "access"})

    assert PrivacyRequest.objects.get().subject_id == anna


def test_a_page_for_nobody_asks_who(client, support):
    for nobody in ("x", "00000000-0000-0000-0000-000000000000"):
        assert 'name="email"' in client.get(at("privacyrequest_add") + f"?subject={nobody}").content.decode()


# The queue


def test_the_queues_hold_what_their_names_say(client, support, anna):
    now = timezone.now()
    late = requests.log_request([ANNA], "access", received_at=now - timedelta(days=60), by=support)
    soon = requests.log_request([ANNA], "access", received_at=now - timedelta(days=41), by=support)
    mine = requests.assign(requests.log_request([ANNA], "access", by=support), support, by=support)

    def refs(queue):
        page = client.get(at("privacyrequest_changelist") + queue).content.decode()
        return re.findall(r">(PR-\d+)<", page), page

    assert refs("?queue=overdue")[0] == [late.ref]
    assert refs("?queue=soon")[0] == [soon.ref]
    assert refs("?queue=mine")[0] == [mine.ref]
    assert refs("?queue=unassigned")[0] == [late.ref, soon.ref]
    everything, page = refs("")
    assert everything == [late.ref, soon.ref, mine.ref]
    assert "days overdue" in page
    assert "days left" in page
    assert "a…@example.org" in page
    assert ANNA.value not in page


def test_a_request_is_found_by_its_reference_or_its_persons_address(client, support, asked):
    for term in (asked.ref.lower(), "Anna@Example.org"):
        assert asked.ref in client.get(at("privacyrequest_changelist"), {"q": term}).content.decode()
    for term in ("PR-999999", "somebody@example.org", "anna", "%"):
        assert f">{asked.ref}<" not in client.get(at("privacyrequest_changelist"), {"q": term}).content.decode()


# Working on one


def test_support_takes_a_request_notes_and_closes_it(client, support, asked):
    assert "is yours" in press(client, at("privacyrequest_take", asked.pk))
    assert "The note is kept" in press(client, at("privacyrequest_note", asked.pk), text="Called back")
    page = press(client, at("privacyrequest_close", asked.pk), outcome="withdrawn", reason="Changed their mind")

    asked.refresh_from_db()
    assert (asked.state, asked.closed_by) == ("closed", "user:sam")
    assert "withdrawn: Changed their mind" in page
    assert "Answer</" not in page


def test_a_dialog_that_is_only_looked_at_changes_nothing(client, support, asked):
    client.get(at("privacyrequest_take", asked.pk))

    asked.refresh_from_db()
    assert asked.assignee is None


def test_a_request_is_assigned_to_somebody_who_may_work_on_it(client, support, asked):
    colleague, responder = UserFactory(role="Support"), UserFactory(role="Responder")

    press(client, at("privacyrequest_assign", asked.pk), assignee=responder.pk)
    asked.refresh_from_db()
    assert asked.assignee is None

    press(client, at("privacyrequest_assign", asked.pk), assignee=colleague.pk)
    asked.refresh_from_db()
    assert asked.assignee == colleague


def test_support_answers_from_a_text_after_a_look_at_it(client, support, asked):
    url = at("privacyrequest_answer", asked.pk)
    german = AnswerText.objects.get(request_kind="access", title="Was wir über Sie speichern")

    page = client.get(url, {"text": german.pk}).content.decode()
    assert f"Anfrage {asked.ref}" in page
    assert ANNA.value not in page
    shown = client.post(url, {"text": "Dear Anna, …", "_preview": "1"}).content.decode()
    assert "As it will be sent" in shown
    asked.refresh_from_db()
    assert asked.state == "open"

    sent = client.post(url, {"text": "Dear Anna, …", "template": german.pk}, follow=True).content.decode()
    asked.refresh_from_db()
    assert asked.state == "answered"
    assert "Dear Anna" in sent


def test_an_answer_with_an_open_place_is_refused_in_words(client, support, asked):
    page = client.post(at("privacyrequest_answer", asked.pk), {"text": "No, because {reason}."}).content.decode()

    assert "The text still holds {reason}" in page


def test_data_are_handed_out_as_a_file_and_the_log_says_so(client, support, asked):
    url = at("privacyrequest_hand_out_data", asked.pk)
    client.get(url)
    assert asked.events.count() == 1

    response = client.post(url)

    assert response["Content-Disposition"] == f'attachment; filename="{asked.ref}.json"'
    assert response.json()["identifiers"][0]["value"] == ANNA.value
    assert asked.events.last().recorded_by == "user:sam"


def test_a_deletion_says_to_answer_first(client, support, anna):
    request = requests.log_request([ANNA], "deletion", by=support)

    page = press(client, at("privacyrequest_erase_person", request.pk))

    assert f"Answer {request.ref} first" in page


def test_a_wrong_address_is_corrected(client, support, anna):
    request = requests.log_request([ANNA], "correction", by=support)
    url = at("privacyrequest_correct_identifier", request.pk)
    old = Subject.objects.get(pk=anna).identifiers.get()

    assert "like name@example.org" in client.post(url, {"old": old.pk, "value": "anna"}).content.decode()
    client.post(url, {"old": old.pk, "value": "anna.new@example.org"})

    assert subject_of(Identity.of("email", "anna.new@example.org")) == anna


def test_a_request_offers_only_what_it_can_come_to(client, support, asked):
    page = client.get(at("privacyrequest_change", asked.pk)).content.decode()

    assert "Hand out the data" in page
    assert "Erase the person" not in page
    assert "Correct an identifier" not in page


# A person


def test_a_person_is_found_or_added(client, support, anna):
    found = client.post(at("subject_add"), {"email": "ANNA@example.org"}, follow=True)
    added = client.post(at("subject_add"), {"phone": "+49 30 901820"}, follow=True)

    assert found.redirect_chain[0][0] == at("subject_change", anna)
    assert "this person is known" in found.content.decode()
    assert "Added." in added.content.decode()


def test_different_people_are_not_taken_for_one(client, support, anna):
    record([opt_in("ben@example.org")])
    client.post(at("subject_add"), {"phone": "+49 30 901820"})

    page = client.post(at("subject_add"), {"email": ANNA.value, "phone": "+49 30 901820"}).content.decode()

    assert "different people" in page


def test_a_persons_page_tells_the_whole_story(client, officer, anna):
    recorded = record([opt_out(anna, exit_path="preference-page")])[0]
    incident = IncidentFactory()
    DecisionLink.objects.create(incident=incident, decision_id=recorded.id, subject_id=anna)
    requests.log_request(anna, "access", by=officer)

    page = client.get(at("subject_change", anna)).content.decode()

    assert "a…@example.org" in page
    assert ANNA.value not in page
    assert "opted in → opted out" in page
    assert "by way of preference-page" in page
    assert "PR-" in page


def test_a_persons_page_says_what_a_sender_would_be_told(client, support, anna):
    record([opt_in(anna, channel="sms"), opt_out(anna, purpose="*", channel="*")])

    cells = dict(matrix([anna])["rows"])

    assert [cell.state for cell in cells["Offers and marketing"]] == ["opt_out", "opt_out", "opt_out"]
    assert "by the choice about all purposes by all channels" in words(client.get(at("subject_change", anna)))


def test_a_narrow_yes_after_a_wide_no_shows_as_both(anna):
    record([opt_out(anna, purpose="marketing", channel="*", explicit=False, cause="import")])

    ((_, cells),) = matrix([anna])["rows"]

    assert [cell.state for cell in cells] == ["opt_out", "opt_in"]


def test_support_records_an_opt_out_that_was_told_on_the_telephone(client, support, anna):
    page = press(
        client, at("subject_opt_out", anna), purposes="marketing", channels="email", via="phone", reason="Said so"
    )

    decision = Decision.objects.get(choice="opt_out")
    assert "It is in effect now" in page
    assert (decision.explicit, decision.cause, decision.exit_path) == (True, "support", "support-phone")
    assert decision.evidence.content["details"] == "Said so"


def test_an_opt_out_without_a_reason_is_asked_again(client, support, anna):
    press(client, at("subject_opt_out", anna), purposes="marketing", channels="email", via="phone", reason="")

    assert not Decision.objects.filter(choice="opt_out").exists()


def test_an_opt_out_is_recorded_for_somebody_unknown(client, support):
    answers = {"email": ANNA.value, "purposes": "*", "channels": "*", "via": "email", "reason": "Wrote to us"}

    page = press(client, at("consent_opt_somebody_out"), **answers)

    assert "Opted out of all purposes by all channels" in page
    assert not may_contact(ANNA, "marketing", "email")


def test_an_identifier_is_shown_once_and_the_look_is_kept(client, support, anna):
    url = at("subject_reveal", anna)
    identifier = Subject.objects.get(pk=anna).identifiers.get()
    assert ANNA.value not in client.get(url).content.decode()

    shown = client.post(url, {"identifier": identifier.pk, "reason": "Compare with the letter"})

    assert ANNA.value in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert list(Reveal.objects.values_list("revealed_by", "reason")) == [("user:sam", "Compare with the letter")]
    assert "Compare with the letter" in client.get(at("subject_change", anna)).content.decode()


def test_a_look_without_a_reason_shows_nothing(client, support, anna):
    identifier = Subject.objects.get(pk=anna).identifiers.get()

    page = client.post(at("subject_reveal", anna), {"identifier": identifier.pk, "reason": ""}).content.decode()

    assert ANNA.value not in page
    assert not Reveal.objects.exists()


def test_two_people_are_merged_and_nobody_is_merged_with_a_typing_error(client, support, anna):
    record([opt_out("anna.old@example.org", purpose="analytics", channel="web")])

    url = at("subject_merge_other", anna)
    assert "Nobody is known by that" in press(client, url, other="anna.odl@example.org", reason="The same")
    assert "this person already" in press(client, url, other=ANNA.value, reason="The same")
    assert "story of both" in press(client, url, other="anna.old@example.org", reason="The same")

    assert not may_contact(ANNA, "analytics", "web")


# Back in takes two


def test_an_opt_out_is_not_lifted_by_one_member_of_staff(client, support, anna):
    record([opt_out(anna)])

    page = press(
        client, at("subject_ask_reversal", anna), scope="marketing/email", reason="Called", evidence="Ticket 5"
    )

    assert "until a second colleague agrees" in page
    assert not may_contact(ANNA, "marketing", "email")
    refused = press(client, at("reversal_agree", Reversal.objects.get().pk))
    assert "by a second person" in refused
    assert not may_contact(ANNA, "marketing", "email")


def test_a_choice_that_is_not_an_opt_out_cannot_be_lifted(client, support, anna):
    press(client, at("subject_ask_reversal", anna), scope="marketing/email", reason="Called", evidence="Ticket 5")

    assert not Reversal.objects.exists()


# Lists


def test_consents_are_found_by_exact_identifiers_only(client, support, anna):
    record([opt_out("ben@example.org")])

    def people(term):
        return re.findall(r"(\w)…@example.org", client.get(at("consent_changelist"), {"q": term}).content.decode())

    assert people("anna@example.org") == ["a"]
    assert people(str(anna)) == ["a"]
    assert people("anna") == []
    assert people("nobody@example.org") == []
    assert sorted(people("")) == ["a", "b"]


def test_an_auditor_sees_no_identifier_and_finds_nobody_by_one(client, anna):
    client.force_login(UserFactory(role="Auditor"))

    assert "example.org" not in client.get(at("consent_changelist")).content.decode()
    assert "example.org" not in client.get(at("subject_change", anna)).content.decode()
    assert str(anna)[:8] not in client.get(at("consent_changelist"), {"q": ANNA.value}).content.decode()
    assert str(anna)[:8] in client.get(at("consent_changelist"), {"q": str(anna)}).content.decode()


def test_the_history_of_a_consent_says_who_when_why_and_from_what_to_what(client, officer, anna):
    recorded = record([opt_out(anna, exit_path="preference-page")])[0]
    incident = IncidentFactory(title="Mailing went out twice")
    DecisionLink.objects.create(incident=incident, decision_id=recorded.id, subject_id=anna)

    page = words(client.get(at("consent_history", Consent.objects.get().pk)))

    assert "the person's choice, said by the person" in page
    assert "by way of preference-page" in page
    assert f"opted in → opted out #{recorded.id}" in page
    assert "nothing decided → opted in" in page


def test_a_decision_is_found_by_its_number(client, officer, anna):
    number = Decision.objects.get().pk
    record([opt_out("ben@example.org")])

    page = client.get(at("decision_changelist"), {"q": f"#{number}"}).content.decode()

    assert "a…@example.org" in page
    assert "b…@example.org" not in page


@pytest.mark.parametrize(
    "query", ["state=opt_out", "purpose=marketing", "channel=email", "explicit=1", "explicit=0", "cause=support"]
)
def test_consents_are_filtered(client, officer, anna, query):
    assert client.get(at("consent_changelist") + f"?{query}").status_code == 200


def test_a_persons_page_asks_a_bounded_number_of_questions(client, officer, anna):
    def questions():
        with CaptureQueriesContext(connection) as asked:
            client.get(at("subject_change", anna))
        return len(asked)

    requests.log_request(anna, "access", by=officer)  # its receipt is a message, which asks for its title
    questions()  # fills what is kept for good
    few = questions()
    record([opt_out(anna, channel=channel) for channel in ("email", "sms", "phone", "post")])
    for _ in range(5):
        requests.log_request(anna, "access", by=officer)

    assert questions() <= few


# Guard and batches


def test_an_officer_sets_the_guard_with_a_reason(client, officer):
    assert "The guard is at freeze" in press(client, at("guardchange_set_level"), level="freeze", reason="Incident")

    assert guard_level() == "freeze"
    assert GuardChange.objects.get().changed_by == "user:olga"


def test_the_guard_is_not_set_without_a_reason(client, officer):
    press(client, at("guardchange_set_level"), level="freeze", reason="")

    assert guard_level() == "observe"


def test_by_which_rule_people_are_contacted_is_not_changed_at_this_desk(client, officer):
    purpose = PurposeFactory(code="news", regime="opt_in")
    page = at("purpose_change", "news")
    fields = {"name": "News", "description": "What is new", "position": 3, "is_public": "on", "reason": "Wording"}

    assert "Change sets, +, Change a purpose" in client.get(page).content.decode()
    client.post(page, {**fields, "regime": "opt_out", "is_covered_by_gpc": "on"})

    purpose.refresh_from_db()
    assert (purpose.name, purpose.regime, purpose.is_covered_by_gpc) == ("News", "opt_in", False)


def test_an_officer_undoes_a_batch(client, officer):
    batch = open_batch("import", reason="Wrong list", by=officer)
    record([opt_in(ANNA.value, explicit=False, cause="import", batch_id=batch.pk)])

    page = press(client, at("batch_declare_bad", batch.pk), reason="The wrong list")

    assert "1 decisions no longer count" in page
    assert Consent.objects.get().state is None
    assert Batch.objects.count() == 1


# Who may what

DEEDS = {
    "consent_opt_somebody_out": {"Officer", "Support"},
    "guardchange_set_level": {"Officer", "Responder"},
}
DEEDS_ON_A_REQUEST = ("take", "assign", "note", "close", "answer", "hand_out_data", "erase_person")
DEEDS_ON_A_PERSON = ("opt_out", "log_request", "reveal", "ask_reversal", "merge_other")


@pytest.mark.parametrize("role", ["Officer", "Support", "Responder", "Auditor"])
def test_each_role_does_what_it_may_and_nothing_else(client, role, asked, anna):
    client.force_login(UserFactory(role=role))
    desk = role in ("Officer", "Support")

    for deed, roles in DEEDS.items():
        assert client.get(at(deed)).status_code == (200 if role in roles else 403), deed
    for deed in DEEDS_ON_A_REQUEST:
        assert client.get(at(f"privacyrequest_{deed}", asked.pk)).status_code == (200 if desk else 403), deed
    for deed in DEEDS_ON_A_PERSON:
        found = client.get(at(f"subject_{deed}", anna)).status_code
        assert (found in (200, 302)) if desk else (found == 403), deed
    assert client.get(at("privacyrequest_add")).status_code == (200 if desk else 403)
    assert client.get(at("subject_add")).status_code == (200 if desk else 403)
