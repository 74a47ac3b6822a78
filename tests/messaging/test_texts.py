"""The texts that the product ships with, what no text may become, and what happens when one breaks all the same."""

import re
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection
from django.utils import timezone

from consent.tokens import Token, issue
from messaging import words
from messaging.composing import compose
from messaging.gates import SAMPLE_TOKEN, problems_of, render_sample
from messaging.models import Message, Template, TemplateBody, TemplateFault, TemplateVersion
from messaging.publishing import approve, back_to_draft, changes_of, check, draft_from, publish, retire
from messaging.rendering import RenderError, published, render
from messaging.septets import length_of
from tests.factories import MessageFactory

pytestmark = pytest.mark.django_db

KEYS = [
    "apology_correction",
    "consent_update",
    "incident_notice",
    "opt_in_second_step",
    "opt_out_confirmation",
    "privacy_notice",
    "request_answered",
    "request_extended",
    "request_received",
]
FREE = ("purpose", "answer", "reason", "what_happened", "what_went_wrong", "ref")
TEXT_MESSAGES = ["help_sms", "opt_out_confirmation_sms"]
CONTEXT = {"purpose": "News", "channel": "email", "decided_at": "2026-03-01T08:05:00+00:00", "reference": "1"}


@pytest.fixture
def draft():
    """A draft of the confirmation, by Anna."""
    return draft_from(TemplateVersion.objects.published("opt_out_confirmation").get(), by="user:anna")


def write(version, locale="en", **texts):
    TemplateBody.objects.filter(version=version, locale=locale).update(**texts)
    return version


def go_out(version, reason="Read it", by="user:bela"):
    """Through every step, by Bela."""
    check(version, by=by)
    approve(version, reason=reason, by=by)
    return publish(version, reason=reason, by=by)


def rendered(**context):
    return render_newest("opt_out_confirmation", CONTEXT | context)


def render_newest(key, context, locale="en"):
    return render(published(key), key, context, locale=locale, preferences_url="http://x.example/p/")


@pytest.mark.parametrize("key", KEYS + TEXT_MESSAGES)
def test_every_shipped_text_passes_the_gates_in_every_language(key):
    version = TemplateVersion.objects.published(key).get()

    assert problems_of(version) == []
    assert {body.locale for body in version.bodies.all()} == {"en", "de", "es", "fr"}


@pytest.mark.parametrize("key", KEYS)
def test_french_puts_a_space_that_does_not_break_before_its_colons_and_question_marks(key):
    version = TemplateVersion.objects.published(key).get()
    body = version.bodies.get(locale="fr")

    shown = render_sample(version, version.samples[0], body)

    for text in (shown.subject, shown.text):
        assert not re.search(r"[^\s\u00a0][:?](?=\s|$)|[ \t][:?](?=\s|$)", text)


@pytest.mark.parametrize("key", KEYS)
def test_german_goes_on_in_small_letters_after_a_greeting_that_ends_in_a_comma(key):
    text = TemplateVersion.objects.published(key).get().bodies.get(locale="de").text

    assert re.search(r"Guten Tag(?:,\n\n(?:[a-zäöü]|Sie )|!\n\n)", text)


@pytest.mark.parametrize(
    ("locale", "authority", "court"),
    [
        ("en", "data protection authority", "court"),
        ("de", "Datenschutzbehörde", "Gericht"),
        ("es", "autoridad de protección de datos", "tribunales"),
        ("fr", "autorité de protection des données", "tribunal"),
    ],
)
def test_an_answer_names_what_may_be_done_against_it(locale, authority, court):
    """GDPR 12(4)."""
    version = TemplateVersion.objects.published("request_answered").get()

    shown = render_sample(version, version.samples[0], version.bodies.get(locale=locale))

    for text in (shown.text, shown.html):
        assert authority in text
        assert court in text


def test_a_notice_of_a_breach_has_the_headings_that_california_asks_for():
    """Cal. Civ. Code 1798.82(d)(1)."""
    version = TemplateVersion.objects.published("incident_notice").get()

    shown = render_sample(version, version.samples[0], version.bodies.get(locale="en"))

    headings = ["what happened", "what information was involved", "what we are doing", "what you can do"]
    for text in (shown.text.lower(), shown.html.lower().partition("<h1")[2]):
        places = [text.index(heading) for heading in [*headings, "for more information"]]
        assert places == sorted(places)
    assert "Notice of data breach" in shown.subject


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"])
def test_a_line_end_of_another_kind_in_a_name_keeps_no_message_from_being_written(odd):
    """As a word processor leaves them in what is pasted."""
    shown, *_ = rendered(purpose=f"News{odd}and offers")

    assert shown.subject == "Your opt-out is recorded: News and offers"
    compose(MessageFactory.build(), shown, TemplateVersion(template_id="opt_out_confirmation", number=1))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("locale", ["en", "de", "es", "fr"])
def test_a_shipped_text_has_no_entities_in_plain_text_and_escapes_them_in_html(key, locale):
    version = TemplateVersion.objects.published(key).get()
    sample = {
        name: "O'Brien & <Söhne>" if isinstance(value, str) and name in FREE else value
        for name, value in version.samples[0].items()
    }
    if "body" in sample:
        sample["body"] = ["O'Brien & <Söhne>"]

    shown = render_sample(version, sample, version.bodies.get(locale=locale))

    assert "&" not in shown.subject.replace("O'Brien & <Söhne>", "")
    assert "O'Brien & <Söhne>" in shown.text
    assert "<Söhne>" not in shown.html
    assert f'lang="{locale}"' in shown.html


@pytest.mark.parametrize(
    ("part", "text", "says"),
    [
        ("text", "{{ nickname }} {{ preferences_url }}", "names nickname, which its context does not promise"),
        ("text", "{% if nickname %}x{% endif %}y", "names nickname"),
        ("text", "{{ purpose|upper:nickname }}", "is not a template"),
        ("text", "{% load static %}", "Invalid block tag"),
        ("text", "{% include 'admin/base.html' %}", "Invalid block tag"),
        ("text", "{% now 'Y' %}", "Invalid block tag"),
        ("html", "{{ purpose|safe }}", "Invalid filter"),
        ("html", "{% autoescape off %}{{ purpose }}{% endautoescape %}", "Invalid block tag"),
        ("text", "{{ purpose.upper }}", "use plain names, without dots"),
        ("text", "  ", "plain text in en is empty"),
        ("subject", "{{ purpose }}\nBcc: all@example.org", "must be one line"),
        ("text", "Look at https://evil.example/", "links lead to http://localhost:8000 only"),
        ("html", '<a href="//evil.example">x</a>', "links lead to"),
        ("html", '<a href="javascript:alert(1)">x</a>', "links lead to"),
        ("html", '<img src="http://localhost:8000/pixel.gif">', "<img> has no place"),
        ("html", '<p onclick="x()">x</p>', "attribute onclick has no place"),
        ("html", '<p style="background:url(http://localhost:8000/p.gif)">x</p>', "tells who reads"),
        ("html", "<script>x</script>", "<script> has no place"),
        ("text", "Come back: http://localhost:8000/opt-in/", "no way back in"),
        ("text", "{{ opt_in_url }}", "no way back in"),
    ],
)
def test_a_text_that_could_harm_is_not_published(draft, part, text, says):
    write(draft, **{part: text})

    with pytest.raises(ValidationError, match=says):
        check(draft, by="user:bela")

    draft.refresh_from_db()
    assert draft.state == "draft"


def test_a_version_without_english_or_samples_is_not_published(draft):
    TemplateVersion.objects.filter(pk=draft.pk).update(samples=[])
    write(draft, locale="de")
    TemplateBody.objects.filter(version=draft, locale="en").update(locale="it")

    with pytest.raises(ValidationError) as refused:
        check(draft, by="user:bela")

    assert "in English" in str(refused.value)
    assert "at least one sample" in str(refused.value)


def test_a_version_is_checked_then_approved_by_another_person_then_published(draft):
    with pytest.raises(ValidationError, match="Only an approved version can be published"):
        publish(draft, reason="Quick", by="user:bela")
    check(draft, reason="Ready", by="user:anna")
    with pytest.raises(ValidationError, match="ask a colleague"):
        approve(draft, reason="Mine", by="user:anna")
    with pytest.raises(ValidationError, match="Say why"):
        approve(draft, reason=" ", by="user:bela")
    approve(draft, reason="Read it", by="user:bela")

    published = publish(draft, reason="Now", by="user:anna")

    assert published.state == "published"
    assert (published.checked_by, published.approved_by, published.published_by) == (
        "user:anna",
        "user:bela",
        "user:anna",
    )
    assert (published.approved_reason, published.published_reason) == ("Read it", "Now")


def test_nobody_approves_a_text_that_they_wrote_a_part_of(draft):
    write(draft, subject="Anna's words")
    TemplateVersion.objects.filter(pk=draft.pk).update(created_by="user:bela")
    check(draft, by="user:cem")

    for name in ("anna", "bela"):
        with pytest.raises(ValidationError, match="ask a colleague who did not"):
            approve(draft, reason="Mine", by=f"user:{name}")

    assert approve(draft, reason="Read it", by="user:cem").writers == ["user:anna", "user:bela"]


def test_a_new_draft_is_by_whoever_made_it(draft):
    go_out(draft)

    assert draft_from(draft, by="user:bela").writers == ["user:bela"]


@pytest.mark.parametrize("step", ["checked", "approved"])
def test_a_change_after_the_check_takes_check_and_approval_away(draft, step):
    check(draft, by="user:anna")
    if step == "approved":
        approve(draft, reason="Read it", by="user:bela")

    write(draft, subject="Something else")

    draft.refresh_from_db()
    assert (draft.state, draft.checked_at, draft.approved_by, draft.content_hash) == ("draft", None, "", None)
    assert (draft.returned_by, draft.returned_reason) == ("user:anna", "Its content was changed.")


def test_new_samples_after_the_approval_make_a_draft_again(draft):
    check(draft, by="user:anna")
    approve(draft, reason="Read it", by="user:bela")

    TemplateVersion.objects.filter(pk=draft.pk).update(samples=draft.samples[:1])

    draft.refresh_from_db()
    assert (draft.state, draft.approved_at) == ("draft", None)


def test_an_approved_version_goes_back_to_draft_with_a_reason(draft):
    check(draft, by="user:anna")
    with pytest.raises(ValidationError, match="Say why"):
        back_to_draft(draft, reason="", by="user:bela")

    back_to_draft(draft, reason="A typing error", by="user:bela")

    draft.refresh_from_db()
    assert (draft.state, draft.returned_by, draft.returned_reason) == ("draft", "user:bela", "A typing error")
    with pytest.raises(ValidationError, match="goes back to draft"):
        back_to_draft(draft, reason="Again", by="user:bela")


def test_what_reads_otherwise_than_it_was_checked_is_not_published(draft, monkeypatch):
    check(draft, by="user:anna")
    approve(draft, reason="Read it", by="user:bela")
    monkeypatch.setitem(words.BY_CHANNEL["en"], "email", "by carrier pigeon")

    with pytest.raises(ValidationError, match="no longer reads as it did"):
        publish(draft, reason="Now", by="user:bela")


def test_the_approver_sees_what_reads_differently_from_what_is_sent_now(draft):
    write(draft, locale="de", subject="Erledigt: {{ reference }}")

    before, differences = changes_of(draft)

    assert before.number == 1
    assert [difference.title for difference in differences] == [f"de, sample {n}, subject" for n in (1, 2, 3, 4)]
    assert differences[0].lines == ["-Ihre Abmeldung ist gespeichert: Newsletter", "+Erledigt: 4711"]


def test_a_published_version_keeps_how_each_of_its_samples_read(draft):
    published = go_out(draft)

    assert len(published.snapshots) == len(draft.samples) * 4
    assert published.snapshots[0]["subject"].startswith("Ihre Abmeldung ist gespeichert")


def test_what_is_published_is_sent_from_then_on(draft):
    go_out(write(draft, subject="Done: {{ purpose }}"))

    text, version, is_degraded = rendered()

    assert (text.subject, version.number, is_degraded) == ("Done: News", 2, False)


def test_a_version_that_breaks_gives_way_to_the_last_good_one_and_leaves_a_fault(draft):
    go_out(write(draft, subject="{{ reference }}"))

    text, version, is_degraded = rendered(reference="")  # an empty subject, which no sample of it showed
    rendered(reference="")

    assert (text.subject, version.number, is_degraded) == ("Your opt-out is recorded: News", 1, True)
    fault = TemplateFault.objects.get()
    assert (fault.version, fault.locale, fault.count) == (draft, "en", 2)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles"])
def test_moments_are_told_in_utc_and_days_as_they_are_wherever_a_message_is_written(zone):
    with timezone.override(zone):
        text, *_ = rendered(decided_at="2026-12-31T23:59:00+00:00")
        notice, *_ = render_newest("privacy_notice", {"title": "x", "body": ["y"], "effective_on": "2026-03-01"})

    assert "When: 31 December 2026, 23:59 UTC" in text.text
    assert "It applies from 1 March 2026." in notice.text


def test_colleagues_in_two_zones_check_approve_and_publish_one_text(draft):
    with timezone.override("Europe/Berlin"):
        check(draft, by="user:anna")
    with timezone.override("America/Los_Angeles"):
        approve(draft, reason="Read it", by="user:bela")

    assert publish(draft, reason="Now", by="user:bela").state == "published"


@pytest.mark.parametrize("day", ["1 March", "2026-02-30", "2026-03-01T00:00:00+00:00"])
def test_a_day_that_is_none_is_an_error(day):
    with pytest.raises(RenderError, match="effective_on is not a day like 2026-11-23"):
        render_newest("privacy_notice", {"title": "x", "body": ["y"], "effective_on": day})


def test_a_missing_name_is_an_error_and_not_a_hole():
    context = {name: value for name, value in CONTEXT.items() if name != "reference"}

    with pytest.raises(RenderError, match="reference"):
        render_newest("opt_out_confirmation", context)


def test_a_missing_name_is_an_error_also_where_the_schema_let_it_through(draft):
    schema = draft.context_schema | {"required": []}
    TemplateVersion.objects.filter(pk=draft.pk).update(context_schema=schema)
    version = TemplateVersion.objects.get(pk=draft.pk)

    with pytest.raises(RenderError, match="names"):
        render_sample(
            version, {"channel": "email", "decided_at": CONTEXT["decided_at"]}, version.bodies.get(locale="en")
        )


@pytest.mark.parametrize(("asked", "given"), [("de-AT", "de"), ("fr", "fr"), ("pl", "en"), ("", "en")])
def test_a_language_that_is_missing_falls_back_to_its_parent_and_then_to_english(asked, given):
    text, *_ = render_newest("opt_out_confirmation", CONTEXT, asked)

    assert text.locale == given


def test_a_good_version_sets_free_what_could_not_be_rendered(draft):
    message = MessageFactory(template_key="opt_out_confirmation", state="render_failed")

    go_out(draft)

    message.refresh_from_db()
    assert message.state == Message.State.PENDING


def test_the_only_published_version_cannot_be_retired(draft):
    first = TemplateVersion.objects.published("opt_out_confirmation").get()
    with pytest.raises(ValidationError, match="only published version"):
        retire(first, reason="Old", by="user:anna")
    go_out(draft)

    retired = retire(first, reason="Old", by="user:anna")

    assert (retired.state, retired.retired_by) == ("retired", "user:anna")


def test_a_draft_may_change(draft):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE messaging_templatebody SET subject = 'x' WHERE version_id = %s", [draft.pk])

        assert cursor.rowcount == 4


@pytest.mark.parametrize("writers", [{}, {"writers": []}, {"writers": ["user:cem"]}])
def test_approving_by_a_writer_is_refused_by_the_database_too(draft, writers):
    TemplateVersion.objects.filter(pk=draft.pk).update(created_by="user:bela")
    check(draft, by="user:bela")

    with pytest.raises(DatabaseError, match="approved_by_another"):
        TemplateVersion.objects.filter(pk=draft.pk).update(
            state="approved", approved_by="user:anna", approved_at="2026-01-01T00:00:00Z", **writers
        )


def test_every_template_is_told_in_its_history():
    assert {row.key for row in Template.history.all()} == {*KEYS, *TEXT_MESSAGES}


@pytest.mark.parametrize("key", TEXT_MESSAGES)
@pytest.mark.parametrize("locale", ["en", "de", "es", "fr"])
def test_a_shipped_text_message_goes_out_in_one_piece_with_a_real_link(key, locale):
    link = f"https://privacy.example.com/preferences/{issue(Token(uuid4(), '*', 'email', uuid4()))}/"
    context = {} if key == "help_sms" else CONTEXT | {"purpose": "", "channel": "sms", "reference": "9" * 19}

    shown, *_ = render(published(key), key, context, locale=locale, preferences_url=link)

    takes, room, _ = length_of(shown.text.strip())
    assert takes <= room, shown.text
    assert shown.html == ""


def test_a_sample_link_is_as_long_as_a_real_one():
    assert len(SAMPLE_TOKEN) == len(issue(Token(uuid4(), "*", "email", uuid4())))


@pytest.mark.parametrize(
    ("text", "takes", "room", "odd"),
    [
        ("a" * 160, 160, 160, ""),
        ("é à ñ ß § Δ", 11, 160, ""),
        ("5 € [1]", 10, 160, ""),  # the euro sign and brackets take two each
        ("Esta es la única", 16, 70, "ú"),
        ("n° 1", 4, 70, "°"),
        ("done 👍", 7, 70, "👍"),
    ],
)
def test_the_length_of_a_text_message_is_what_phones_count(text, takes, room, odd):
    assert length_of(text) == (takes, room, odd)
