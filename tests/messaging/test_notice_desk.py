"""Notices in the admin: written from any text's schema, counted, approved by a colleague, sent, stopped, proved."""

import csv
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from consent.story import tell
from messaging import batches, notices
from messaging.admin.notice_forms import context_of, fact_fields
from messaging.delivery import deliver_due
from messaging.models import Message, Notice
from messaging.report import proof, recipients_of
from messaging.services import note
from tests.factories import UserFactory, notice_text
from tests.messaging.test_batches import started
from tests.messaging.test_notices import approved, code_of, counted, people, written

pytestmark = pytest.mark.usefixtures("newsletter")

FORM = {
    "title": "About the copied list",
    "reason": "Art. 34 GDPR",
    "rate": "600",
    "about": "",
    "notice_purpose": "",
    "fact_what": "A list was copied.",
    "fact_found_at_0": "2026-11-20",
    "fact_found_at_1": "09:00:00",
    "fact_steps": "Change your password\n\nWatch out",
}


def log_in(client, name, role="Officer"):
    user = UserFactory(username=name, role=role)
    client.force_login(user)
    return user


def page(notice, tab=""):
    return reverse("admin:messaging_notice_change", args=[notice.pk]) + (f"?tab={tab}" if tab else "")


def press(client, notice, button, **answers):
    url = reverse(f"admin:messaging_notice_{button}", args=[notice.pk])
    return client.post(url, {"_form_submitted": "on", "reason": "Because", **answers})


def text_of(client, url):
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def test_a_notice_goes_from_the_form_to_the_people_by_its_buttons(client, relay_inbox):
    people("anna", "bela")
    version = notice_text()
    log_in(client, "olga")
    chosen = client.post(reverse("admin:messaging_notice_add"), {"template": version.template_id, "kind": "list"})
    client.post(
        reverse("admin:messaging_notice_add") + chosen.url,
        {**FORM, "pasted": "anna@example.org\nbela@example.org\nnobody@example.org"},
    )
    notice = Notice.objects.get()
    assert notice.context == {
        "what": "A list was copied.",
        "found_at": "2026-11-20T09:00:00+00:00",
        "steps": ["Change your password", "Watch out"],
    }
    press(client, notice, "count")
    assert "It goes to 2 people; 0 are left out" in text_of(client, page(notice))
    assert "Line 3: Nobody is known by this." in text_of(client, page(notice))
    notice.refresh_from_db()

    press(client, notice, "approve", code=code_of(notice))  # her own
    notice.refresh_from_db()
    assert notice.state == "counted"
    log_in(client, "bela")
    press(client, notice, "approve", code=code_of(notice))
    press(client, notice, "start")
    batches.send_all()
    deliver_due(transport=relay_inbox.relay())
    batches.send_all()

    notice.refresh_from_db()
    assert (notice.state, notice.approved_by) == ("done", "user:bela")
    assert "2 of 2 settled (100 %)" in text_of(client, page(notice, "recipients"))
    assert [event.kind for event in notice.events.all()] == ["written", "counted", "approved", "started", "done"]


def test_a_day_that_an_officer_types_is_the_day_that_people_read(client):
    people("anna")
    user = log_in(client, "olga")
    user.time_zone = "Europe/Berlin"
    user.save()
    facts = {"fact_title": "We changed our policy", "fact_body": "Another company.", "fact_effective_on": "2026-03-01"}
    shared = {name: value for name, value in FORM.items() if not name.startswith("fact_")}
    url = f"{reverse('admin:messaging_notice_add')}?template=privacy_notice&kind=list"

    client.post(url, {**shared, **facts, "pasted": "anna@example.org"})

    notice = Notice.objects.get()
    assert notice.context["effective_on"] == "2026-03-01"
    assert "It applies from 1 March 2026." in text_of(client, page(notice, "preview"))
    edit = text_of(client, reverse("admin:messaging_notice_edit_it", args=[notice.pk]))
    assert 'value="2026-03-01"' in edit


def test_a_refused_form_says_why_beside_its_field(client):
    version = notice_text()
    log_in(client, "olga")
    url = f"{reverse('admin:messaging_notice_add')}?template={version.template_id}&kind=list"

    text = client.post(url, {**FORM, "pasted": "", "fact_what": ""}).content.decode()

    assert "This field is required." in text
    assert "Paste a list, or choose a file." in client.post(url, {**FORM, "pasted": ""}).content.decode()
    assert not Notice.objects.exists()


def test_a_file_is_read_and_one_that_is_not_utf8_is_refused(client):
    people("anna")
    version = notice_text()
    log_in(client, "olga")
    url = f"{reverse('admin:messaging_notice_add')}?template={version.template_id}&kind=list"
    assert 'enctype="multipart/form-data"' in text_of(client, url)

    bad = client.post(url, {**FORM, "file": SimpleUploadedFile("people.csv", "ä@b.c".encode("latin-1"))})
    client.post(url, {**FORM, "file": SimpleUploadedFile("people.csv", b"email\nanna@example.org\n")})

    assert "not UTF-8" in bad.content.decode()
    assert len(Notice.objects.get().listed) == 1


def test_a_query_is_made_of_filters(client):
    version = notice_text()
    log_in(client, "olga")
    url = f"{reverse('admin:messaging_notice_add')}?template={version.template_id}&kind=query"

    client.post(url, {**FORM, "of": "standing", "purpose": "newsletter", "choice": "opt_in"})
    nothing = client.post(url, {**FORM, "of": "standing"})

    assert Notice.objects.get().cohort == {"of": "standing", "purpose": "newsletter", "choice": "opt_in"}
    assert "filters of the cohort are not usable" in nothing.content.decode()


def test_changing_an_approved_notice_makes_it_a_draft_and_keeps_its_list(client):
    notice = approved(people("anna").values())
    log_in(client, "olga")
    url = reverse("admin:messaging_notice_edit_it", args=[notice.pk])
    assert "Change your password" in text_of(client, url)

    client.post(url, {**FORM, "title": "Another title", "pasted": "", "why": "Clearer"})

    notice.refresh_from_db()
    assert (notice.state, notice.title, notice.approved_by, len(notice.listed)) == ("draft", "Another title", "", 1)


def test_a_button_is_there_where_it_leads_somewhere(client):
    notice = counted(people("anna").values())

    def offers(name, role="Officer"):
        log_in(client, name, role)
        text = text_of(client, page(notice))
        return {
            button
            for button in ("count", "approve", "start", "pause", "resume", "cancel")
            if reverse(f"admin:messaging_notice_{button}", args=[notice.pk]) in text
        }

    assert offers("anna") == {"count", "cancel"}
    assert offers("bela") == {"count", "approve", "cancel"}
    assert offers("sam", "Support") == set()
    notice = started(people("cem").values())
    assert offers("rita", "Responder") == {"pause"}
    assert offers("olga") == {"pause", "cancel"}


def test_a_responder_pauses_at_night_and_does_not_resume(client):
    notice = started(people("anna").values())
    log_in(client, "rita", "Responder")

    press(client, notice, "pause")
    press(client, notice, "resume")

    notice.refresh_from_db()
    assert (notice.state, notice.events.last().recorded_by) == ("paused", "user:rita")


def test_a_button_without_a_reason_does_nothing(client):
    notice = started(people("anna").values())
    log_in(client, "olga")

    press(client, notice, "cancel", reason="")

    notice.refresh_from_db()
    assert notice.state == "sending"


def test_the_rate_is_changed_while_it_is_being_sent(client):
    notice = started(people("anna").values())
    log_in(client, "olga")

    press(client, notice, "set_rate", rate="5")

    notice.refresh_from_db()
    assert (notice.rate, notice.state) == (5, "sending")


def test_the_text_is_shown_in_every_language_with_the_facts_of_the_notice(client):
    notice = counted(people("anna").values())
    log_in(client, "olga")

    text = text_of(client, page(notice, "preview"))

    assert "en: About your data" in text
    assert "de: Zu Ihren Daten" in text
    assert "A list was copied. 2026-11-20" in text


def test_recipients_are_filtered_and_paged(client):
    notice = started(people(*(f"person{n}" for n in range(30))).values())
    batches.send_all()
    Message.objects.filter(pk=notice.messages.first().pk).update(state="accepted")
    log_in(client, "olga")

    first = text_of(client, page(notice, "recipients"))
    sent = text_of(client, page(notice, "recipients") + "&outcome=sent")

    assert first.count("/admin/consent/subject/") >= 25
    assert "Next page" in first
    assert "On its way (29)" in first
    assert sent.count("/admin/messaging/message/0") + sent.count(str(notice.messages.get(state="accepted").pk)) >= 1
    assert client.get(page(notice, "recipients") + "&outcome=nonsense").status_code == 404
    assert client.get(page(notice, "recipients") + "&after=x").status_code == 404


def test_the_proof_report_is_downloaded_with_a_reason_by_whoever_may_see_it(client):
    known = people("anna", "bela")
    notice = started(known.values())
    batches.send_all()
    url = reverse("admin:messaging_notice_report", args=[notice.pk])
    log_in(client, "ada", "Auditor")

    assert client.post(url, {"reason": " "}).status_code == 302
    answer = client.post(url, {"reason": "=Yearly audit"})

    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert {row["subject"] for row in rows} == {str(pk) for pk in known.values()}
    assert {(row["outcome"], row["evidence"], row["in_doubt"]) for row in rows} == {("waiting", "E1", "no")}
    assert "example.org" not in str(rows)
    event = notice.events.last()
    assert (event.kind, event.recorded_by, event.reason) == ("downloaded", "user:ada", "=Yearly audit")
    assert client.get(url).status_code == 405


def test_what_is_proved_of_a_recipient_follows_its_message_and_what_was_heard(relay_inbox):
    notice = started(people("anna").values())
    batches.send_all()
    deliver_due(transport=relay_inbox.relay())
    message = notice.messages.get()
    Message.objects.filter(pk=message.pk).update(delivery="delivered", possible_duplicate=True)
    note(message, "relay", "delivered", {})

    facts = proof(recipients_of(notice).get())

    assert (facts["outcome"], facts["evidence"], facts["possible_duplicate"]) == ("delivered", "E4", True)
    assert facts["owed_at"] <= facts["sent_at"] <= facts["delivered_at"]
    assert facts["bounced_at"] is None


def test_a_notice_about_an_incident_stands_in_the_persons_story():
    known = people("anna")
    started(known.values(), incident_id=7)
    batches.send_all()

    [line] = [entry for entry in tell([known["anna"]]) if entry.kind == "message"]

    assert Message.objects.get().incident_id == 7
    assert line.text.startswith("text-incident_notice: ready")


def test_a_field_for_every_kind_of_fact():
    schema = {
        "properties": {
            "line": {"type": "string", "maxLength": 50, "minLength": 1},
            "kind": {"enum": ["one_thing", "other"]},
            "at": {"type": "string", "format": "date-time"},
            "count": {"type": "integer"},
            "share": {"type": "number"},
            "is_over": {"type": "boolean"},
            "more": {"type": "object"},
        },
        "required": ["line"],
    }

    fields = fact_fields(schema)

    assert [type(field).__name__ for field in fields.values()] == [
        "CharField", "ChoiceField", "Moment", "IntegerField", "FloatField", "BooleanField", "JSONField",
    ]  # fmt: skip
    assert fields["line"].required
    assert not fields["kind"].required
    cleaned = {"fact_line": "x", "fact_kind": "", "fact_count": 0, "fact_is_over": False, "fact_more": None}
    assert context_of(schema, cleaned) == {"line": "x", "count": 0, "is_over": False}


def test_a_draft_shows_what_comes_next(client):
    notice = written(people("anna").values())
    log_in(client, "olga")

    assert "Count it to see whom it reaches" in text_of(client, page(notice))
    assert "Nobody yet: count the notice first" in text_of(client, page(notice, "recipients"))
    assert "Art. 34 GDPR" in text_of(client, page(notice, "events"))
    assert notices.CODE == 8
