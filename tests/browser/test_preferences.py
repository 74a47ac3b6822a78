"""The pages for people in a real browser: without JavaScript, for everybody, on a small screen, in the dark."""

import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from consent import tokens
from consent.models import Consent, Decision
from consent.services import may_contact, record, request_reversal
from consent.tokens import Token
from tests.factories import opt_in, opt_out

ADDRESS = "anna@example.org"


@pytest.fixture
def browser_context_args(browser_context_args):
    """Without JavaScript, as the pages promise to work; what needs scripting asks for it."""
    return {**browser_context_args, "java_script_enabled": False}


@pytest.fixture
def person(site):
    """Said yes to mail three weeks ago and no to text messages; an import says yes to the telephone."""
    then = timezone.now() - timedelta(days=21)
    [recorded, *_] = record(
        [
            opt_in(ADDRESS, decided_at=then),
            opt_out(ADDRESS, channel="sms", decided_at=then),
            opt_in(ADDRESS, channel="phone", explicit=False, cause="import", decided_at=then),
        ]
    )
    return recorded.subject_id


@pytest.fixture
def token(person):
    return tokens.issue(Token(person, "marketing", "email"))


def answers(page, purpose, channel):
    return page.get_by_role("group", name=f"{purpose}: {channel}")


def test_a_no_is_saved_and_read_back(site, page, complaints, person, token):
    page.goto(f"{site}/preferences/{token}/")
    mail = answers(page, "Offers and marketing", "E-mail")
    expect(mail.get_by_label("Yes")).to_be_checked()
    expect(page.get_by_text("a•••@example.org")).to_be_visible()

    mail.get_by_label("No").check()
    page.get_by_role("button", name="Save my choices").click()

    expect(page.get_by_role("status")).to_contain_text("Saved.")
    expect(answers(page, "Offers and marketing", "E-mail").get_by_label("No")).to_be_checked()
    assert not may_contact(person, "marketing", "email")
    page.goto(f"{site}/preferences/{token}/")
    expect(answers(page, "Offers and marketing", "E-mail")).to_contain_text("You said no on")
    assert complaints == []


def test_the_way_back_takes_two_presses(site, page, complaints, person, token):
    page.goto(f"{site}/preferences/{token}/")
    answers(page, "Offers and marketing", "Text message").get_by_label("Yes").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("One more step")
    assert not may_contact(person, "marketing", "sms")

    page.get_by_role("button", name="Yes, I want this again").click()

    expect(page.get_by_role("status")).to_contain_text("Confirmed and saved.")
    assert may_contact(person, "marketing", "sms")
    assert complaints == []


def test_everything_stops_by_the_keyboard_alone(site, page, person, token):
    page.goto(f"{site}/preferences/{token}/")
    page.get_by_role("button", name="Stop everything").focus()

    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("everything is stopped")
    assert Consent.objects.get(subject=person, purpose="*", channel="*").state == "opt_out"


def test_the_link_of_a_mail_stops_it_with_one_button(site, page, complaints, person, token):
    page.goto(f"{site}/u/{token}/")
    assert Decision.objects.filter(choice="opt_out", purpose="marketing", channel="email").count() == 0

    page.get_by_role("button", name="Yes, stop it").click()

    expect(page.get_by_role("status")).to_contain_text("We have your answer")
    assert not may_contact(person, "marketing", "email")
    page.get_by_role("link", name="See what is stored, and change it").click()
    expect(answers(page, "Offers and marketing", "E-mail").get_by_label("No")).to_be_checked()
    assert complaints == []


def test_a_browser_that_signals_is_told_that_it_was_followed(site, browser, token):
    with browser.new_context(java_script_enabled=False, extra_http_headers={"Sec-GPC": "1"}) as context:
        page = context.new_page()

        page.goto(f"{site}/preferences/{token}/")

        expect(page.get_by_role("region", name="Your browser speaks for you")).to_contain_text("We follow it")


def test_nothing_is_kept_in_the_browser_and_the_address_is_told_to_nobody(site, page, context, token):
    asked = []
    page.on("request", lambda request: asked.append(request))

    page.goto(f"{site}/preferences/{token}/")
    page.get_by_role("button", name="Save my choices").click()

    assert context.cookies() == []
    assert {request.url.split("/")[2] for request in asked} == {site.split("/")[2]}
    assert {request.all_headers().get("referer", "") for request in asked} == {""}


STATES = ["front", "unsubscribe", "received", "preferences", "saved", "refused", "signal", "confirm", "dead"]


def show(page, site, state, person, token) -> None:
    """Bring the page into one of the states that people meet."""
    where = {"front": "/", "unsubscribe": f"/u/{token}/", "received": f"/u/{token}/", "dead": "/preferences/x/"}
    if state == "signal":
        page.set_extra_http_headers({"Sec-GPC": "1"})
        record([opt_in(person, "sale_or_share", "*")])
    page.goto(site + where.get(state, f"/preferences/{token}/"))
    if state == "received":
        page.get_by_role("button").click()
    if state == "saved":
        page.get_by_role("button", name=re.compile("Save")).click()
    if state == "confirm":
        answers(page, "Offers and marketing", "Text message").get_by_label("Yes").check()
        page.get_by_role("button", name=re.compile("Save")).click()
    if state == "refused":
        answers(page, "Offers and marketing", "Text message").get_by_label("Yes").check()
        page.get_by_role("button", name=re.compile("Save")).click()
        record([opt_out(person, channel="sms")])
        page.get_by_role("button", name=re.compile("again")).click()


@pytest.mark.parametrize("state", STATES)
def test_every_page_is_usable_by_everybody(site, browser, person, token, state):
    """axe's rules for WCAG 2.1 AA, on a telephone and a desk, by day and by night. axe itself needs JavaScript."""
    with browser.new_context() as context:
        page = context.new_page()
        show(page, site, state, person, token)

        for width, scheme in [(320, "light"), (320, "dark"), (1280, "light"), (1280, "dark")]:
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})

            assert found.violations_count == 0, f"{width} {scheme}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_first_step_alone_shows_that_nothing_changed(site, page, person, token):
    request_reversal(person, "marketing", "sms")

    page.goto(f"{site}/preferences/{token}/")

    expect(answers(page, "Offers and marketing", "Text message").get_by_label("No")).to_be_checked()
