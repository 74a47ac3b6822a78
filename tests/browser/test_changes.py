"""A change set's pages in a real browser: readable by everybody, and kept current while it is being applied."""

import pytest
from playwright.sync_api import expect

from incidents.changes import applying, running
from tests.browser.test_admin import opened, violations
from tests.factories import incident
from tests.incidents.change_sets import IN, approved, imported, in_review, leaves, planned

LIST = "/admin/incidents/changeset/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_its_pages(site, page, administrator, complaints, scheme):
    first, *_ = imported(3)
    leaves(first)
    change = planned(IN, selector={"purpose": "marketing", "channel": "email"}, incident=incident())
    page.emulate_media(color_scheme=scheme)

    for tab in ("what", "plan", "approvals", "history"):
        opened(page, f"{site}{LIST}{change.pk}/change/?tab={tab}")
        assert violations(page) == [], tab
    for address in (f"{LIST}add/?operation=set_choice", "/admin/incidents/rollback/add/"):
        opened(page, f"{site}{address}")
        assert violations(page) == [], address

    assert complaints == []


def test_its_page_is_kept_current_while_it_is_applied(site, page, administrator, complaints):
    imported(3)
    change = applying.apply(approved(), by="user:anna")
    opened(page, f"{site}{LIST}{change.pk}/change/?tab=batches")
    expect(page.locator("#hf-progress")).to_contain_text("Being applied")

    running.run_due()

    expect(page.locator("#hf-progress")).to_contain_text("3 of 3 keys reached (100 %)", timeout=15_000)
    expect(page.locator("#hf-progress")).to_contain_text("I2: no opt-out was reversed without the person.")
    expect(page.get_by_role("link", name="Load the page again")).to_be_visible()
    assert complaints == []


def test_a_plan_is_approved_in_its_dialog(site, page, administrator, complaints):
    imported(3)
    change = in_review(by="user:zoe")
    opened(page, f"{site}{LIST}{change.pk}/change/?tab=plan")

    page.locator('text="Approve"').click()
    expect(page.locator("#modal-content")).to_contain_text("The plan: 3 keys change")
    page.locator("#modal-content button[type=submit]").click()

    expect(page.locator("#content")).to_contain_text("user:administrator")
    change.refresh_from_db()
    assert change.state == "approved"
    assert complaints == []
