"""Every page of the admin, for everybody: a new admin class is covered by being registered."""

import re
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import Group, Permission
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import connection
from django.forms import model_to_dict
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.admin import TrackedAdmin
from config.grants import cells
from config.navigation import sidebar
from consent.models import Purpose
from tests.factories import PurposeFactory, UserFactory, rows

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent
ROLES = ("Officer", "Support", "Responder", "Auditor")
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
OURS = [
    model for app in ("config", "consent", "messaging", "incidents") for model in apps.get_app_config(app).get_models()
]
NEVER_COUNTED = (
    "consent_decision",
    "consent_consent",
    "consent_historicalconsent",
    "messaging_message",
    "messaging_webhookdelivery",
)

# Queries of a list of 30 rows as an administrator: session, user, guard and the rows are four of them.
QUERIES = {
    "auth.Group": 4,
    "config.ServiceKey": 5,
    "config.User": 6,
    "consent.AnswerText": 6,
    "consent.Batch": 4,
    "consent.Consent": 6,
    "consent.DeadlineRule": 7,
    "consent.Decision": 7,
    "consent.ExitPath": 5,
    "consent.GuardChange": 4,
    "consent.Import": 5,
    "consent.PrivacyRequest": 6,
    "consent.Purpose": 5,
    "consent.Reversal": 5,
    "consent.Subject": 5,
}
UNLISTED = 7  # a list whose number nobody has written down yet


def request_of(user):
    request = RequestFactory().get("/admin/")
    request.user = user
    return request


def page(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.fixture(params=["Administrator", *ROLES])
def role(request):
    return request.param


@pytest.fixture
def viewer(role, client):
    user = UserFactory(is_superuser=True) if role == "Administrator" else UserFactory(role=role)
    client.force_login(user)
    return user


def may(user, verb, model):
    return user.has_perm(f"{model._meta.app_label}.{verb}_{model._meta.model_name}")


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_a_page_opens_for_the_roles_that_may_see_it_and_for_nobody_else(client, viewer, model):
    row = rows(model, 1)[0]

    found = {
        "changelist": client.get(page(model, "changelist")).status_code,
        "change": client.get(page(model, "change", row.pk)).status_code,
        "add": client.get(page(model, "add")).status_code,
        "delete": client.get(page(model, "delete", row.pk)).status_code,
    }

    sees = 200 if may(viewer, "view", model) else 403
    adds = 200 if admin.site.get_model_admin(model).has_add_permission(request_of(viewer)) else 403
    assert found == {"changelist": sees, "change": sees, "add": adds, "delete": 403}
    assert adds == 403 or may(viewer, "add", model)


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_a_history_opens_for_the_roles_that_may_see_it_and_for_nobody_else(client, viewer, model):
    row = rows(model, 1)[0]
    kept = getattr(getattr(model, "history", None), "model", model)

    response = client.get(page(model, "history", row.pk))

    assert response.status_code == (200 if may(viewer, "view", kept) else 403)


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_no_page_leads_to_one_that_its_reader_may_not_open(client, viewer, model):
    row = rows(model, 1)[0]
    if not may(viewer, "view", model):
        return

    texts = [client.get(page(model, *to)).content.decode() for to in (["changelist"], ["change", row.pk])]

    linked = {address for text in texts for address in re.findall(r'href="(/admin/\w+/\w+/[^/"?#]+/change/)', text)}
    assert [address for address in linked if client.get(address).status_code == 403] == []


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_a_list_asks_a_bounded_number_of_queries_and_counts_no_big_table(client, model):
    rows(model, 30)
    client.force_login(UserFactory(is_superuser=True))

    with CaptureQueriesContext(connection) as asked:
        response = client.get(page(model, "changelist"))

    assert response.status_code == 200
    texts = [query["sql"] for query in asked]
    assert len(texts) <= QUERIES.get(model._meta.label, UNLISTED), "\n".join(texts)
    for text, table in product(texts, NEVER_COUNTED):
        assert not ("COUNT(" in text and f'FROM "{table}"' in text), text


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_nobody_can_delete_in_the_admin_not_even_an_administrator(model):
    page_of_model = admin.site.get_model_admin(model)

    assert not page_of_model.has_delete_permission(request_of(UserFactory(is_superuser=True)))
    for inline in page_of_model.inlines:
        assert not inline(model, admin.site).has_delete_permission(request_of(UserFactory(is_superuser=True)))


def matrices():
    """Every migration that grants something."""
    names = [
        f"{app}.migrations.{path.stem}"
        for app in ("config", "consent", "messaging", "incidents")
        for path in (Path(settings.BASE_DIR) / app / "migrations").glob("0*.py")
    ]
    return [module for module in map(import_module, names) if hasattr(module, "MATRIX")]


def test_each_role_holds_what_the_matrix_says_and_nothing_else():
    declared = {role: set() for role in ROLES}
    for module in matrices():
        for role, label, action in cells(module.MATRIX):
            app, model = label.split(".")
            declared[role].add(f"{app}.{action}_{model}")
        for label, codename, _, roles in getattr(module, "NAMED", ()):
            for role in roles:
                declared[role].add(f"{label.split('.')[0]}.{codename}")

    held = {
        group.name: {
            f"{app}.{code}" for app, code in group.permissions.values_list("content_type__app_label", "codename")
        }
        for group in Group.objects.all()
    }

    assert held == declared


def test_every_model_is_in_the_matrix_or_shown_to_nobody_on_purpose():
    named = {word for module in matrices() for word in module.MATRIX.split()}

    missing = {model._meta.label_lower for model in OURS} - named

    assert missing == {"config.idempotencyrecord"}  # answers to services, dropped after a day


def test_no_role_may_delete_anything():
    assert not Permission.objects.filter(group__name__in=ROLES, codename__startswith="delete_").exists()


def test_an_auditor_changes_nothing():
    held = Group.objects.get(name="Auditor").permissions.values_list("codename", flat=True)

    assert all(codename.startswith("view_") for codename in held)


def test_support_cannot_touch_the_guard_and_a_responder_cannot_record_a_choice():
    support, responder = UserFactory(role="Support"), UserFactory(role="Responder")

    assert not support.has_perm("consent.set_guard")
    assert not support.has_perm("consent.add_guardchange")
    assert not responder.has_perm("consent.record_opt_out")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "no such zone"])
def test_times_are_shown_in_the_viewers_zone_with_utc_beside_it(client, zone):
    client.force_login(UserFactory(is_superuser=True, time_zone=zone))
    rows(apps.get_model("config.ServiceKey"), 1)

    text = client.get("/admin/config/servicekey/").content.decode()

    assert ("UTC</span></time>" in text) == (zone == "Europe/Berlin")
    assert " UTC" in text


def changed(row, user, **values):
    """Post the form of a tracked model, and say what it answers."""
    page_of_model = TrackedAdmin(type(row), admin.site)
    data = {**model_to_dict(row), "_continue": "1", **values}
    request = RequestFactory().post(
        "/admin/", {name: value for name, value in data.items() if value is not None and value is not False}
    )
    request.user, request._dont_enforce_csrf_checks = user, True
    request.session = {}
    request._messages = FallbackStorage(request)
    return page_of_model.changeform_view(request, str(row.pk))


def test_a_change_without_a_reason_is_refused():
    purpose = PurposeFactory(name="News")

    answer = changed(purpose, UserFactory(is_superuser=True), name="Offers", reason="")

    assert list(answer.context_data["adminform"].form.errors) == ["reason"]
    purpose.refresh_from_db()
    assert purpose.name == "News"


def test_a_change_keeps_who_made_it_and_why():
    purpose = PurposeFactory(name="News")

    changed(purpose, UserFactory(is_superuser=True, username="anna"), name="Offers", reason="The page says offers")

    version = purpose.history.first()
    assert (version.name, version.history_user_id) == ("Offers", "user:anna")
    assert version.history_change_reason == "The page says offers"


def test_whoever_may_only_look_is_not_asked_why():
    purpose = PurposeFactory()
    request = request_of(UserFactory(role="Auditor"))

    fieldsets = TrackedAdmin(Purpose, admin.site).get_fieldsets(request, purpose)

    assert "reason" not in flatten_fieldsets(fieldsets)


def test_an_empty_list_says_so_and_asks_nobody_to_create_what_they_cannot(client):
    client.force_login(UserFactory(role="Officer"))

    empty = client.get("/admin/messaging/difference/").content.decode()
    unmatched = client.get("/admin/consent/subject/", {"q": "nobody@example.org"}).content.decode()

    assert "There are no differences." in empty
    assert "Create a new item" not in empty
    assert "Nothing matches" in unmatched
    assert "Show all" in unmatched


def test_a_stranger_is_sent_to_the_login(client):
    answer = client.get("/admin/config/user/")

    assert answer.status_code == 302
    assert answer.url.startswith("/admin/login/")


def test_the_navigation_holds_what_the_viewer_may_see():
    auditor, support = (
        {item["title"] for group in sidebar(request_of(UserFactory(role=role))) for item in group["items"]}
        for role in ("Auditor", "Support")
    )

    assert {"Dashboard", "Users", "Service keys"} <= auditor
    assert support & {"Users", "Service keys"} == set()
