"""Sec-GPC: 1 is a person's no; what it meets is shown, and nothing is read into its absence."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from django.db import connections
from django.test import Client

from consent import tokens
from consent.models import Decision, Purpose
from consent.services import may_contact, record
from consent.tokens import Token
from tests.consent.test_preferences import address, fields
from tests.factories import SubjectFactory, opt_in

SALE = "sale_or_share/*"


@pytest.fixture
def subject(db):
    return SubjectFactory()


def visit(subject, signal="1", method="GET", **data):
    url = address(subject)
    client = Client(headers={"Sec-GPC": signal})
    return client.post(url, data) if method == "POST" else client.generic(method, url)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_signal_is_a_no_to_every_purpose_that_it_covers(subject, method):
    Purpose.objects.filter(code="analytics").update(is_covered_by_gpc=True)

    visit(subject, method=method, action="save")

    decisions = Decision.objects.order_by("purpose")
    assert [(d.purpose, d.channel, d.choice) for d in decisions] == [
        ("analytics", "*", "opt_out"),
        ("sale_or_share", "*", "opt_out"),
    ]
    assert {(d.explicit, d.cause, d.exit_path) for d in decisions} == {(True, "preference_signal", "gpc")}
    assert not may_contact(subject.pk, "sale_or_share", "web")


@pytest.mark.parametrize("value", ["1", " 1 ", "0, 1", "1,1", "true,1"])
def test_one_header_of_several_that_says_1_is_enough(subject, value):
    visit(subject, value)

    assert Decision.objects.count() == 1


@pytest.mark.parametrize("value", ["0", "true", "1x", " 1x", "", "11", "01", '"1"', "1;q=1", "?1", "yes", "0,0"])
def test_any_other_value_is_no_preference(subject, value):
    visit(subject, value)

    assert not Decision.objects.exists()


def test_its_absence_is_not_a_yes(subject):
    visit(subject)

    Client().get(address(subject))

    assert Decision.objects.count() == 1
    assert not may_contact(subject.pk, "sale_or_share", "web")


def test_the_page_says_that_the_signal_was_followed_each_time_and_it_is_recorded_once(subject):
    pages = [visit(subject).content.decode() for _ in range(3)]

    assert all("We follow it; stored as a no for: Sale or sharing of personal data." in page for page in pages)
    assert fields(pages[0])[f"shown/{SALE}"] == "no"
    assert Decision.objects.count() == 1


def test_a_page_that_names_nobody_records_nothing(db):
    client = Client(headers={"Sec-GPC": "1"})

    for path in ("/", "/preferences/x/", f"/u/{tokens.issue(Token(SubjectFactory().pk, 'marketing', 'email'))}/"):
        client.get(path)

    assert not Decision.objects.exists()


def test_an_earlier_yes_ends_and_the_page_says_so(subject):
    record([opt_in(subject, "sale_or_share", "*")])

    html = visit(subject).content.decode()
    again = visit(subject).content.decode()

    assert "you had said yes to “Sale or sharing of personal data”" in html
    assert "you had said yes to “Sale or sharing of personal data”" in again
    assert not may_contact(subject.pk, "sale_or_share", "web")


def test_a_yes_that_its_person_gave_knowing_of_the_signal_is_kept_and_the_page_says_so(committed):
    subject = SubjectFactory()
    page = visit(subject).content.decode()
    first = visit(subject, method="POST", **(fields(page) | {f"choice/{SALE}": "yes"}))
    second = visit(subject, method="POST", **(fields(first.content.decode()) | {"action": "confirm"}))

    later = visit(subject).content.decode()

    for html in (second.content.decode(), later):
        assert fields(html)[f"shown/{SALE}"] == "yes"
    assert "you gave us your own yes" in later
    assert may_contact(subject.pk, "sale_or_share", "web")


def test_a_no_after_that_yes_is_a_no(committed):
    subject = SubjectFactory()
    first = visit(subject, method="POST", **(fields(visit(subject).content.decode()) | {f"choice/{SALE}": "yes"}))
    visit(subject, method="POST", **(fields(first.content.decode()) | {"action": "confirm"}))

    html = visit(subject, method="POST", action="stop").content.decode()

    assert fields(html)[f"shown/{SALE}"] == "no"
    assert not may_contact(subject.pk, "sale_or_share", "web")


def test_many_requests_of_one_browser_at_once_are_one_choice(committed):
    subject = SubjectFactory()

    def visit_once(_):
        try:
            return visit(subject).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        statuses = list(threads.map(visit_once, range(10)))

    assert statuses == [200] * 10
    assert Decision.objects.count() == 1


def test_the_site_says_that_it_honours_the_signal():
    response = Client().get("/.well-known/gpc.json")

    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["gpc"] is True
    assert date.fromisoformat(response.json()["lastUpdate"])
