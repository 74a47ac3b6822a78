"""Services tell key by key what they hold: what differs is found, dealt with, and kept until it is right."""

from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from config.models import Scope
from consent.answers import Answer
from consent.models import Batch, Consent, Decision, Purpose
from consent.services import Query as May
from consent.services import check, merge, record, set_guard, void_batch
from incidents import trouble
from incidents.models import Incident
from messaging.condition import conditions
from messaging.models import Difference, StateReport, WebhookDelivery, WebhookReplay
from messaging.propagation import endpoints, reports
from messaging.propagation.differing import SAME, UNMEASURED, Held, compare, kind_of
from messaging.propagation.metrics import endpoint_metrics
from tests.api.conftest import Api
from tests.api.conftest import problem as problem
from tests.factories import (
    DifferenceFactory,
    EndpointFactory,
    PurposeFactory,
    StateReportFactory,
    SubjectFactory,
    UserFactory,
    email,
    opt_in,
    opt_out,
)

pytestmark = pytest.mark.django_db
URL = "/api/v1/reconciliations/"
Kind = Difference.Kind
NOW = timezone.now()
LATER = timedelta(minutes=5)


@pytest.fixture
def marketing(db):
    return PurposeFactory(code="marketing")


@pytest.fixture
def crm(marketing):
    return EndpointFactory(name="crm")


@pytest.fixture
def api(crm):
    return Api(Scope.ENDPOINTS_READ, Scope.ENDPOINTS_WRITE)


def looked(endpoint, *rows, name="", after=LATER):
    """A report of a look that came so long after all that happened here."""
    report = StateReportFactory(endpoint=endpoint, held_at=timezone.now() + after, **({"name": name} if name else {}))
    compare(report, rows)
    report.refresh_from_db()
    return report


def held(person, state, *, purpose="marketing", channel="email", since=None):
    return Held(email(person)[0] if isinstance(person, str) else person, purpose, channel, state, since)


def may_write_to(address):
    return check([May(email(address)[0], "marketing", "email")])[0].allowed


# What differs, and what follows


def test_they_would_write_to_somebody_who_opted_out_and_are_told_again(crm):
    [anna] = record([opt_out("anna@example.org")])

    looked(crm, held("anna@example.org", "opt_in"))

    difference = Difference.objects.get()
    assert (difference.kind, difference.subject_id, difference.decision_id) == ("contactable", anna.subject_id, anna.id)
    assert difference.settled_at is None
    delivery = WebhookDelivery.objects.get()
    assert (delivery.endpoint, delivery.after, delivery.state) == (crm, "opt_out", "due")
    assert delivery.source_id == difference.source_id
    assert WebhookReplay.objects.get().what == "keys"


def test_an_opt_out_of_everything_covers_what_they_ask_about(crm):
    record([opt_out("anna@example.org", "*", "*")])

    looked(crm, held("anna@example.org", "opt_in"))

    assert Difference.objects.get().kind == "contactable"
    assert WebhookDelivery.objects.get().purpose == "*"


def test_they_are_told_again_under_the_id_that_they_know(crm):
    record([opt_out("anna@example.org")])
    looked(crm, held("anna@example.org", "opt_in"), name="monday")
    delivery = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(state="delivered", settled_at=timezone.now())

    looked(crm, held("anna@example.org", "opt_in"), name="tuesday")

    again = WebhookDelivery.objects.get()
    assert (again.pk, again.state) == (delivery.pk, "due")
    assert Difference.objects.get().times_seen == 2


def test_the_finding_stands_until_a_report_shows_it_right(crm):
    record([opt_out("anna@example.org")])
    looked(crm, held("anna@example.org", "opt_in"))

    report = looked(crm, held("anna@example.org", "opt_out"), name="tuesday")

    difference = Difference.objects.get()
    assert (difference.settled_by, difference.settled_reason) == ("system:reconciliation", "Right in tuesday")
    assert (report.same, report.differing) == (1, 0)


def test_a_no_that_nobody_here_knew_is_taken_down_and_wins(crm):
    Purpose.objects.update(regime="opt_out")
    since = timezone.now() - timedelta(days=3)
    assert may_write_to("anna@example.org")

    report = looked(crm, held("anna@example.org", "opt_out", since=since))

    assert not may_write_to("anna@example.org")
    decision = Decision.objects.get()
    assert (decision.explicit, decision.cause, decision.reasons) == (False, "import", ["reconciliation", "crm"])
    assert (decision.decided_at, decision.batch_id) == (since, report.batch_id)
    difference = Difference.objects.get()
    assert (difference.kind, difference.decision_id, difference.subject_id, difference.settled_reason) == (
        "unheard", decision.pk, decision.subject_id, "Taken down here",
    )  # fmt: skip
    assert report.recorded == 1


def test_what_was_taken_down_by_mistake_is_undone_as_one(crm):
    Purpose.objects.update(regime="opt_out")
    looked(crm, *(held(f"reader{n}@example.org", "opt_out") for n in range(3)))

    void_batch(Batch.objects.get(), reason="Wrong file", by="user:someone", confirmed_by="user:ben")

    assert may_write_to("reader1@example.org")


def test_their_no_outweighs_a_yes_that_no_person_said_however_old_it_is(crm):
    record([opt_in("anna@example.org", explicit=False, cause="import")])

    looked(crm, held("anna@example.org", "opt_out", since=timezone.now() - timedelta(days=900)))

    assert Consent.objects.get().state == "opt_out"


def test_a_no_is_taken_down_whatever_the_guard_says(crm):
    set_guard("freeze", reason="It burns", by="user:someone")

    assert looked(crm, held("anna@example.org", "opt_out")).recorded == 1


def test_an_older_no_of_theirs_is_answered_with_the_persons_newer_yes(crm):
    [anna] = record([opt_in("anna@example.org")])

    looked(crm, held("anna@example.org", "opt_out", since=anna.decided_at - timedelta(days=1)))

    assert Difference.objects.get().kind == "older"
    assert WebhookDelivery.objects.get().after == "opt_in"
    assert Decision.objects.count() == 1


@pytest.mark.parametrize("ago", [timedelta(days=-1), None], ids=["newer", "they do not know since when"])
def test_a_newer_no_of_theirs_against_a_persons_own_yes_waits_for_people(crm, ago):
    [anna] = record([opt_in("anna@example.org")])

    looked(crm, held("anna@example.org", "opt_out", since=ago and anna.decided_at - ago))

    assert Difference.objects.open().get().kind == "newer"
    assert not WebhookDelivery.objects.exists()
    assert Consent.objects.get().state == "opt_in"


def test_they_would_write_to_people_who_never_said_yes_or_whom_nobody_knows(crm):
    known = SubjectFactory()

    looked(crm, held(known.pk, "opt_in"), held("nobody@example.org", "opt_in"))

    kinds = dict(Difference.objects.open().values_list("subject_id", "kind"))
    assert kinds == {known.pk: "no_yes", None: "unknown"}
    assert not Decision.objects.exists()


def test_an_unknown_address_that_becomes_known_keeps_its_one_finding(crm):
    looked(crm, held("anna@example.org", "opt_in"))
    [anna] = record([opt_out("anna@example.org")])

    looked(crm, held("anna@example.org", "opt_in"))

    difference = Difference.objects.get()
    assert (difference.kind, difference.subject_id, difference.times_seen) == ("contactable", anna.subject_id, 2)


def test_people_who_were_merged_are_one_person(crm):
    [anna] = record([opt_out("anna@example.org")])
    [twin] = record([opt_in("twin@example.org", "*", "sms")])
    merge(anna.subject_id, twin.subject_id, reason="One person", by="user:someone")

    looked(crm, held(anna.subject_id, "opt_in"), held("anna@example.org", "opt_in"))

    assert Difference.objects.get().subject_id == twin.subject_id


def test_what_changed_just_before_they_looked_is_not_measured(crm):
    record([opt_out("anna@example.org")])

    report = looked(crm, held("anna@example.org", "opt_in"), after=timedelta(seconds=30))

    assert (report.unmeasured, report.differing) == (1, 0)
    assert not Difference.objects.exists()


def test_what_an_endpoint_is_not_told_about_is_found_and_waits(marketing):
    PurposeFactory(code="news")
    shop = EndpointFactory(purposes=["news"])
    record([opt_out("anna@example.org")])

    looked(shop, held("anna@example.org", "opt_in"))

    assert Difference.objects.open().get().told_again_at is None
    assert not WebhookDelivery.objects.exists()


def test_a_thousand_keys_cost_a_bounded_number_of_statements(crm, django_assert_max_num_queries):
    record([opt_out(f"reader{n}@example.org") for n in range(900)])
    report = StateReportFactory(endpoint=crm, held_at=timezone.now() + LATER)
    rows = [held(f"reader{n}@example.org", "opt_out") for n in range(1000)]

    with django_assert_max_num_queries(30):
        counts = compare(report, rows)

    assert counts == {SAME: 900, Kind.UNHEARD: 100}


ANSWERS = {
    "out": Answer(False, "opted_out", "explicit_opt_out", 1, NOW),
    "in": Answer(True, "opted_in", "explicit_opt_in", 1, NOW),
    "imported": Answer(True, "opted_in", "recorded_opt_in", 1, NOW),
    "never": Answer(False, "never_asked", "opt_in_needed"),
    "allowed": Answer(True, "never_asked", "no_objection"),
    "must": Answer(True, "opted_out", "mandatory", 1, NOW),
}


@pytest.mark.parametrize(
    ("theirs", "ours", "since", "kind"),
    [
        ("opt_in", "in", None, SAME),
        ("opt_in", "allowed", None, SAME),
        ("opt_in", "out", None, Kind.CONTACTABLE),
        ("opt_in", "never", None, Kind.NO_YES),
        ("opt_in", "must", None, SAME),
        ("opt_out", "out", None, SAME),
        ("opt_out", "must", None, SAME),
        ("opt_out", "never", None, Kind.UNHEARD),
        ("opt_out", "allowed", None, Kind.UNHEARD),
        ("opt_out", "imported", None, Kind.UNHEARD),
        ("opt_out", "in", NOW - LATER, Kind.OLDER),
        ("opt_out", "in", NOW + LATER, Kind.NEWER),
        ("opt_out", "in", None, Kind.NEWER),
    ],
)
def test_each_pair_of_answers_has_one_name(theirs, ours, since, kind):
    row = Held(uuid4(), "marketing", "email", theirs, since)

    found = kind_of(row, ANSWERS[ours], is_known=True, changed_at=NOW, held_at=NOW + LATER)

    assert found == kind
    if kind != SAME:
        assert kind_of(row, ANSWERS[ours], is_known=True, changed_at=NOW, held_at=NOW) == UNMEASURED


# What lasts is an incident (I4)


def test_a_difference_that_lasts_after_they_were_told_again_is_a_condition(crm):
    record([opt_out("anna@example.org")])
    looked(crm, held("anna@example.org", "opt_in"), name="monday")
    assert conditions() == []
    told = timezone.now() - timedelta(minutes=2)
    Difference.objects.update(told_again_at=told)

    [owed] = conditions()
    WebhookDelivery.objects.update(state="delivered", settled_at=timezone.now())
    taken = conditions()
    looked(crm, held("anna@example.org", "opt_in"), name="tuesday")
    WebhookDelivery.objects.update(state="delivered", settled_at=timezone.now())
    [lasting] = conditions()

    assert (owed.key, owed.since, owed.count) == ("differs-crm", told, 1)
    assert taken == []  # their next report will show
    assert "crm still differs in 1 key" in lasting.title


@pytest.mark.parametrize("ago", [timedelta(days=-1), None], ids=["newer", "they do not know since when"])
def test_a_newer_no_of_theirs_is_a_condition_until_somebody_settled_it(crm, ago):
    [anna] = record([opt_in("anna@example.org")])
    looked(crm, held("anna@example.org", "opt_out", since=ago and anna.decided_at - ago))

    [found] = conditions()
    reports.settle(Difference.objects.get(), reason="Anna was asked", by=UserFactory())

    assert (found.key, found.since, found.count) == ("differs-no:crm", Difference.objects.get().found_at, 1)
    assert found.title.startswith("crm holds a no for 1 key where a yes of the person counts here")
    assert conditions() == []


def test_what_lasts_opens_one_incident_about_others_who_were_not_told(crm):
    report = StateReportFactory(endpoint=crm)
    since = timezone.now() - timedelta(minutes=2)
    DifferenceFactory.create_batch(3, endpoint=crm, first_report=report, told_again_at=since, lasts_since=since)

    assert (trouble.watch(), trouble.watch()) == (1, 0)

    incident = Incident.objects.get()
    assert (incident.type, incident.severity) == ("propagation_failed", "sev2")
    assert "crm still differs in 3 keys" in incident.title


def test_operators_see_how_many_keys_of_each_endpoint_differ(crm):
    DifferenceFactory.create_batch(2, endpoint=crm)
    DifferenceFactory(endpoint=crm, settled_at=timezone.now(), settled_by="user:anna", settled_reason="Mended")

    [metric] = [metric for metric in endpoint_metrics() if metric.name == "holdfast_endpoint_differences"]

    [sample] = metric.samples
    assert (sample.labels, sample.value) == ({"endpoint": "crm", "kind": "contactable"}, 2)


# Reports


def test_a_report_comes_in_parts_and_is_finished_once(api, crm):
    record([opt_out("anna@example.org")])
    row = {"subject": {"email": "anna@example.org"}, "purpose": "marketing", "channel": "email", "state": "opt_out"}
    other = {**row, "subject": {"user_id": "7"}, "since": "2026-01-01T00:00:00Z"}

    first = api.send(URL, {"endpoint": "crm", "name": "night", "rows": [row]})
    second = api.send(URL, {"endpoint": "crm", "name": "night", "rows": [other]})

    assert (first.status_code, second.status_code) == (201, 201), second.content
    told = second.json()
    assert (told["id"], told["rows"], told["same"], told["recorded"]) == (first.json()["id"], 2, 1, 1)
    ended = api.send(f"{URL}{told['id']}/finish/", {"complete": True})
    assert ended.json()["is_complete"] is True
    assert api.send(f"{URL}{told['id']}/finish/", {"complete": False}).json() == ended.json()
    assert api.get(f"{URL}{told['id']}/").json() == ended.json()
    assert api.get(f"{URL}?endpoint=crm").json()["results"] == [ended.json()]
    late = api.send(URL, {"endpoint": "crm", "name": "night", "rows": [row]})
    assert late.status_code == 400
    assert "This report is finished" in late.json()["detail"]


def test_a_part_that_is_sent_twice_under_one_key_counts_once(api):
    part = {"endpoint": "crm", "name": "night", "rows": []}

    first = api.send(URL, part, **{"Idempotency-Key": "a"})
    again = api.send(URL, part, **{"Idempotency-Key": "a"})

    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"


def test_differences_are_listed_and_filtered(api, crm):
    DifferenceFactory(endpoint=crm)
    DifferenceFactory(kind="newer", settled_at=timezone.now(), settled_by="user:anna", settled_reason="Called them")

    [standing] = api.get(f"{URL}differences/?open=true&endpoint=crm").json()["results"]
    [settled] = api.get(f"{URL}differences/?open=false&kind=newer").json()["results"]

    assert (standing["kind"], standing["theirs"], standing["ours"]) == ("contactable", "opt_in", "opted_out")
    assert settled["settled_reason"] == "Called them"


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"endpoint": "nobody"}, "/endpoint"),
        ({"held_at": "2098-01-01T00:00:00Z"}, "/held_at"),
        ({"name": ""}, "/name"),
        ({"colour": "red"}, "/colour"),
        ({"rows": [{}]}, "/rows/0/subject"),
    ],
)
def test_a_report_that_cannot_be_is_refused_with_its_field(api, problem, wrong, pointer):
    body = problem(api.send(URL, {"endpoint": "crm", "name": "night", "rows": [], **wrong}), 400)

    assert body["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"purpose": "unheard-of"}, "purpose"), ({"subject": {"id": str(uuid4())}}, "subject/id")],
)
def test_a_row_that_cannot_be_is_refused_with_its_place(api, problem, wrong, field):
    row = {"subject": {"email": "anna@example.org"}, "purpose": "marketing", "channel": "email", "state": "opt_out"}

    body = problem(api.send(URL, {"endpoint": "crm", "name": "night", "rows": [row, {**row, **wrong}]}), 400)

    assert [fault["pointer"] for fault in body["errors"]] == [f"/rows/1/{field}"]
    assert not Decision.objects.exists()


def test_a_complete_report_settles_what_it_does_not_name(crm):
    anna = DifferenceFactory(endpoint=crm)
    elsewhere = DifferenceFactory()
    report = StateReportFactory(endpoint=crm, name="night")

    reports.finish(report, is_complete=True, by="service:crm")

    anna.refresh_from_db()
    elsewhere.refresh_from_db()
    assert (anna.settled_reason, elsewhere.settled_at) == ("Not named in night", None)


def test_nothing_is_compared_with_an_endpoint_that_is_retired(crm):
    endpoints.retire(crm, reason="Gone", by="user:someone")

    with pytest.raises(ValidationError, match="retired"):
        reports.begin(endpoints.Endpoint.objects.get(), "night", by="service:crm")


@pytest.mark.parametrize(
    "wrong",
    [{"settled_at": NOW}, {"settled_by": "user:anna"}, {"settled_at": NOW, "settled_by": "user:anna"}],
    ids=["by nobody", "at no time", "for no reason"],
)
def test_the_database_refuses_half_a_settlement(crm, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        DifferenceFactory(endpoint=crm, **wrong)


def test_the_database_keeps_one_open_finding_per_key(crm):
    first = DifferenceFactory(endpoint=crm)

    with pytest.raises(IntegrityError), transaction.atomic():
        DifferenceFactory(endpoint=crm, subject_id=first.subject_id)


# The command


def file(tmp_path, *lines, head="identifier,purpose,channel,state"):
    path = tmp_path / "crm.csv"
    path.write_text("\n".join([head, *lines]), encoding="utf-8")
    return str(path)


def reconciled(path, *options):
    said = StringIO()
    call_command("reconcile", path, "--endpoint", "crm", *options, stdout=said)
    return said.getvalue()


def test_a_file_that_says_the_same_ends_well(crm, tmp_path):
    [anna] = record([opt_out("anna@example.org")])
    path = file(tmp_path, "Anna@Example.org,marketing,email,opt_out", f"{anna.subject_id},marketing,email,opt_out")

    assert "2  same" in reconciled(path, "--complete")

    assert StateReport.objects.get().is_complete


def test_a_file_that_differs_says_in_what_and_ends_with_an_error(crm, tmp_path):
    path = file(
        tmp_path,
        "+4930901820,marketing,sms,opt_out,2026-01-01T00:00:00Z",
        "customer-7,marketing,email,opt_in,",
        head="identifier,purpose,channel,state,since",
    )
    said = StringIO()

    with pytest.raises(CommandError, match="They differ"):
        call_command("reconcile", path, "--endpoint", "crm", "--name", "night", stdout=said)

    assert "1  they held a no that nobody here knew: taken down" in said.getvalue()
    assert "1  they would write to somebody whom nobody here knows" in said.getvalue()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nobody@,marketing,email,opt_out", "Line 2, identifier"),
        ("a@example.org,unheard-of,email,opt_out", "Line 2, purpose: No such purpose"),
        ("a@example.org,marketing,pigeon,opt_out", "Line 2, channel"),
        ("a@example.org,marketing,email,out", "Line 2, state: A state is opt_in or opt_out"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(crm, tmp_path, line, words):
    with pytest.raises(CommandError, match=words):
        reconciled(file(tmp_path, line))

    assert not Decision.objects.exists()


def test_a_file_or_an_endpoint_that_is_not_there_is_said(crm, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        reconciled(str(tmp_path / "none.csv"))
    with pytest.raises(CommandError, match="no column identifier, state"):
        reconciled(file(tmp_path, head="purpose,channel"))
    with pytest.raises(CommandError, match=r"There is no endpoint shop\. Known: crm"):
        call_command("reconcile", file(tmp_path), "--endpoint", "shop")


# At the desk


def test_the_desk_sees_counts_per_endpoint_and_settles_with_a_reason(crm, client):
    difference = DifferenceFactory(endpoint=crm)
    client.force_login(UserFactory(username="olga", role="Officer"))

    listed = client.get(reverse("admin:messaging_endpoint_changelist")).content.decode()
    page = client.get(reverse("admin:messaging_difference_change", args=[difference.pk])).content.decode()
    client.post(
        reverse("admin:messaging_difference_settle", args=[difference.pk]),
        {"_form_submitted": "on", "reason": "They mended it"},
    )

    assert "1 key" in listed
    assert "they would write, and here it is an opt-out" in page
    difference.refresh_from_db()
    assert (difference.settled_by, difference.settled_reason) == ("user:olga", "They mended it")


def test_a_support_agent_sees_differences_and_settles_none(crm, client):
    difference = DifferenceFactory(endpoint=crm)
    client.force_login(UserFactory(role="Support"))

    assert client.get(reverse("admin:messaging_difference_changelist")).status_code == 200
    client.post(
        reverse("admin:messaging_difference_settle", args=[difference.pk]),
        {"_form_submitted": "on", "reason": "They mended it"},
    )

    assert Difference.objects.open().exists()


def test_what_is_settled_is_settled_once_and_for_a_reason(crm):
    difference = DifferenceFactory(endpoint=crm)

    with pytest.raises(ValidationError, match="Say what was done"):
        reports.settle(difference, reason=" ", by="user:anna")
    reports.settle(difference, reason="Mended", by="user:anna")
    with pytest.raises(ValidationError, match="settled already"):
        reports.settle(difference, reason="Mended", by="user:anna")
