"""The admin's outbox and texts: what an officer sees, and what the buttons do and refuse."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from consent import subjects
from consent.identifiers import Identity
from consent.models import Decision
from consent.services import merge, record
from consent.story import tell
from incidents.models import DecisionLink
from messaging import health
from messaging.confirmations import confirmations_of
from messaging.delivery import deliver
from messaging.evidence import level_of
from messaging.models import Message, SendHold, TemplateFault, TemplateVersion, TransportHealth
from messaging.publishing import draft_from
from messaging.services import enqueue
from messaging.sweeping import sweep
from tests.factories import MessageFactory, TemplateFaultFactory, UserFactory, incident, opt_out
from tests.messaging.smtp import fault_server

pytestmark = pytest.mark.usefixtures("newsletter")


@pytest.fixture
def officer(client):
    user = UserFactory(username="olga", role="Officer")
    client.force_login(user)
    return user


@pytest.fixture
def message():
    made = record([opt_out("anna@example.org", "newsletter")])
    enqueue(confirmations_of(Decision.objects.filter(pk=made[0].id)))
    return Message.objects.get()


@pytest.fixture
def sent(message):
    with fault_server() as server:
        deliver(transport=server.relay())
    return message


def page(record):
    return reverse(f"admin:messaging_{record._meta.model_name}_change", args=[record.pk])


def press(client, record, button, **answers):
    name = f"admin:messaging_{record._meta.model_name}_{button}"
    return client.post(reverse(name, args=[record.pk]), {"_form_submitted": "on", **answers})


def test_the_page_of_a_message_tells_what_happened_and_shows_it_in_a_frame_that_can_do_nothing(client, officer, sent):
    text = client.get(page(sent)).content.decode()

    assert "E3: a relay took it" in text
    assert "250 2.0.0 Ok: queued as 4F2A" in text
    assert '<iframe class="hf-mail" title="The message as HTML" sandbox=""' in text
    assert "a…@example.org" in text
    assert "anna@example.org" not in text


def test_yes_and_no_are_words_and_no_alarm(client, officer, sent):
    text = client.get(page(sent)).content.decode()

    assert re.search(r"Possible duplicate.*?<span>no</span>", text, re.DOTALL)
    assert "close_small" not in text


def test_the_page_shows_no_token_that_would_let_staff_act_as_the_person(client, officer, sent):
    sent.refresh_from_db()
    token = sent.raw.split(b"/u/")[1].split(b"/")[0].decode()

    text = client.get(page(sent)).content.decode()

    assert "/preferences/…/" in text
    assert token not in text


def test_an_auditor_sees_what_became_of_a_message_and_not_what_it_said_or_to_whom(client, sent):
    client.force_login(UserFactory(role="Auditor"))

    text = client.get(page(sent)).content.decode()

    assert "queued as 4F2A" in text
    assert "example.org" not in text
    assert "<iframe" not in text


def test_a_message_is_found_by_its_persons_address_its_number_and_its_message_id(client, officer, message):
    url = reverse("admin:messaging_message_changelist")

    for term in ("Anna@Example.org", str(message.pk), f"<{message.pk}@holdfast.example>", str(message.subject_id)):
        assert page(message) in client.get(url, {"q": term}).content.decode()
    assert page(message) not in client.get(url, {"q": "bela@example.org"}).content.decode()


def test_a_text_message_is_found_by_its_number_and_shown_as_it_was_written(client, officer):
    text = "Du bist abgemeldet, Zoë. https://shop.example/u/" + "x" * 30 + "/"
    message = MessageFactory(
        channel="sms", subject_id=known("phone", "+49 30 901820"), raw=text.encode(), render_hash=b"x" * 32,
        sealed_recipient=Identity.of("phone", "+4930901820").seal(),
    )  # fmt: skip

    found = client.get(reverse("admin:messaging_message_changelist"), {"q": "+49 30 90 18 20"}).content.decode()
    shown = client.get(page(message)).content.decode()

    assert page(message) in found
    assert "Du bist abgemeldet, Zoë. https://shop.example/u/…/" in shown
    assert "text message" in shown
    assert 'aria-label="Headers"' not in shown


def test_a_message_that_was_sealed_under_another_key_says_so_on_its_page(client, officer):
    message = MessageFactory(sealed_raw=b"sealed by another key, some time ago", render_hash=b"x" * 32)

    shown = client.get(page(message)).content.decode()

    assert "It cannot be opened: was PRIVACY_KEY changed" in shown


def test_what_was_sent_before_a_merge_is_found_by_either_address(client, officer, message):
    other = known("email", "anna@work.example")
    merge(message.subject_id, other, reason="The same person", by="user:olga")

    text = client.get(reverse("admin:messaging_message_changelist"), {"q": "anna@work.example"}).content.decode()

    assert page(message) in text


def known(kind, value):
    identity = Identity.of(kind, value)
    return subjects.find_or_make([[identity]]).of(identity)


def test_an_address_that_cannot_be_opened_does_not_close_the_outbox(client, officer, message):
    Message.objects.update(sealed_recipient=b"sealed under another key, long ago")

    assert "cannot be opened" in client.get(reverse("admin:messaging_message_changelist")).content.decode()
    assert "cannot be opened" in client.get(page(message)).content.decode()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"state": "rejected"}, "it was refused. It was not sent."),
        ({"state": "failed"}, "nothing took it. It was not sent."),
        ({"state": "cancelled"}, "withdrawn. It was not sent."),
        ({"state": "retry_wait"}, "It is not known to have been sent."),
        ({"state": "closed_unknown"}, "It may have been sent."),
        ({"state": "rejected", "possible_duplicate": True}, "An earlier try may have been sent."),
    ],
)
def test_what_was_refused_is_not_called_unknown_and_what_is_unknown_not_refused(facts, said):
    assert level_of(Message(attempts_made=2, **facts)).endswith(said)


@pytest.mark.parametrize("age", ["hour", "day", "week"])
def test_the_outbox_is_filtered_by_age(client, officer, message, age):
    url = reverse("admin:messaging_message_changelist")

    text = client.get(url, {"age": age}).content.decode()

    assert page(message) in text


@pytest.mark.parametrize(
    ("queue", "facts"),
    [
        ("overdue", {"owed_by": timezone.now() - timedelta(minutes=1)}),
        ("doubt", {"state": "in_doubt"}),
        ("held", {"state": "held"}),
        ("trouble", {"state": "filed"}),
        ("twice", {"possible_duplicate": True}),
    ],
)
def test_what_somebody_comes_to_look_at_is_a_queue(client, officer, message, queue, facts):
    url = reverse("admin:messaging_message_changelist")
    assert page(message) not in client.get(url, {"queue": queue}).content.decode()

    Message.objects.update(**facts)

    text = client.get(url, {"queue": queue}).content.decode()
    assert page(message) in text
    assert 'aria-current="page"' in text


def test_the_outbox_is_filtered_by_incident_and_transport(client, officer, sent):
    tied, other = incident("Relay down"), incident("Elsewhere")
    DecisionLink.objects.create(incident=tied, decision_id=sent.decision_id, subject_id=sent.subject_id)
    url = reverse("admin:messaging_message_changelist")

    assert page(sent) in client.get(url, {"incident": tied.ref, "transport": "relay"}).content.decode()
    assert page(sent) not in client.get(url, {"incident": other.ref}).content.decode()
    assert page(sent) not in client.get(url, {"transport": "backup"}).content.decode()


def test_two_officers_decide_about_a_notice_in_doubt_on_its_page(client, officer, message):
    Message.objects.update(state="in_doubt", message_class="incident_notice", on_doubt="ask")
    press(client, message, "resend", reason="Alone")
    message.refresh_from_db()
    assert message.state == "in_doubt"

    press(client, message, "propose_resend", reason="Not in the relay's log")
    press(client, message, "agree", reason="Me again")
    assert "You proposed this: somebody else decides with you." in client.get(page(message)).content.decode()
    client.force_login(UserFactory(username="bela", role="Support"))
    assert "Not in the relay&#x27;s log" in client.get(page(message)).content.decode()
    press(client, message, "agree", reason="I looked too")

    message.refresh_from_db()
    assert (message.state, message.possible_duplicate) == ("retry_wait", True)


def test_an_officer_holds_a_lane_and_lets_it_go(client, officer, message):
    held = reverse("admin:messaging_sendhold_changelist")
    answers = {"what": "lane:critical", "reason": "Wrong text", "until_0": "", "until_1": ""}
    client.post(reverse("admin:messaging_sendhold_hold"), {"_form_submitted": "on", **answers})
    hold = SendHold.objects.get()
    text = client.get(page(hold)).content.decode()

    assert "lane critical" in client.get(held).content.decode()
    assert "Messages kept back" in text
    press(client, hold, "let_it_go", reason="Mended")
    hold.refresh_from_db()
    assert (hold.held_by, hold.released_by) == ("user:olga", "user:olga")


def test_support_may_look_at_holds_and_not_make_one(client):
    client.force_login(UserFactory(role="Support"))

    client.post(reverse("admin:messaging_sendhold_hold"), {"_form_submitted": "on", "what": "lane:bulk", "reason": "x"})

    assert not SendHold.objects.exists()


def test_the_list_of_transports_tells_which_works_and_a_pause_can_be_ended(client, officer, sending_by):
    sending_by("relay=smtp://127.0.0.1:1", "disk=file:///unsent")
    sweep()
    for _ in range(health.OPENS_AFTER):
        health.failed("relay", "out of order")
    url = reverse("admin:messaging_transporthealth_changelist")

    text = client.get(url).content.decode()
    assert "failed 5 times in a row" in text
    assert "e-mail, as the last resort" in text
    press(client, TransportHealth.objects.get(pk="relay"), "try_now")

    assert health.may_try("relay")


def test_an_officer_holds_a_message_with_a_reason_and_lets_it_go(client, officer, message):
    press(client, message, "hold", reason="Wrong text")
    message.refresh_from_db()
    assert message.state == "held"

    press(client, message, "release", reason="Mended")

    message.refresh_from_db()
    assert message.state == "retry_wait"
    assert [event.payload["by"] for event in message.events.all()] == ["user:olga", "user:olga"]
    assert "Held back: Wrong text" in client.get(page(message)).content.decode()


def test_a_responder_may_look_and_not_hold(client, message):
    client.force_login(UserFactory(role="Responder"))

    press(client, message, "hold", reason="Please")

    message.refresh_from_db()
    assert message.state == "ready"


def test_a_colleague_approves_what_the_author_cannot(client, officer):
    draft = draft_from(TemplateVersion.objects.published("request_received").get(), by=officer)
    press(client, draft, "check_it", reason="Ready")
    press(client, draft, "approve_it", reason="Mine")
    assert "You wrote on this version: ask a colleague" in client.get(page(draft)).content.decode()

    client.force_login(UserFactory(username="bela", role="Officer"))
    press(client, draft, "approve_it", reason="Read it")
    press(client, draft, "publish_it", reason="Now")

    draft.refresh_from_db()
    assert (draft.state, draft.approved_by, draft.published_by) == ("published", "user:bela", "user:bela")
    text = client.get(page(draft)).content.decode()
    assert "Read it" in text
    assert "every sample reads the same in every language" in text


def test_whoever_may_write_texts_may_not_approve_them_for_that(client, officer):
    draft = draft_from(TemplateVersion.objects.published("request_received").get(), by="user:anna")
    press(client, draft, "check_it", reason="Ready")
    writer = UserFactory(username="will", role="Support")
    writer.user_permissions.add(Permission.objects.get(codename="change_templateversion"))
    client.force_login(writer)

    assert "approve_it" not in client.get(page(draft)).content.decode()
    press(client, draft, "approve_it", reason="Read it")

    draft.refresh_from_db()
    assert draft.state == "checked"


def test_a_checked_version_goes_back_to_draft_by_its_button(client, officer):
    draft = draft_from(TemplateVersion.objects.published("request_received").get(), by="user:anna")
    press(client, draft, "check_it", reason="Ready")

    press(client, draft, "return_it", reason="A typing error")

    draft.refresh_from_db()
    assert (draft.state, draft.returned_by, draft.returned_reason) == ("draft", "user:olga", "A typing error")


def test_a_preview_can_run_load_and_reach_nothing_and_shows_only_in_our_own_frame(client, officer):
    version = TemplateVersion.objects.published("request_received").get()
    url = reverse("admin:messaging_templateversion_preview", args=[version.pk, "de", 1])

    shown = client.get(url)

    assert (
        f'sandbox="" loading="lazy" referrerpolicy="no-referrer" src="{url}"'
        in client.get(page(version)).content.decode()
    )
    assert "Wir haben Ihre Anfrage erhalten" in shown.content.decode()
    policy = shown["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "sandbox" in policy
    assert shown["X-Frame-Options"] == "SAMEORIGIN"
    assert client.get(reverse("admin:messaging_templateversion_preview", args=[version.pk, "pl", 1])).status_code == 404


def test_who_may_not_see_texts_sees_no_preview(client):
    client.force_login(UserFactory())
    version = TemplateVersion.objects.published("request_received").get()

    assert client.get(reverse("admin:messaging_templateversion_preview", args=[version.pk, "de", 1])).status_code == 403


def test_a_fault_is_taken_care_of_and_mended_by_its_buttons(client, officer):
    fault = TemplateFaultFactory()
    press(client, fault, "acknowledge_it", reason="I look at it")
    fault.refresh_from_db()
    assert (fault.acknowledged_by, TemplateFault.objects.unseen().count()) == ("user:olga", 0)

    press(client, fault, "mend_it", reason="The data were wrong")

    fault.refresh_from_db()
    assert (fault.mended_by, TemplateFault.objects.open().count()) == ("user:olga", 0)
    assert "The data were wrong" in client.get(page(fault)).content.decode()


def test_the_dashboard_says_that_texts_fail_until_they_are_mended(client, officer):
    assert "Texts that fail" not in client.get(reverse("admin:index")).content.decode()

    TemplateFaultFactory()

    assert "Texts that fail" in client.get(reverse("admin:index")).content.decode()


def test_the_page_of_a_draft_says_what_stands_in_its_way_and_shows_every_language(client, officer):
    draft = draft_from(TemplateVersion.objects.published("request_received").get(), by=officer)
    draft.bodies.filter(locale="de").update(text="{{ nickname }}")

    text = client.get(page(draft)).content.decode()

    assert "names nickname, which its context does not promise" in text
    assert text.count("sample ") >= 8


def test_whoever_writes_on_a_draft_becomes_its_author(client, officer):
    draft = draft_from(TemplateVersion.objects.published("request_received").get(), by="user:anna")
    bodies = list(draft.bodies.order_by("pk"))
    form = {
        "context_schema": '{"type": "object"}',
        "samples": '[{"ref": "PR-1"}]',
        "bodies-TOTAL_FORMS": len(bodies),
        "bodies-INITIAL_FORMS": len(bodies),
    }
    for number, body in enumerate(bodies):
        fields = {"id": body.pk, "version": draft.pk, "locale": body.locale, "subject": "New", "text": "T", "html": ""}
        form |= {f"bodies-{number}-{name}": value for name, value in fields.items()}

    response = client.post(page(draft), form)

    draft.refresh_from_db()
    assert response.status_code == 302
    assert (draft.created_by, draft.writers) == ("user:olga", ["user:anna", "user:olga"])
    assert set(draft.bodies.values_list("subject", flat=True)) == {"New"}


def test_a_published_version_has_no_field_to_change(client, officer):
    version = TemplateVersion.objects.published("request_received").get()

    text = client.get(page(version)).content.decode()

    assert "<textarea" not in text
    assert client.post(page(version), {"samples": "[]"}).status_code == 403


def test_a_message_stands_in_the_story_of_its_person_beside_the_decision(sent):
    [line] = [entry for entry in tell([sent.subject_id]) if entry.kind == "message"]

    assert line.text == "Confirmation of an opt-out: accepted by the relay"
    assert (line.decision, line.url) == (sent.decision_id, page(sent))
