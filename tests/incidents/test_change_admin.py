"""Change sets at the desk: written without JSON, planned, approved by another, applied, taken back; who sees what."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents import facts
from incidents.admin.change_buttons import BUTTONS
from incidents.admin.change_forms import FORMS, form_for
from incidents.admin.change_tabs import MOST_GROUPS, in_time, matrix_of
from incidents.changes import applying, deciding, running, undeclared
from incidents.models import ChangeSet, Incident
from tests.factories import (
    ChangeBatchFactory,
    ChangeSetFactory,
    ExitPathFactory,
    PurposeFactory,
    SubjectFactory,
    TransportHealthFactory,
    UserFactory,
    incident,
)
from tests.incidents.change_sets import (
    IN,
    LISTED,
    applied,
    approved,
    draft,
    imported,
    in_review,
    leaves,
    officer,
    planned,
    states,
)

pytestmark = pytest.mark.django_db
LIST = "/admin/incidents/changeset/"
WRITTEN = {
    "title": "List of March", "reason": "Its columns were mixed up", "batch_size": 500, "interval_s": 0, "looks": 1,
    "failure_limit": 0, "inconclusive": "pause",
}  # fmt: skip


@pytest.fixture
def anna(client):
    user = UserFactory(role="Officer", username="anna")
    client.force_login(user)
    return user


@pytest.fixture
def ben():
    return UserFactory(role="Officer", username="ben")


def url(change, tab=""):
    return f"{LIST}{change.pk}/change/{f'?tab={tab}' if tab else ''}"


def page(client, change, tab=""):
    answer = client.get(url(change, tab))
    assert answer.status_code == 200
    return answer.content.decode()


def press(client, change, verb, **given):
    """Open the dialog of a button, fill it in, send it; the hidden plan goes back as it was shown."""
    address = f"{LIST}{change.pk}/{verb}/"
    opened = client.get(address)
    assert opened.status_code == 200
    if 'name="plan"' in (text := opened.content.decode()) and "plan" not in given:
        given["plan"] = text.split('name="plan" value="')[1].split('"')[0]
    response = client.post(address, {"_form_submitted": "True", **given})
    change.refresh_from_db()
    return response


def offered(client, change):
    text = page(client, change)
    return {verb for verb in (*VERBS, "edit") if f"{LIST}{change.pk}/{verb}/" in text}


VERBS = tuple(BUTTONS)


def write(client, operation, **given):
    answer = client.post(f"{LIST}add/?operation={operation}", {**WRITTEN, **given})
    assert answer.status_code == 302, answer.context_data["errors"]
    return ChangeSet.objects.order_by("-pk")[0]


# Writing


def test_an_author_is_asked_first_what_is_to_be_done(client, anna):
    chosen = client.post(f"{LIST}add/?incident=7", {"operation": "backfill"})

    assert chosen["Location"] == "?incident=7&operation=backfill"
    assert "Give a default to whoever never decided" in client.get(f"{LIST}add/").content.decode()


OUT = {"choice": "opt_out", "purpose": "marketing", "channel": "email"}
WHOM = {"of_purpose": "marketing", "of_channel": "email", "of_state": "opt_in", "whose": "nobody"}
SELECTED = {"purpose": "marketing", "channel": "email", "state": "opt_in", "explicit": False}
WRITES = [
    ("set_choice", {"choice": "opt_out", **WHOM}, {"choice": "opt_out"}, SELECTED),
    ("set_choice", {**OUT, "whose": "either", "regions": "de, FR,unknown"}, OUT, {"regions": ["DE", "FR", "unknown"]}),
    (
        "set_choice",
        {**OUT, "whose": "own", "of_purpose": "marketing", "of_channel": "email", "never_asked": "on"}, OUT,
        {"purpose": "marketing", "channel": "email", "never_asked": True},
    ),
    ("backfill", {**OUT, "regions": "DE"}, OUT, {"regions": ["DE"]}),
    (
        "restore",
        {"moment_0": "2026-03-01", "moment_1": "10:00:00", **WHOM, "of_cause": "import", "of_actor": "service:crm",
         "of_batch": "0d3b1b3c-6f5e-4b8e-9d3e-2b7c5a1f0e9d", "decided_after_0": "2026-02-01",
         "decided_after_1": "00:00:00"},
        {"moment": "2026-03-01T10:00:00Z"},
        {**SELECTED, "cause": "import", "actor": "service:crm", "batch": "0d3b1b3c-6f5e-4b8e-9d3e-2b7c5a1f0e9d",
         "decided_after": "2026-02-01T00:00:00Z"},
    ),
    ("set_purpose", {"code": "marketing", "regime": "opt_out", "position": 0, "is_public": "no"},
     {"code": "marketing", "to": {"regime": "opt_out", "position": 0, "is_public": False}}, {}),
    ("set_exit_path", {"code": "footer", "owner": "Web team", "is_active": "yes"},
     {"code": "footer", "to": {"owner": "Web team", "is_active": True}}, {}),
    ("hold_transport", {"transport": "relay"}, {"transport": "relay"}, {}),
    ("release_transport", {"transport": "relay"}, {"transport": "relay"}, {}),
    ("declare_setting", {"name": "TTL", "before": "1", "after": "2", "holds_bulk": "on"},
     {"name": "TTL", "before": "1", "after": "2", "hold_lane": "bulk"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "given", "args", "selector"), WRITES)
def test_what_fields_say_becomes_its_json_and_an_edit_shows_the_same_fields(
    client, anna, operation, given, args, selector
):
    PurposeFactory(code="marketing")
    ExitPathFactory(code="footer")
    TransportHealthFactory(transport="relay")

    change = write(client, operation, **given)

    assert change.operations == [{"operation": operation, "args": args}]
    assert change.selector == selector
    assert (change.created_by, change.state, change.validation_policy["count"]) == ("user:anna", "draft", 1)
    form = form_for(operation)(user=anna, change=change)
    shown = {name: value for name, value in form.initial.items() if value is not None and value is not False}
    again = form_for(operation)(split(shown), user=anna, change=change)
    assert again.is_valid(), again.errors
    assert again.json() == {"operations": change.operations, "selector": change.selector}


def split(shown):
    """As a browser sends it: a moment is a date and a time, a tick is on."""
    sent = {}
    for name, value in shown.items():
        if name in ("moment", "decided_after", "decided_before"):
            sent |= {f"{name}_0": f"{value:%Y-%m-%d}", f"{name}_1": f"{value:%H:%M:%S}"}
        else:
            sent[name] = "on" if value is True else value
    return sent


def test_a_list_of_people_comes_with_the_set_and_names_whom_nobody_knows(client, anna):
    PurposeFactory(code="marketing")
    people = [SubjectFactory() for _ in range(3)]
    listed = "\n".join(str(person.pk) for person in people)

    refused = client.post(f"{LIST}add/?operation=sync_segment", {**WRITTEN, **OUT, "people": f"{listed}\nnobody@x.org"})
    change = write(client, "sync_segment", **OUT, people=listed)

    assert "1 of 4 lines name nobody: line 4" in refused.content.decode()
    assert {row.subject_id for row in change.rows.all()} == {person.pk for person in people}
    assert "3 rows came with it" in page(client, change)
    client.post(f"{LIST}{change.pk}/edit-it/", {**WRITTEN, **OUT, "people": str(people[0].pk)})
    assert [row.subject_id for row in change.rows.all()] == [people[0].pk]
    client.post(f"{LIST}{change.pk}/edit-it/", {**WRITTEN, **OUT, "people": ""})
    assert change.rows.count() == 1


def test_several_operations_are_written_as_json_and_everything_wrong_with_it_is_said(client, anna):
    both = json.dumps([IN, {"operation": "nothing"}])

    refused = client.post(f"{LIST}add/?operation=advanced", {**WRITTEN, "operations": both, "selector": ""})
    odd = client.post(f"{LIST}add/?operation=advanced", {**WRITTEN, "operations": '["\\u0000"]', "selector": ""})
    change = write(client, "advanced", operations=json.dumps([IN]), selector=json.dumps(LISTED))

    assert "there is no nothing" in refused.content.decode()
    assert "Remove the control characters" in odd.content.decode()
    assert (change.operations, change.selector) == ([IN], LISTED)


def test_a_selector_that_would_be_everybody_is_refused_beside_the_form(client, anna):
    answer = client.post(f"{LIST}add/?operation=set_choice", {**WRITTEN, "choice": "opt_out", "whose": "either"})

    assert "say to whom" in answer.content.decode()
    assert not ChangeSet.objects.exists()


def test_every_operation_that_people_write_has_a_form(client, anna):
    for operation in (*FORMS, "advanced"):
        assert client.get(f"{LIST}add/?operation={operation}").status_code == 200, operation


def test_an_edit_begins_anew_and_only_who_may_gets_there(client, anna, ben):
    imported(2)
    change = deciding.approve(in_review(), by=ben)

    client.post(f"{LIST}{change.pk}/edit-it/", {**WRITTEN, "choice": "opt_out", **WHOM, "title": "Another title"})

    change.refresh_from_db()
    assert (change.title, change.state, change.revision) == ("Another title", "draft", 2)
    assert "counts no more" in page(client, change, "approvals")
    client.force_login(UserFactory(role="Auditor"))
    assert client.get(f"{LIST}{change.pk}/edit-it/").status_code == 403
    assert client.get(f"{LIST}{change.pk}/edit/").status_code == 403


def test_what_is_fixed_is_not_edited_and_that_is_said(client, anna):
    imported(2)
    change = applied()

    answer = client.get(f"{LIST}{change.pk}/edit-it/", follow=True)

    assert answer.redirect_chain[0][0] == url(change, "what")
    assert "is applied: this cannot be done with it now" in answer.content.decode()


# The way of a set


def test_a_set_goes_its_way_by_two_people_at_the_desk(client, anna, ben):
    people = imported(5)
    change = write(client, "set_choice", choice="opt_out", **WHOM)
    assert offered(client, change) == {"plan", "edit", "cancel"}

    press(client, change, "plan")
    text = page(client, change, "plan")
    assert "change <b>5</b>" in text
    press(client, change, "submit")
    assert change.state == "in_review"
    assert "approve" not in offered(client, change)

    client.force_login(ben)
    assert {"approve", "decline"} <= offered(client, change)
    assert "The plan: 5 keys change" in client.get(f"{LIST}{change.pk}/approve/").content.decode()
    press(client, change, "approve", comment="Looked at the file")
    assert change.state == "approved"
    press(client, change, "apply")
    assert 'data-busy="true"' in page(client, change)
    assert "5 of 5 keys reached" not in page(client, change)

    running.run_due()
    text = page(client, change, "batches")
    assert "5 of 5 keys reached (100 %)" in text
    assert "I2: no opt-out was reversed without the person." in text
    assert states(*people) == ["opt_out"] * 5
    assert offered(client, change) == {"roll_back"}

    press(client, change, "roll_back", reason="The file was the wrong one")
    assert change.state == "applied"
    undeclared.confirm(change.rollbacks.get(), by=officer())
    running.run_due()
    text = page(client, change, "rollback")
    assert states(*people) == ["opt_in"] * 5
    assert "keys that a second run changed <b>0</b>" in text
    assert "explicit opt-outs weakened <b>0</b>" in text
    assert "Looked at the file" in page(client, change, "approvals")
    assert "Planned" in page(client, change, "history")


def test_a_plan_shows_the_protected_first_and_nobodys_address(client, anna):
    first, *_ = imported(4)
    leaves(first)
    change = planned(IN, selector={"purpose": "marketing", "channel": "email"})

    text = page(client, change, "plan")

    assert '<p class="hf-value">1</p>' in text
    assert text.index("hf-touched") < text.index("How many choices go from which state into which")
    assert "opted out by themselves<br>→ stays" in text
    assert str(first)[:8] in text
    assert "@" not in text.split('id="content"')[1]
    press(client, change, "submit")
    assert change.state == "draft"
    assert "1 people opted out themselves and would be opted in" in page(client, change)
    assert Incident.objects.get().is_near_miss


def test_a_plan_that_holds_no_more_is_said_on_its_page_and_when_it_is_approved(client, anna, ben):
    imported(3)
    change = in_review()
    PurposeFactory(code="another")

    client.force_login(ben)
    assert "This plan holds no more" in page(client, change, "plan")
    press(client, change, "approve", comment="")

    assert change.state == "stale"
    assert "Purposes or ways out were changed" in page(client, change)


def test_an_approval_of_another_plan_than_the_one_read_is_refused(client, anna, ben):
    imported(3)
    change = in_review()
    client.force_login(ben)

    press(client, change, "approve", comment="", plan="00" * 32)
    press(client, change, "approve", comment="", plan="nonsense")

    assert change.state == "in_review"
    assert not change.approvals.exists()
    assert "Another plan stands in review by now" in page(client, change)


def test_it_is_declined_with_a_reason_scheduled_paused_and_given_up(client, anna, ben):
    imported(3)
    declined, timed, given_up, going = in_review(), approved(), draft(), approved()
    going = applying.apply(going, by=anna)
    client.force_login(ben)

    press(client, declined, "decline", comment="")
    assert declined.state == "in_review"
    press(client, declined, "decline", comment="Wrong list")
    soon = timezone.now() + timedelta(hours=12)
    press(client, timed, "schedule", at_0=f"{soon:%Y-%m-%d}", at_1=f"{soon:%H:%M:%S}")
    press(client, given_up, "cancel", reason="Not needed")
    press(client, going, "pause", reason="Wait for the desk")

    assert [change.state for change in (declined, timed, given_up, going)] == [
        "rejected", "scheduled", "cancelled", "paused",
    ]  # fmt: skip
    assert "Wrong list" in page(client, declined)
    assert "It is applied" in page(client, timed)
    assert "Wait for the desk" in page(client, going)
    press(client, timed, "unschedule")
    press(client, going, "resume", reason="Go on")
    assert (timed.state, going.state) == ("approved", "applying")


def test_a_bypass_takes_two_and_is_loud_until_a_third_looked(client, anna, ben):
    imported(3)
    rosa, third = UserFactory(role="Responder", username="rosa"), UserFactory(role="Officer", username="carl")
    change = in_review(incident=incident())
    client.force_login(rosa)
    assert "bypass" in offered(client, change)
    dialog = client.get(f"{LIST}{change.pk}/bypass/").content.decode()
    assert ("ben" in dialog, ">rosa<" in dialog, ">anna<" in dialog) == (True, False, False)

    press(client, change, "bypass", reason="It burns", second=ben.pk)
    assert "BYPASS asked for" in client.get(LIST).content.decode()
    assert "asks to bypass approvals" in page(client, change)
    assert "second" not in offered(client, change)
    client.force_login(ben)
    press(client, change, "second", comment="")
    assert change.state == "approved"
    assert "BYPASSED, review due" in client.get(LIST).content.decode()
    assert "review" not in offered(client, change)
    ChangeSet.objects.update(review_due_at=timezone.now())
    assert "BYPASSED, review overdue" in client.get(f"{LIST}?bypassed=overdue").content.decode()

    client.force_login(third)
    press(client, change, "review", result="It was right")
    assert "bypassed, reviewed" in client.get(LIST).content.decode()
    assert "It was right" in page(client, change, "approvals")
    assert change.ref not in client.get(f"{LIST}?bypassed=due").content.decode().split('id="result_list"')[-1]


# Who sees what


@pytest.mark.parametrize(
    ("role", "buttons"),
    [
        ("Auditor", set()),
        ("Responder", {"approve", "decline", "edit", "cancel", "bypass"}),
        ("Officer", {"approve", "decline", "edit", "cancel"}),
    ],
)
def test_a_role_finds_the_buttons_that_it_may_press_and_no_others_open(client, role, buttons):
    imported(2)
    change = in_review(incident=incident())
    client.force_login(UserFactory(role=role, username="somebody"))

    assert offered(client, change) == buttons
    needed = {"Auditor": set(), "Officer": set(VERBS) - {"bypass"}, "Responder": set(VERBS)}[role]
    for verb in VERBS:
        assert client.get(f"{LIST}{change.pk}/{verb}/").status_code == (200 if verb in needed else 403), verb


def test_support_sees_nothing_of_it(client):
    change = draft()
    client.force_login(UserFactory(role="Support"))

    for address in (LIST, url(change), f"{LIST}{change.pk}/progress/", f"{LIST}{change.pk}/edit-it/"):
        assert client.get(address).status_code == 403, address
    assert "tab=changes" not in client.get(f"/admin/incidents/incident/{incident().pk}/change/").content.decode()


def test_the_title_of_a_restricted_incident_stays_with_who_may_see_it(client, anna):
    hidden = facts.restrict(incident("Leak of the list"), is_restricted=True, reason="Names", by="user:lea")
    change = draft(incident=hidden)
    deciding.edit(change, incident=None, by="user:anna")
    deciding.edit(change, incident=hidden, by="user:anna")
    rosa = UserFactory(role="Responder")
    pages = [
        LIST, f"{LIST}?incident={hidden.ref}", url(change), url(change, "history"), f"{LIST}{change.pk}/history/",
        f"{LIST}{change.pk}/edit-it/", f"{LIST}add/?operation=set_choice", "/admin/incidents/rollback/add/",
    ]  # fmt: skip

    def shown():
        return [("Leak of the list" in client.get(one).content.decode()) for one in pages]

    assert shown()[:3] == [True, True, True]
    client.force_login(rosa)
    assert not any(shown())
    assert hidden.ref in client.get(LIST).content.decode()
    assert hidden.ref in client.get(f"{LIST}{change.pk}/edit-it/").content.decode()


# Bounds and parts


@pytest.mark.parametrize("tab", ["what", "plan", "approvals", "batches", "rollback", "history", "bogus"])
@pytest.mark.parametrize("role", ["Officer", "Responder", "Auditor"])
def test_every_tab_opens_for_every_role(client, role, tab):
    imported(2)
    change = applied()
    client.force_login(UserFactory(role=role))

    assert client.get(url(change, tab)).status_code == 200


def test_a_page_of_thirty_batches_takes_as_many_queries_as_one_of_three(client, anna):
    few, many = draft(), draft()
    for change, count in ((few, 3), (many, 30)):
        for number in range(1, count + 1):
            ChangeBatchFactory(change_set=change, number=number, first_position=number, last_position=number)

    def queries(change):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(url(change, "batches")).status_code == 200
        return len(asked)

    queries(few)
    assert queries(many) == queries(few) <= 16
    older = client.get(f"{url(many, 'batches')}&before=6").content.decode()
    assert older.count("not judged yet") == 5
    assert client.get(f"{url(many, 'batches')}&before=x").status_code == 404


def test_the_part_that_changes_is_drawn_alone_and_says_when_it_is_over(client, anna):
    imported(3)
    change = applying.apply(approved(), by=anna)
    address = f"{LIST}{change.pk}/progress/?tab=batches"

    before = client.get(address).content.decode()
    running.run_due()
    after = client.get(address).content.decode()

    assert "<html" not in before
    assert ('data-busy="true"' in before, 'data-busy="false"' in after) == (True, True)
    assert "Load the page again" in after
    assert "passed" in after
    assert f'data-refresh="{LIST}{change.pk}/progress/?tab=batches"' in page(client, change, "batches")
    assert client.get(f"{LIST}999/progress/").status_code == 404


def test_a_matrix_puts_what_changes_first_the_largest_on_top_and_the_rest_together():
    own, changed = ("opted out by themselves", "opted out by themselves"), ("opted in", "opted out")
    rows = [("marketing", f"R{n}", *changed, 100 + n) for n in range(MOST_GROUPS + 2)]
    rows += [("marketing", "R0", *own, 1_000), ("news", "DE", "opted out", "opted out", 1)]
    names = ("purpose", "region", "before", "after", "count")
    change = ChangeSetFactory.build(matrix=[dict(zip(names, row, strict=True)) for row in rows])

    columns, groups, totals = matrix_of(change)

    assert [column.tone for column in columns] == ["change", "protected", "same"]
    assert groups[0] == ("marketing", "R0", [100, 1_000, 0], 1_100)
    assert groups[-1] == ("", "3 more", [203, 0, 1], 204)
    assert totals == [sum(row[4] for row in rows[: MOST_GROUPS + 2]), 1_000, 1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "about 0 seconds"), (1, "about 1 second"), (150, "about 2 minutes"), (9_000, "about 2.5 hours")],
)
def test_how_long_it_takes_is_said_roughly(seconds, words):
    assert in_time(seconds) == words


def test_the_list_is_found_by_number_and_narrowed_by_author_incident_and_state(client, anna):
    first, second = draft(incident=incident("Relay down")), draft(title="Other", by="user:zoe")

    def found(query):
        text = client.get(f"{LIST}?{query}").content.decode()
        return [change.pk for change in (first, second) if f"{LIST}{change.pk}/change/" in text]

    assert found(f"q={second.ref}") == [second.pk]
    assert found("author=user:zoe") == [second.pk]
    assert found("incident=INC-1") == [first.pk]
    assert found("state__exact=draft") == [first.pk, second.pk]
    assert found("q=cs-99999") == []


def test_an_incident_shows_its_change_sets_and_the_one_that_caused_it(client, anna):
    burning = incident("Relay down")
    cause = draft(title="The patch")
    Incident.objects.update(caused_by_change_set=cause.ref)
    fix = draft(title="The fix", incident=burning)

    text = client.get(f"/admin/incidents/incident/{burning.pk}/change/?tab=changes").content.decode()

    assert f"{cause}</a>, which is draft" in text
    assert f"{fix}</a>" in text
    assert f"{LIST}add/?incident={burning.pk}" in text


def test_the_dashboard_counts_what_is_in_flight_and_shouts_where_somebody_must_act(client, anna, ben):
    imported(3)
    draft()
    going = applying.apply(approved(), by=anna)

    quiet = client.get("/admin/").content.decode()
    applying.pause(going, reason="Wait", by=anna)
    loud = client.get("/admin/").content.decode()

    assert "Changes in flight" in quiet
    assert "1 being applied or taken back" in quiet
    assert "1 paused: decide" in loud
