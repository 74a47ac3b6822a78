"""The preference page: it shows what is stored, stores what was chosen, and nothing that was not."""

import logging
import re
import string
from dataclasses import asdict
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from structlog.stdlib import ProcessorFormatter

from consent import tokens
from consent.models import Consent, Decision, ExitPathMinute, Purpose, Reversal
from consent.public.languages import TEXTS
from consent.services import confirm_reversal, erase, may_contact, merge, record, request_reversal
from consent.spool import replay, waiting
from consent.tokens import Token
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out

EMAIL, SMS = "marketing/email", "marketing/sms"


@pytest.fixture
def client():
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def subject(db):
    return SubjectFactory()


def address(subject) -> str:
    return f"/preferences/{tokens.issue(Token(subject.pk, 'marketing', 'email'))}/"


def fields(html: str) -> dict[str, str]:
    """What a browser would send of the page's long form, if its person pressed save now."""
    sent = {"action": "save"}
    for tag in re.findall(r"<input[^>]*>", html):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes["type"] == "hidden" or " checked" in tag:
            sent[attributes["name"]] = unescape(attributes["value"])
    return sent


def fill(client, subject, **chosen) -> dict[str, str]:
    return fields(client.get(address(subject)).content.decode()) | {f"choice/{k}": v for k, v in chosen.items()}


def save(client, subject, chosen):
    return client.post(address(subject), fill(client, subject, **chosen))


def state(subject, purpose="marketing", channel="email"):
    consent = Consent.objects.filter(subject=subject, purpose=purpose, channel=channel).first()
    return consent and consent.state


def uses(outcome) -> dict[str, int]:
    rows = ExitPathMinute.objects.filter(exit_path="preference-page", outcome=outcome)
    return {row.cause: row.count for row in rows}


def test_the_page_shows_every_public_purpose_and_what_is_stored(client, subject):
    PurposeFactory(code="secret", name="Nobody's business", is_public=False)
    record(
        [
            opt_in(subject),
            opt_out(subject, channel="sms"),
            opt_in(subject, channel="phone", explicit=False, cause="import"),
        ]
    )

    html = client.get(address(subject)).content.decode()

    form = fields(html)
    assert (form[f"shown/{EMAIL}"], form[f"shown/{SMS}"], form["shown/marketing/post"]) == ("yes", "no", "")
    assert "You said yes on" in html
    assert "Yes, entered for you on" in html
    assert "Always on: the law requires" in html
    assert "Nobody&#x27;s business" not in html
    assert "choice/legal_notices/*" not in html


def test_what_is_stored_for_a_way_of_contact_that_is_not_offered_is_shown_too(client, subject):
    record([opt_in(subject, channel="push")])

    assert fill(client, subject)["shown/marketing/push"] == "yes"


def test_saving_without_choosing_records_nothing(client, subject):
    record([opt_in(subject)])

    response = save(client, subject, {})

    assert "Nothing was changed" in response.content.decode()
    assert Decision.objects.count() == 1


def test_a_chosen_no_is_stored_and_read_back(client, subject):
    record([opt_in(subject)])

    response = save(client, subject, {EMAIL: "no", "analytics/*": "yes"})

    html = response.content.decode()
    assert "Saved." in html
    assert (fields(html)[f"shown/{EMAIL}"], fields(html)["shown/analytics/*"]) == ("no", "yes")
    decision = Decision.objects.get(choice="opt_out")
    assert (decision.explicit, decision.cause, decision.exit_path) == (True, "subject_choice", "preference-page")
    assert decision.notice_version.startswith("preference-page:en:")
    assert decision.locale == "en"


def test_the_same_form_sent_twice_is_one_choice(client, subject):
    form = fill(client, subject, **{EMAIL: "no", SMS: "yes"})

    client.post(address(subject), form)
    client.post(address(subject), form)

    assert Decision.objects.count() == 2


def test_a_choice_made_elsewhere_while_the_page_was_open_stands(client, subject):
    record([opt_in(subject), opt_in(subject, channel="sms")])
    form = fill(client, subject, **{SMS: "no"})
    record([opt_out(subject)])

    client.post(address(subject), form)

    assert (state(subject), state(subject, channel="sms")) == ("opt_out", "opt_out")
    assert not Reversal.objects.exists()


def test_one_button_stops_everything_also_what_comes_later(client, subject):
    record([opt_in(subject), opt_in(subject, channel="sms")])

    response = client.post(address(subject), {"action": "stop"})

    PurposeFactory(code="later", regime="opt_out")
    assert "everything is stopped" in response.content.decode()
    assert {v for k, v in fields(response.content.decode()).items() if k.startswith("shown/")} == {"no"}
    for purpose, channel in [("marketing", "email"), ("marketing", "sms"), ("later", "post")]:
        assert not may_contact(subject.pk, purpose, channel)
    assert may_contact(subject.pk, "legal_notices", "email")


def test_a_yes_after_ones_own_no_takes_a_second_press(client, committed):
    subject = SubjectFactory()
    record([opt_out(subject, decided_at=timezone.now() - timedelta(days=3))])

    first = save(client, subject, {EMAIL: "yes", SMS: "no"})

    html = first.content.decode()
    assert "One more step" in html
    assert "Offers and marketing" in html
    assert "You said no on" in html
    assert "Your other changes are saved already" in html
    assert (state(subject), state(subject, channel="sms")) == ("opt_out", "opt_out")

    second = client.post(address(subject), fields(html) | {"action": "confirm"})

    assert "Confirmed and saved" in second.content.decode()
    assert fields(second.content.decode())[f"shown/{EMAIL}"] == "yes"
    assert may_contact(subject.pk, "marketing", "email")
    assert Decision.objects.get(choice="opt_in").exit_path == "preference-page"


def test_opening_the_second_step_again_does_not_confirm_it(client, committed):
    subject = SubjectFactory()
    record([opt_out(subject)])
    save(client, subject, {EMAIL: "yes"})

    client.get(address(subject))
    client.head(address(subject))

    assert state(subject) == "opt_out"


def test_a_yes_after_stopping_everything_takes_two_steps_too(client, committed):
    subject = SubjectFactory()
    client.post(address(subject), {"action": "stop"})

    first = save(client, subject, {EMAIL: "yes"})
    client.post(address(subject), fields(first.content.decode()) | {"action": "confirm"})

    assert may_contact(subject.pk, "marketing", "email")
    assert not may_contact(subject.pk, "marketing", "sms")


def test_a_second_step_pressed_twice_says_so_and_changes_nothing(client, committed):
    subject = SubjectFactory()
    record([opt_out(subject)])
    form = fields(save(client, subject, {EMAIL: "yes"}).content.decode()) | {"action": "confirm"}
    client.post(address(subject), form)

    again = client.post(address(subject), form)

    assert "You had confirmed this before" in again.content.decode()
    assert Decision.objects.filter(choice="opt_in").count() == 1


def test_a_no_between_the_two_steps_wins(client, committed):
    subject = SubjectFactory()
    record([opt_out(subject)])
    form = fields(save(client, subject, {EMAIL: "yes"}).content.decode()) | {"action": "confirm"}
    record([opt_out(subject)])

    response = client.post(address(subject), form)

    assert "You said no once more in the meantime" in response.content.decode()
    assert state(subject) == "opt_out"
    assert uses("refused") == {"opted_out_again": 1}


def test_nobody_confirms_the_first_step_of_somebody_else(client, committed):
    subject, other = SubjectFactory(), SubjectFactory()
    record([opt_out(subject), opt_out(other)])
    reversal = request_reversal(other.pk, "marketing", "email")

    response = client.post(address(subject), {"action": "confirm", "reversal": str(reversal.pk)})

    assert "Please choose again" in response.content.decode()
    assert (state(subject), state(other)) == ("opt_out", "opt_out")


def test_a_link_of_a_merged_person_shows_and_changes_the_one_they_became(client, subject):
    root = SubjectFactory()
    record([opt_in(root)])
    merge(subject.pk, root.pk, reason="Same person", by="user:anna")

    save(client, subject, {EMAIL: "no"})

    assert state(root) == "opt_out"


def test_the_page_names_the_address_so_that_its_person_knows_it_and_nobody_else_does(client, db):
    [recorded] = record([opt_in("anna@example.org")])
    url = f"/preferences/{tokens.issue(Token(recorded.subject_id, 'marketing', 'email'))}/"

    html = client.get(url).content.decode()
    erase(recorded.subject_id, by="user:anna")
    erased = client.get(url)

    assert "a•••@example.org" in html
    assert "anna@example.org" not in html
    assert (erased.status_code, "•••" in erased.content.decode()) == (200, False)


@pytest.mark.parametrize(
    "change",
    [
        {"choice/marketing/pigeon": "yes"},
        {"choice/nonsense/email": "no"},
        {f"choice/{EMAIL}": "maybe"},
        {"action": "dance"},
        {"action": "confirm", "reversal": "x"},
    ],
)
def test_what_cannot_be_read_stores_nothing_and_loses_nothing(client, subject, change):
    form = fill(client, subject, **{SMS: "no"}) | change

    response = client.post(address(subject), form)

    assert response.status_code == 400
    assert "could not be read" in response.content.decode()
    assert not Decision.objects.exists()
    assert uses("broken_off") == {"invalid": 1}
    if change.keys() <= {f"choice/{EMAIL}", "choice/marketing/pigeon", "choice/nonsense/email"}:
        assert fields(response.content.decode())[f"choice/{SMS}"] == "no"


def test_too_many_fields_are_sent_back_and_not_an_error(client, subject):
    form = {f"field{n}": "" for n in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1)}

    response = client.post(address(subject), form)

    assert response.status_code == 400
    assert not Decision.objects.exists()


@pytest.mark.parametrize("token", ["x", "tampered", "nobody's"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_names_nobody_gets_one_answer_whatever_it_is(client, subject, token, method):
    known = address(subject).split("/")[2]
    text = {
        "tampered": known[:30] + ("A" if known[30] != "A" else "B") + known[31:],
        "nobody's": tokens.issue(Token(SubjectFactory.build().pk, "marketing", "email")),
    }

    response = client.generic(
        method, f"/preferences/{text.get(token, token)}/", b"action=stop", "application/x-www-form-urlencoded"
    )

    assert response.status_code == 404
    assert response.content == client.get("/preferences/other/").content
    assert settings.MAIL_FROM.split("<")[1].rstrip(">") in response.content.decode()
    assert not Decision.objects.exists()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing_however_often(client, subject, method):
    record([opt_in(subject)])

    for _ in range(100):
        client.generic(method, address(subject))

    assert Decision.objects.count() == 1
    assert not ExitPathMinute.objects.exists()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": settings.PUBLIC_URL}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_form_of_another_site_is_refused_and_our_own_is_not(client, subject, headers, status):
    response = client.post(address(subject), {"action": "stop"}, headers=headers)

    assert response.status_code == status
    assert Decision.objects.exists() == (status == 200)


@pytest.mark.parametrize("path", ["/", "/u/x/", "/preferences/x/"])
def test_no_page_keeps_or_tells_anything(client, db, path):
    response = client.get(path)

    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert not response.cookies
    assert "<script" not in response.content.decode()


def test_robots_stay_away(client):
    assert client.get("/robots.txt").content == b"User-agent: *\nDisallow: /\n"


def test_the_front_page_names_who_keeps_the_choices_and_leads_staff_to_their_login(client):
    html = client.get("/").content.decode()

    assert settings.ORGANISATION in html
    assert 'href="/admin/login/"' in html


def test_without_a_database_a_no_is_kept_on_disk_and_holds_once_it_is_back(committed, without_database):
    subject = SubjectFactory()
    form = fill(Client(), subject, **{EMAIL: "no", SMS: "no"})

    with without_database():
        response = Client().post(address(subject), form)
    assert state(subject) is None
    replay()

    assert response.status_code == 202
    assert "We have written it down" in response.content.decode()
    assert (state(subject), state(subject, channel="sms")) == ("opt_out", "opt_out")


def test_without_a_database_everything_stops_once_it_is_back(committed, without_database):
    subject = SubjectFactory()
    record([opt_in(subject)])

    with without_database():
        response = Client().post(address(subject), {"action": "stop"})
    replay()

    assert response.status_code == 202
    assert not may_contact(subject.pk, "marketing", "email")


def test_without_a_database_a_yes_comes_back_to_be_sent_again(committed, without_database):
    subject = SubjectFactory()
    form = fill(Client(), subject, **{EMAIL: "no", SMS: "yes"})

    with without_database():
        failed = Client().post(address(subject), form)
        looked = Client().get(address(subject))
    replay()

    assert (failed.status_code, looked.status_code) == (503, 503)
    assert fields(failed.content.decode()) == form
    assert (state(subject), state(subject, channel="sms")) == ("opt_out", None)

    Client().post(address(subject), fields(failed.content.decode()))

    assert (state(subject), state(subject, channel="sms")) == ("opt_out", "opt_in")


@pytest.mark.parametrize(
    "form",
    [
        {"action": "save", "choice/marketing/pigeon": "no"},
        {"action": "save", "choice/Marketing'/email": "no"},
        {"action": "dance"},
        {"action": "confirm", "reversal": "x"},
    ],
)
def test_without_a_database_nothing_unreadable_reaches_the_disk(committed, without_database, form):
    subject = SubjectFactory()

    with without_database():
        response = Client().post(address(subject), form)

    assert response.status_code == 503
    assert waiting() == 0


def test_the_language_is_the_one_chosen_then_the_one_told_then_the_browsers(client, subject):
    url, german = address(subject), {"Accept-Language": "de-CH"}

    browsers = client.get(url, headers=german).content.decode()
    subject.locale = "fr-BE"
    subject.save()
    told = client.get(url, headers=german).content.decode()
    chosen = client.get(f"{url}?lang=es", headers=german).content.decode()

    assert [re.search(r'<html lang="(\w+)"', html)[1] for html in (browsers, told, chosen)] == ["de", "fr", "es"]
    assert "Angebote und Werbung" in browsers


def test_a_purpose_keeps_the_officers_words_in_every_language(client, subject):
    Purpose.objects.filter(code="marketing").update(name="The Weekly Sun")

    assert "The Weekly Sun" in client.get(f"{address(subject)}?lang=de").content.decode()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES])
def test_every_language_says_everything_with_the_same_facts(language):
    english, other = asdict(TEXTS["en"]), asdict(TEXTS[language])

    assert other["purposes"].keys() == english["purposes"].keys()
    assert list(other["channels"]) == list(english["channels"])
    for name, text in english.items():
        if isinstance(text, str):
            assert placeholders(other[name]) == placeholders(text), name
            assert other[name].strip(), name


def test_the_shipped_purposes_are_the_translated_ones(db):
    stored = {p.code: (p.name, p.description) for p in Purpose.objects.filter(code__in=TEXTS["en"].purposes)}

    assert stored == TEXTS["en"].purposes


def test_an_old_reversal_is_told_in_plain_words(client, committed):
    subject = SubjectFactory()
    record([opt_out(subject)])
    reversal = request_reversal(subject.pk, "marketing", "email")
    confirm_reversal(reversal.pk)
    record([opt_out(subject)])

    response = client.post(address(subject), {"action": "confirm", "reversal": str(reversal.pk)})

    assert "nothing was changed" in response.content.decode()
    assert state(subject) == "opt_out"


def test_the_page_takes_few_statements_however_many_purposes(client, subject, django_assert_max_num_queries):
    for n in range(20):
        PurposeFactory(code=f"extra-{n}")

    with django_assert_max_num_queries(5):
        client.get(address(subject))


def test_the_log_does_not_hold_the_key_to_the_page(client, subject, caplog):
    [console] = [h for h in logging.getLogger().handlers if isinstance(h.formatter, ProcessorFormatter)]
    url = address(subject)

    client.post(url, {"action": "dance"})

    lines = [console.format(record) for record in caplog.records]
    assert any("/preferences/" in line for line in lines)
    assert not any(url.split("/")[2] in line for line in lines)
