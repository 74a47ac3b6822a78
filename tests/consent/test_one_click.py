"""One press and out: every form that mail providers send is taken, and nothing that is not a press changes anything."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from urllib.parse import quote

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from consent import tokens
from consent.models import Consent, Decision, Evidence, ExitPathMinute
from consent.services import confirm_reversal, may_contact, merge, record, request_reversal
from consent.spool import replay
from consent.tokens import Token
from tests.factories import SubjectFactory, opt_in

URLENCODED = "application/x-www-form-urlencoded"
PRESS = b"List-Unsubscribe=One-Click"
# RFC 8058 section 8.3, octet for octet: the body's delimiter is the header's boundary without the leading "--".
PRINTED = (
    b"---FormBoundaryjWmhtjORrn\r\n"
    b'Content-Disposition: form-data; name="List-Unsubscribe"\r\n'
    b"\r\n"
    b"One-Click\r\n"
    b"---FormBoundaryjWmhtjORrn--"
)
FORMS = {
    "urlencoded": (URLENCODED, PRESS),
    "urlencoded and CRLF": (URLENCODED, PRESS + b"\r\n"),
    "urlencoded with a charset": (f"{URLENCODED}; charset=utf-8", PRESS),
    "percent-encoded": (URLENCODED, b"List%2DUnsubscribe=One%2DClick"),
    "without a type": ("", PRESS),
    "multipart as printed": ("multipart/form-data; boundary=---FormBoundaryjWmhtjORrn", PRINTED),
    "multipart as printed and CRLF": ("multipart/form-data; boundary=---FormBoundaryjWmhtjORrn", PRINTED + b"\r\n"),
    "multipart corrected": ("multipart/form-data; boundary=-FormBoundaryjWmhtjORrn", PRINTED),
    "multipart in other letters": (
        "Multipart/Form-Data; boundary=x",
        b'--x\r\nCONTENT-DISPOSITION: form-data; NAME="list-unsubscribe"\r\nx: y\r\n\r\nOne-Click\r\n--x--\r\n',
    ),
    "multipart by bare line feeds": (
        "multipart/form-data; boundary=x",
        b'--x\nContent-Disposition: form-data; name="List-Unsubscribe"\n\nOne-Click\n--x--\n',
    ),
}
OTHER_BODIES = {
    "empty": (URLENCODED, b""),
    "another value": (URLENCODED, b"List-Unsubscribe=Two-Clicks"),
    "another field": (URLENCODED, b"unsubscribe=One-Click"),
    "json": ("application/json", b'{"List-Unsubscribe": "One-Click"}'),
    "the wrong way round": (URLENCODED, b"One-Click=List-Unsubscribe"),
    "multipart of another field": ("multipart/form-data; boundary=x", PRINTED.replace(b"List-Unsub", b"List-Sub")),
    "multipart of another value": ("multipart/form-data; boundary=x", PRINTED.replace(b"One-Click", b"One-Clicks")),
    "a file of that name": (
        "multipart/form-data; boundary=x",
        PRINTED.replace(b'name="List-Unsubscribe"', b'name="x"; filename="List-Unsubscribe"'),
    ),
    "too many fields": (URLENCODED, b"&".join([b"a=b"] * 30 + [PRESS])),
    "too long": (URLENCODED, PRESS + b"&x=" + b"y" * 4096),
    "not text": (URLENCODED, bytes(range(256))),
}


def token_of(subject, purpose="marketing", channel="email", **facts) -> str:
    return tokens.issue(Token(subject.pk, purpose, channel, **facts))


def post(client, token, body=PRESS, content_type=URLENCODED, **headers):
    return client.generic("POST", f"/u/{token}/", body, content_type, headers=headers)


def uses(outcome) -> dict[str, int]:
    rows = ExitPathMinute.objects.filter(exit_path="one-click", outcome=outcome)
    return {row.cause: row.count for row in rows}


def come_back(subject):
    confirm_reversal(request_reversal(subject.pk, "marketing", "email").pk)


@pytest.fixture
def subject(db):
    return SubjectFactory()


@pytest.fixture
def client():
    return Client(enforce_csrf_checks=True)


def test_the_printed_request_has_the_length_that_the_rfc_gives():
    assert (len(PRESS), len(PRINTED)) == (26, 124)


@pytest.mark.parametrize(("content_type", "body"), FORMS.values(), ids=FORMS)
def test_each_form_of_the_request_opts_out(client, subject, content_type, body):
    response = post(client, token_of(subject), body, content_type)

    assert response.status_code == 200
    assert not may_contact(subject.pk, "marketing", "email")
    decision = Decision.objects.get()
    assert (decision.explicit, decision.cause, decision.exit_path) == (True, "subject_choice", "one-click")


def test_the_address_works_without_its_last_slash(client, subject):
    response = client.generic("POST", f"/u/{token_of(subject)}", PRESS, URLENCODED)

    assert response.status_code == 200
    assert Consent.objects.explicitly_opted_out().count() == 1


def test_a_press_that_is_sent_in_chunks_opts_out(client, subject):
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "wsgi.input": BytesIO(PRESS)}

    response = client.post(f"/u/{token_of(subject)}/", content_type=URLENCODED, **environ)

    assert response.status_code == 200
    assert not may_contact(subject.pk, "marketing", "email")


def test_a_press_needs_no_cookie_and_sets_none(client, subject):
    stale = {"Cookie": "session=stale; csrf=wrong", "Origin": "https://mail.example"}

    response = post(client, token_of(subject), **stale)

    assert response.status_code == 200
    assert not response.cookies
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_a_press_is_tied_to_its_message_and_keeps_what_shows_it_without_an_address(client, subject):
    message = SubjectFactory().pk

    post(client, token_of(subject, message_id=message), **{"User-Agent": "Mozilla/5.0", "X-Forwarded-For": "192.0.2.1"})

    evidence = Evidence.objects.get()
    assert evidence.decision.message_id == message
    assert set(evidence.content) == {"form", "agent", "pressed_at"}
    assert (evidence.content["form"], evidence.content["agent"]) == ("header", "browser")


def test_a_press_of_everything_stops_everything(client, subject):
    record([opt_in(subject, channel="sms")])

    post(client, token_of(subject, "*", "*"))

    assert not may_contact(subject.pk, "marketing", "sms")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing_however_often(client, subject, method, django_assert_num_queries):
    token = token_of(subject)

    with django_assert_num_queries(0):
        statuses = {client.generic(method, f"/u/{token}/").status_code for _ in range(100)}

    assert statuses == {200}
    assert not Decision.objects.exists()
    post(client, token)
    assert not may_contact(subject.pk, "marketing", "email")


def test_the_page_asks_once_and_sends_nothing_by_itself(client, subject):
    page = client.get(f"/u/{token_of(subject)}/").content.decode()

    assert page.count("<button") == 1
    assert "<script" not in page
    assert "http-equiv" not in page


def test_the_button_of_the_page_opts_out_and_says_so(client, subject):
    response = post(client, token_of(subject), b"stop=yes")

    assert "We have your answer" in response.content.decode()
    assert not may_contact(subject.pk, "marketing", "email")
    assert Evidence.objects.get().content["form"] == "page"


@pytest.mark.parametrize(("content_type", "body"), OTHER_BODIES.values(), ids=OTHER_BODIES)
def test_any_other_body_gets_the_page_and_changes_nothing(client, subject, content_type, body):
    response = post(client, token_of(subject), body, content_type)

    assert response.status_code == 200
    assert "<button" in response.content.decode()
    assert not Decision.objects.exists()
    assert uses("refused") == {"bad_body": 1}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(client, subject, method):
    response = client.generic(method, f"/u/{token_of(subject)}/", PRESS, URLENCODED)

    assert response.status_code == 405
    assert not Decision.objects.exists()


def test_pressing_again_answers_the_same_and_adds_nothing(client, subject):
    token = token_of(subject)

    answers = [post(client, token) for _ in range(3)]

    assert len({(a.status_code, a.content) for a in answers}) == 1
    assert Decision.objects.count() == 1
    assert uses("completed") == {"repeated": 2}


def test_an_old_link_works_again_after_its_person_came_back(client, committed):
    subject = SubjectFactory()
    token = token_of(subject)
    post(client, token)
    come_back(subject)
    assert may_contact(subject.pk, "marketing", "email")

    post(client, token)
    post(client, token)

    assert not may_contact(subject.pk, "marketing", "email")
    assert Decision.objects.filter(choice="opt_out").count() == 2


def test_an_old_link_works_after_two_subjects_became_one_who_came_back(client, committed):
    subject, other = SubjectFactory(), SubjectFactory()
    token = token_of(subject)
    post(client, token)
    merge(subject.pk, other.pk, reason="Same person", by="user:anna")
    come_back(other)
    assert may_contact(other.pk, "marketing", "email")

    post(client, token)

    assert not may_contact(other.pk, "marketing", "email")


def test_stopping_everything_again_ends_a_later_yes_to_one_thing(client, committed):
    subject = SubjectFactory()
    token = token_of(subject, "*", "email")
    post(client, token)
    come_back(subject)
    assert may_contact(subject.pk, "marketing", "email")

    post(client, token)

    assert not may_contact(subject.pk, "marketing", "email")


def test_a_yes_from_a_clock_that_runs_ahead_does_not_outlive_the_press(client, subject):
    record([opt_in(subject, decided_at=timezone.now() + timedelta(minutes=4))])

    post(client, token_of(subject))

    assert not may_contact(subject.pk, "marketing", "email")


def test_a_link_of_another_message_is_a_press_of_its_own(client, subject):
    post(client, token_of(subject))

    post(client, token_of(subject, message_id=SubjectFactory().pk))

    assert Decision.objects.count() == 2


def not_ours(subject) -> dict[str, str]:
    token = token_of(subject)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[20] ^= 1
    return {
        "tampered": base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
        "cut": token[:-1],
        "longer": token + "A",
        "nobody's": tokens.issue(Token(SubjectFactory.build().pk, "marketing", "email")),
        "of a purpose nobody has": tokens.issue(Token(subject.pk, "elsewhere", "email")),
        "noise": "x" * len(token),
        "not ASCII": "ü" * 30,
    }


def heads(response) -> dict[str, str]:
    """Without the length: a page repeats the token in a link, and a longer token makes a longer page."""
    return {name: value for name, value in response.headers.items() if name != "Content-Length"}


def body_for(response, token, instead) -> str:
    return response.content.decode().replace(quote(token), instead)


@pytest.mark.parametrize("body", [PRESS, b"stop=yes"], ids=["header", "page"])
@pytest.mark.parametrize(
    "kind", ["tampered", "cut", "longer", "nobody's", "of a purpose nobody has", "noise", "not ASCII"]
)
def test_a_token_that_is_not_ours_is_answered_like_one_that_is(client, subject, kind, body):
    token, other = token_of(subject), not_ours(subject)[kind]

    known, unknown = post(client, token, body), post(client, other, body)

    assert unknown.status_code == known.status_code == 200
    assert heads(unknown) == heads(known)
    assert body_for(unknown, other, token) == known.content.decode()
    assert Decision.objects.count() == 1
    assert uses("refused") == {"bad_token": 1}


def test_the_page_is_the_same_for_every_token(client, subject):
    token = token_of(subject)
    known = client.get(f"/u/{token}/").content.decode()

    pages = {body_for(client.get(f"/u/{other}/"), other, token) for other in not_ours(subject).values()}

    assert pages == {known}


def test_a_token_of_another_key_is_not_ours(client, subject, settings):
    token = token_of(subject)
    settings.PRIVACY_KEY = "another installation"
    tokens.derive.cache_clear()
    try:
        response = post(client, token)
    finally:
        tokens.derive.cache_clear()

    assert response.status_code == 200
    assert not Decision.objects.exists()


def test_a_press_takes_few_statements(client, subject, django_assert_max_num_queries):
    post(client, token_of(SubjectFactory()))

    with django_assert_max_num_queries(7):
        post(client, token_of(subject))


@pytest.mark.parametrize(
    ("accepted", "heading"),
    [("de-AT,de;q=0.9", "Abmelden"), ("es", "Darse de baja"), ("fr-CH", "Se désabonner"), ("tlh", "Unsubscribe")],
)
def test_the_page_speaks_the_language_of_the_browser(client, accepted, heading):
    page = client.get("/u/any/", headers={"Accept-Language": accepted}).content.decode()

    assert f"<h1>{heading}</h1>" in page


def test_twenty_presses_at_once_are_one_choice(committed):
    subject = SubjectFactory()
    token = token_of(subject)

    def press_once(_):
        try:
            return post(Client(), token).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(press_once, range(20)))

    assert statuses == [200] * 20
    assert Decision.objects.count() == 1
    assert not may_contact(subject.pk, "marketing", "email")


@pytest.mark.parametrize("body", [PRESS, b"stop=yes"], ids=["header", "page"])
def test_without_a_database_a_press_is_kept_on_disk_and_holds_once_it_is_back(committed, without_database, body):
    subject, moment = SubjectFactory(), timezone.now()
    token = token_of(subject)
    with without_database():
        known, unknown = post(Client(), token, body), post(Client(), "unknown", body)
        again = post(Client(), token, body)
        page = Client().get(f"/u/{token}/")

    assert replay() in (1, 2)  # the second press may fall into the next second

    assert [known.status_code, unknown.status_code, again.status_code, page.status_code] == [200] * 4
    assert known.content == again.content == unknown.content.replace(b"unknown", token.encode())
    assert not may_contact(subject.pk, "marketing", "email")
    first = Decision.objects.order_by("decided_at")[0]
    assert moment <= first.decided_at <= timezone.now()
    assert first.exit_path == "one-click"


def test_a_press_of_an_old_link_during_an_outage_ends_a_later_yes(committed, without_database, client):
    subject = SubjectFactory()
    token = token_of(subject)
    post(client, token)
    come_back(subject)

    with without_database():
        post(client, token)
    replay()

    assert not may_contact(subject.pk, "marketing", "email")


@pytest.mark.parametrize("body", [PRESS, b"stop=yes"], ids=["header", "page"])
def test_without_a_database_and_a_disk_nobody_is_told_that_it_is_done(committed, without_database, journal, body):
    token = token_of(SubjectFactory())
    journal.write_text("a file where the folder should be")

    with without_database():
        response = post(Client(), token, body)

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    if body != PRESS:
        assert '<input type="hidden" name="stop" value="yes">' in response.content.decode()
