"""Back in by mail: a service takes the first step, the person gets one mail, and only they take the second."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from consent.models import Consent, Purpose, Reversal
from consent.second_steps import OPEN_FOR
from consent.services import erase, record
from consent.tokens import Token, issue
from messaging.delivery import deliver_due
from messaging.models import Message
from tests.api.conftest import Api
from tests.factories import SubjectFactory, opt_in, opt_out

pytestmark = pytest.mark.usefixtures("newsletter")
REVERSALS = "/api/v1/reversals/"
ASKED = {"subject": {"email": "anna@example.org"}, "purpose": "newsletter", "channel": "email", "by_mail": True}


@pytest.fixture
def anna(newsletter):
    [out] = record([opt_out("anna@example.org", "newsletter")])
    return out.subject_id


def ask(**changes):
    return Api().send(REVERSALS, ASKED | changes)


def refused(answer):
    assert answer.status_code == 400, answer.content
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


def link_in(mail):
    text = mail.content.decode().replace("=\r\n", "").replace("=3D", "=")
    return re.search(r"https?://[^/]+(/preferences/\S+[?]confirm=[0-9a-f-]{36})", text)[1]


def state_of(subject):
    return Consent.objects.get(subject=subject, purpose="newsletter", channel="email").state


def test_a_service_asks_the_person_is_mailed_and_presses_and_only_then_is_back_in(committed, anna, relay_inbox, client):
    first = ask()
    deliver_due(transport=relay_inbox.relay())

    assert first.status_code == 201
    [mail] = relay_inbox.mails
    assert b"Please confirm: O'Brien" in mail.content
    page = client.get(link_in(mail)).content.decode()
    assert "One more step" in page
    assert f"?lang=de&amp;confirm={first.json()['id']}" in page
    assert state_of(anna) == "opt_out"

    client.post(link_in(mail), {"action": "confirm", "reversal": first.json()["id"]})

    assert state_of(anna) == "opt_in"
    assert "You had confirmed this before" in client.get(link_in(mail)).content.decode()


def test_what_a_service_asks_on_a_page_of_its_own_is_not_mailed(anna):
    assert Api().send(REVERSALS, {**ASKED, "by_mail": False}).status_code == 201

    assert not Message.objects.exists()


def test_the_mail_is_not_sent_when_its_page_has_closed_and_the_page_says_so(anna, client):
    link = f"/preferences/{issue(Token(anna, '*', 'email'))}/?confirm={ask().json()['id']}"

    assert Message.objects.get().expires_at == Reversal.objects.get().requested_at + OPEN_FOR
    assert "One more step" in client.get(link).content.decode()
    with time_machine.travel(timezone.now() + OPEN_FOR + timedelta(minutes=1)):
        assert "Please choose again" in client.get(link).content.decode()


def test_a_question_that_was_closed_meanwhile_is_not_asked(anna, client):
    link = f"/preferences/{issue(Token(anna, '*', 'email'))}/?confirm={ask().json()['id']}"
    Purpose.objects.filter(code="newsletter").update(is_public=False)

    assert "Please choose again" in client.get(link).content.decode()


def test_nobody_is_asked_the_question_of_somebody_else(anna, client):
    reversal = ask().json()["id"]

    page = client.get(f"/preferences/{issue(Token(SubjectFactory().pk, '*', 'email'))}/?confirm={reversal}")

    assert "One more step" not in page.content.decode()


def test_who_said_no_is_asked_once_in_seven_days(anna):
    ask()

    assert refused(ask()) == [("/by_mail", "asked_already")]
    assert Message.objects.filter(template_key="opt_in_second_step").count() == 1


def test_nothing_is_asked_that_cannot_be_answered(anna):
    Purpose.objects.filter(code="newsletter").update(is_public=False)

    assert refused(ask()) == refused(ask(purpose="*")) == [("/purpose", "not_public")]


def test_who_never_said_no_is_not_asked_whether_they_meant_it():
    record([opt_in("anna@example.org", "newsletter")])

    assert refused(ask()) == [("/by_mail", "nothing_to_reverse")]


def test_without_an_address_the_service_is_told(anna):
    erase(anna, by="user:olga")

    assert refused(ask(subject={"id": str(anna)})) == [("/by_mail", "no_address")]
    assert not Reversal.objects.exists()
