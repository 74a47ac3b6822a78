"""The live page in a real browser: by keyboard, for a screen reader, under the strict policy."""

import re
import runpy
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from consent.services import record
from incidents import linking
from incidents.models import DecisionMinute
from tests.browser.test_admin import opened, violations
from tests.factories import incident, opt_out
from tests.incidents.streaming import streaming
from tests.stack.launcher import BASE


def leave(count, **facts):
    minute = (timezone.now() - timedelta(minutes=2)).replace(second=0, microsecond=0)
    known = {"choice": "opt_out", "purpose": "marketing", "channel": "email", "cause": "complaint"}
    DecisionMinute.objects.create(minute=minute, count=count, **known | facts)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(site, page, administrator, complaints, scheme):
    leave(7)
    incident("Relay down", minutes_ago=20)
    page.emulate_media(color_scheme=scheme)

    opened(page, f"{site}/admin/live/")

    assert violations(page) == []
    assert complaints == []


def test_it_is_worked_by_the_keyboard_and_keeps_itself_current(site, page, administrator, complaints):
    leave(7)
    leave(5, cause="keyword")
    opened(page, f"{site}/admin/live/")
    title = page.locator("#hf-chart-title")
    expect(title).to_contain_text("12 in all")

    page.locator("#id_by").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#hf-table caption")).to_contain_text("By way out")
    assert "by=path" in page.url

    leave(3, cause="agent")
    page.locator("#id_by").focus()
    page.keyboard.press("ArrowUp")
    expect(title).to_contain_text("15 in all")
    expect(page.locator("#hf-heard")).to_contain_text("15 opt-outs")
    asked = (
        r"^Asked every 15 seconds. As of \d\d:\d\d:\d\d (CET|CEST|GMT\+[12])\.$"  # the viewer's zone, not the browser's
    )
    expect(page.locator("#hf-state")).to_have_text(re.compile(asked))
    assert complaints == []


def test_paused_nothing_changes_and_a_logout_is_said(site, page, administrator):
    leave(7)
    opened(page, f"{site}/admin/live/")
    pause = page.get_by_role("button", name="Pause")

    pause.press("Enter")
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#hf-state")).to_have_text(re.compile("^Paused"))
    page.context.clear_cookies()
    pause.press("Enter")

    expect(page.locator("#hf-state")).to_contain_text("You are logged out")
    expect(page.locator("#hf-chart-title")).to_contain_text("7 in all")


@pytest.fixture
def stream(site, committed, tmp_path, settings, monkeypatch):
    """The stream beside the site, under the policy that the settings make of its address."""
    with streaming(committed, tmp_path, PUBLIC_URL=site) as (_, port):
        address = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("STREAM_URL", address)
        settings.CONTENT_SECURITY_POLICY = runpy.run_path(str(BASE / "config/settings.py"))["CONTENT_SECURITY_POLICY"]
        settings.STREAM_URL = address
        yield address


def test_by_the_stream_it_shows_an_opt_out_at_once(stream, site, page, administrator, complaints):
    opened(page, f"{site}/admin/live/")
    expect(page.locator("#hf-state")).to_have_text(re.compile(r"^Live\. As of"))
    title = page.locator("#hf-chart-title")
    expect(title).to_contain_text("0 in all")

    record([opt_out("a@example.org", exit_path="one-click")])
    linking.read_log()

    expect(title).to_contain_text("1 in all")  # the poll would come after fifteen seconds, and the wait ends after ten
    assert complaints == []


def test_a_stream_that_was_refused_is_asked_again(stream, site, page, administrator):
    answers = [503]
    page.route("**/live/stream/**", lambda route: route.fulfill(status=answers.pop()) if answers else route.continue_())
    page.clock.install()
    opened(page, f"{site}/admin/live/")
    page.clock.run_for(16_000)
    expect(page.locator("#hf-state")).to_have_text(re.compile("^Asked every 15 seconds"))

    page.clock.run_for(31_000)

    expect(page.locator("#hf-state")).to_have_text(re.compile("^Live"))
