"""The admin in a real browser under the strict policy: nothing is refused, everything works, everybody can read it."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import expect

from config.models import ServiceKey
from consent.models import Decision, PrivacyRequest, Purpose, Subject
from consent.services import record, set_guard
from incidents.models import AlertDelivery, PlaybookVersion, ValidationRun
from messaging.models import Message, TemplateVersion
from tests.factories import PASSWORD, MessageFactory, ServiceKeyFactory, UserFactory, incident, opt_out, rows

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
KEYS = "/admin/config/servicekey/"
# Pages with tables, hashes and what machines wrote.
WIDE = (
    AlertDelivery,
    Decision,
    Message,
    PlaybookVersion,
    PrivacyRequest,
    Subject,
    TemplateVersion,
    ValidationRun,
)


def opened(page, address):
    page.goto(address)
    page.wait_for_selector("html:not([x-cloak])")  # Alpine takes the attribute away when it has read the page


def violations(page):
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found.response["violations"]]


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_the_browser_refuses_nothing_on_the_pages_of_a_model(site, page, administrator, complaints, model, rf):
    row = rows(model, 2)[0]
    to = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    addresses = [
        reverse(f"{to}_changelist"),
        *(reverse(f"{to}_{name}", args=[row.pk]) for name in ("change", "history")),
    ]
    request = rf.get("/")
    request.user = administrator
    if admin.site.get_model_admin(model).has_add_permission(request):
        addresses.append(reverse(f"{to}_add"))

    for address in addresses:
        opened(page, site + address)

        assert complaints == [], address


def test_a_person_logs_in_by_the_form_and_leaves(site, page, complaints):
    UserFactory(username="anna")
    opened(page, f"{site}/admin/")

    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("link", name="Dashboard")).to_be_visible()
    assert complaints == []


def test_the_navigation_folds_away_and_stays_so(site, page, administrator, complaints):
    opened(page, site + KEYS)
    dashboard = page.get_by_role("link", name="Dashboard")
    expect(dashboard).to_be_visible()

    page.get_by_role("button", name="Show or hide the navigation").click()
    expect(dashboard).to_be_hidden()
    page.reload()

    expect(dashboard).to_be_hidden()
    assert complaints == []


def test_a_list_is_searched_and_filtered(site, page, administrator, complaints):
    ServiceKeyFactory(label="shop")
    ServiceKeyFactory(label="newsletter")
    opened(page, site + KEYS)

    page.get_by_placeholder("Type to search").fill("shop")
    page.get_by_placeholder("Type to search").press("Enter")
    expect(page.get_by_text("newsletter")).to_be_hidden()
    page.get_by_text("Filters").first.click()
    page.get_by_title("revoked").click()
    expect(page.get_by_role("link", name="shop")).to_be_hidden()
    page.get_by_text("Filters").first.click()
    page.get_by_title("usable").click()

    expect(page.get_by_role("link", name="shop")).to_be_visible()
    assert complaints == []


def test_a_button_asks_for_a_reason_acts_and_keeps_who_and_why(site, page, administrator, complaints):
    key = ServiceKeyFactory(label="shop")
    opened(page, f"{site}{KEYS}{key.pk}/change/")

    page.get_by_role("link", name="Revoke").click()
    page.get_by_label("Reason").fill("Found in a public repository")
    page.get_by_role("button", name="Revoke").click()

    expect(page.get_by_text("is revoked")).to_be_visible()
    opened(page, f"{site}{KEYS}{key.pk}/history/")
    expect(page.get_by_role("cell", name="user:administrator")).to_be_visible()
    expect(page.get_by_role("cell", name="Found in a public repository")).to_be_visible()
    key.refresh_from_db()
    assert key.revoked_by == administrator
    assert complaints == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_a_dialog_that_is_higher_than_the_screen_is_worked_to_its_end(
    site, page, administrator, complaints, width, height
):
    page.set_viewport_size({"width": width, "height": height})
    opened(page, f"{site}/admin/consent/consent/")
    page.evaluate("document.querySelector('a[href*=opt_somebody_out], a[hx-get*=opt_somebody_out]').click()")

    page.get_by_label("E-mail address").fill("anna@example.org")
    page.get_by_label("Reason").fill("Told us on the telephone")
    page.get_by_role("button", name="Record", exact=False).last.click()

    expect(page.get_by_text("Opted out of")).to_be_visible()
    assert complaints == []


def test_a_dialog_takes_the_keyboard_keeps_it_and_gives_it_back(site, page, administrator, complaints):
    key = ServiceKeyFactory(label="shop")
    opened(page, f"{site}{KEYS}{key.pk}/change/")
    opener = page.get_by_role("link", name="Revoke")
    opener.focus()

    page.keyboard.press("Enter")
    reason = page.get_by_role("dialog").get_by_label("Reason")
    expect(reason).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(reason).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This field is required.")).to_be_visible()
    expect(reason).to_be_focused()
    page.keyboard.press("Escape")

    expect(reason).to_be_hidden()
    expect(opener).to_be_focused()
    assert complaints == []


def test_a_new_key_is_shown_once(site, page, administrator, complaints):
    UserFactory(username="shop", service=True)
    opened(page, f"{site}{KEYS}add/")

    page.get_by_label("Account").select_option("shop")
    page.get_by_label("Label").fill("checkout")
    page.get_by_label("ask whether somebody may be contacted").check()
    page.get_by_role("button", name="Save", exact=True).click()

    shown = page.get_by_text("it is not shown again").inner_text()
    text = re.search(r"hf_[0-9a-f]{12}_\S{43}", shown)[0]
    assert ServiceKey.objects.get(label="checkout").digest == ServiceKey.digest_of(text)
    page.reload()
    expect(page.get_by_text("it is not shown again")).to_have_count(0)
    assert complaints == []


def test_what_belongs_to_a_record_stands_in_a_tab_of_its_own(site, page, administrator, complaints):
    key = ServiceKeyFactory(label="newsletter")
    opened(page, f"{site}/admin/config/user/{key.account.pk}/change/")
    label = page.get_by_role("cell", name="newsletter")
    expect(label).to_be_hidden()

    page.get_by_role("link", name="Service keys").last.click()

    expect(label).to_be_visible()
    expect(page.get_by_label("Username")).to_be_hidden()
    assert complaints == []


def test_the_dashboard_draws_what_it_counts(site, page, administrator, complaints):
    opened(page, f"{site}/admin/")

    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    expect(page.locator("main svg, main canvas").first).to_be_visible()
    assert complaints == []


def test_dark_and_light_are_the_viewers_choice(site, page, administrator, complaints):
    opened(page, site + KEYS)

    page.get_by_text("administrator", exact=True).click()
    page.get_by_text("Dark", exact=True).click()

    expect(page.locator("html")).to_have_class(re.compile("dark"))
    assert complaints == []


def test_a_raised_guard_is_told_on_every_page(site, page, administrator):
    set_guard("freeze", reason="A job runs wild", by=administrator)

    opened(page, site + KEYS)

    expect(page.get_by_role("status")).to_contain_text("The guard is set to freeze.")


def test_the_keyboard_reaches_the_content_first(site, page, administrator):
    opened(page, site + KEYS)

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.locator("#content")).to_be_focused()


def test_many_messages_are_ticked_read_of_and_sent_again(site, page, administrator, complaints):
    MessageFactory.create_batch(2, state="failed")
    doubtful = MessageFactory(state="in_doubt", message_class="incident_notice")
    opened(page, f"{site}/admin/messaging/message/?queue=trouble")

    page.get_by_role("checkbox", name="Select all objects on this page for an action").check()
    page.get_by_label("Select action to run").select_option("Send again")
    expect(page.get_by_text("9999999999")).to_have_count(0)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("link", name=str(doubtful))).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_label("Reason").fill("The relay is back")
    page.get_by_role("button", name="Send 2 messages again").click()

    expect(page.get_by_text("2 messages are sent again within seconds.")).to_be_visible()
    assert sorted(Message.objects.values_list("state", flat=True)) == ["in_doubt", "retry_wait", "retry_wait"]
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_read_by_all(site, page, log_in, scheme):
    page.emulate_media(color_scheme=scheme)
    opened(page, f"{site}/admin/login/")
    assert violations(page) == []
    log_in(username="administrator", is_superuser=True, time_zone="Europe/Berlin")
    key = rows(ServiceKey, 3)[0]

    for address in ("/admin/", KEYS, f"{KEYS}add/", f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/"):
        opened(page, site + address)

        assert violations(page) == [], address


@pytest.mark.parametrize("model", WIDE, ids=lambda model: model._meta.label)
def test_a_page_is_as_wide_as_a_telephone(site, page, administrator, model):
    row = rows(model, 1)[0]
    page.set_viewport_size({"width": 390, "height": 844})

    opened(page, site + reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk]))

    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("address", ["/admin/", "/admin/live/"])
def test_no_table_hides_a_column_beside_its_edge_at_a_desk(site, page, administrator, address):
    incident("MailQueueGrows: the queue of the first relay has been growing for ten minutes and more", minutes_ago=5)
    record([opt_out("anna@example.org", rows(Purpose, 1)[0].code, exit_path="one-click")])
    page.set_viewport_size({"width": 1440, "height": 900})

    opened(page, site + address)

    hidden = "sections => sections.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"
    assert page.locator(".hf-lists section").evaluate_all(hidden) == []
