"""The live page in a real browser: by keyboard, for a screen reader, under the strict policy."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from incidents.models import DecisionMinute
from tests.browser.test_admin import opened, violations
from tests.factories import incident


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
    expect(page.locator("#hf-state")).to_have_text(re.compile(r"^Asked every 15 seconds"))
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
