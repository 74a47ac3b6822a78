"""Contacts that services made themselves: reported, kept without addresses, held against what people had said."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from config.models import Scope
from consent import story
from consent.identifiers import Identity
from consent.models import Consent, Purpose, Subject
from consent.services import confirm_reversal, merge, record, request_reversal
from incidents import validation
from incidents.invariants import looking, news, sending
from incidents.models import Alarm, Incident
from messaging import contacts
from messaging.models import Contact
from tests.api.conftest import Api
from tests.api.conftest import problem as problem
from tests.factories import ContactFactory, PurposeFactory, SubjectFactory, UserFactory, email, opt_in, opt_out

URL = "/api/v1/contacts/"
ANNA = {"email": "anna@example.org"}


@pytest.fixture
def marketing(db):
    return PurposeFactory(code="marketing")


@pytest.fixture
def api(marketing):
    return Api(Scope.CONTACTS_WRITE, Scope.CONTACTS_READ)


def sent(subject=None, *, minutes_ago=0, **facts):
    moment = timezone.now() - timedelta(minutes=minutes_ago)
    body = {
        "subject": ANNA if subject is None else subject,
        "purpose": "marketing",
        "channel": "email",
        "contacted_at": moment.isoformat(),
    }
    return {**body, **facts}


# Reporting


def test_a_contact_is_kept_with_its_person_and_without_the_address(api):
    [anna] = record([opt_out("anna@example.org")])

    made = api.send(URL, sent(reference="May offers"))

    assert made.status_code == 201, made.content
    assert made.json()["subject"] == str(anna.subject_id)
    assert made.json()["service"].startswith("service:")
    row = Contact.objects.get()
    assert bytes(row.digest) == email("anna@example.org")[0].digest
    assert "anna" not in str(Contact.objects.values().get())
    assert api.get(URL).json()["results"] == [made.json()]


def test_people_whom_nobody_knows_are_taken_and_no_person_is_made_for_them(api):
    made = api.send(URL, sent({"phone": "+49 30 901820"}, channel="phone"))

    assert made.status_code == 201, made.content
    assert made.json()["subject"] is None
    assert not Subject.objects.exists()


def test_a_thousand_are_taken_in_a_handful_of_statements(api, django_assert_max_num_queries):
    told = [sent({"email": f"reader{n}@example.org"}, minutes_ago=1) for n in range(1000)]

    with django_assert_max_num_queries(15):
        made = api.send(URL, {"contacts": told})

    assert made.status_code == 201, made.content
    assert (made.json()["new"], len(made.json()["contacts"])) == (1000, 1000)
    assert Contact.objects.count() == 1000


def test_what_is_reported_twice_is_one_contact(api):
    one, other = sent(reference="a"), sent(reference="b")

    first = api.send(URL, {"contacts": [one, other, one]}).json()
    again = api.send(URL, {"contacts": [other]}).json()

    assert (first["new"], again["new"]) == (3, 0)
    assert first["contacts"][0] == first["contacts"][2]
    assert again["contacts"] == first["contacts"][1:2]
    assert Contact.objects.count() == 2


def test_the_same_key_gets_the_same_answer(api):
    headers = {"Idempotency-Key": "may-1"}
    body = sent()

    first, again = api.send(URL, body, **headers), api.send(URL, body, **headers)

    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"purpose": "unheard-of"}, "/purpose"),
        ({"channel": "pigeon"}, "/channel"),
        ({"channel": "*"}, "/channel"),
        ({"contacted_at": "2098-01-01T00:00:00Z"}, "/contacted_at"),
        ({"contacted_at": "2026-01-01T00:00:00"}, "/contacted_at"),
        ({"subject": {}}, "/subject"),
        ({"subject": {"email": "a@example.org", "user_id": "7"}}, "/subject"),
        ({"subject": {"email": "nobody"}}, "/subject/email"),
        ({"subject": {"id": str(uuid4())}}, "/subject/id"),
        ({"reference": "x" * 201}, "/reference"),
        ({"campaign": "May"}, "/campaign"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(api, problem, wrong, pointer):
    alone = problem(api.send(URL, sent(**wrong)), 400)
    among = problem(api.send(URL, {"contacts": [sent(), sent(**wrong)]}), 400)

    assert [fault["pointer"] for fault in alone["errors"]] == [pointer]
    assert [fault["pointer"] for fault in among["errors"]] == [f"/contacts/1{pointer}"]
    assert not Contact.objects.exists()


def test_more_than_a_thousand_are_refused_at_once(api, problem):
    body = problem(api.send(URL, {"contacts": [sent()] * 1001}), 400)

    assert body["errors"][0]["pointer"] == "/contacts"


@pytest.mark.parametrize(
    ("scope", "method"),
    [
        (Scope.CONTACTS_READ, "post"),
        (Scope.CONTACTS_WRITE, "get"),
        (Scope.DECISIONS_WRITE, "post"),
        (Scope.MESSAGES_READ, "get"),
    ],
)
def test_reporting_and_reading_each_have_a_scope(marketing, problem, scope, method):
    caller = Api(scope)

    answer = caller.send(URL, sent()) if method == "post" else caller.get(URL)

    problem(answer, 403, "missing_scope")


def test_pages_follow_one_another_and_filters_narrow_them(api):
    made = [str(row.pk) for row in ContactFactory.create_batch(5)]
    other = ContactFactory(service="service:crm", channel="sms")

    seen, url = [], f"{URL}?page_size=2&service=service:shop"
    while url:
        page = api.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]

    assert seen == made[::-1]
    [found] = api.get(f"{URL}?channel=sms&subject={other.subject_id}").json()["results"]
    assert found["id"] == str(other.pk)


def test_a_contact_is_never_changed_nor_deleted(marketing):
    row = ContactFactory()

    for change in (row.save, row.delete):
        with pytest.raises(PermissionDenied):
            change()


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject_id": None},
        {"kind": "email"},
        {"channel": "pigeon"},
        {"contacted_at": timezone.now() + timedelta(days=1)},
    ],
    ids=["nobody", "a kind without an index", "no channel", "the future"],
)
def test_the_database_refuses_a_contact_that_cannot_be(marketing, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        ContactFactory(**wrong)


def test_the_auditors_login_reads_all_but_the_services_own_names(marketing):
    granted = "SELECT has_column_privilege('holdfast_auditor', 'messaging_contact', %s, 'SELECT')"
    with connection.cursor() as cursor:
        found = {
            name: cursor.execute(granted, [name]).fetchone()[0] for name in ("service", "contacted_at", "reference")
        }

    assert found == {"service": True, "contacted_at": True, "reference": False}


def test_a_persons_story_tells_who_contacted_them(api):
    [anna] = record([opt_out("anna@example.org")])
    api.send(URL, sent())

    lines = [entry.text for entry in story.tell([anna.subject_id]) if entry.kind == "contact"]

    assert len(lines) == 1
    assert "about marketing by e-mail, as service:" in lines[0]


def test_contacts_are_found_by_address_or_number_by_those_who_may_see_people(client, marketing):
    contact(seconds=-90)
    contact(Identity.of("phone", "+4930123456"), seconds=-90, channel="sms")

    def found(role, term):
        client.force_login(UserFactory(role=role))
        return client.get("/admin/messaging/contact/", {"q": term}).content.decode().count("service:shop")

    assert found("Officer", "anna@example.org") == found("Officer", "+49 30 123456") == 1
    assert found("Officer", "somebody@example.org") == 0
    assert found("Auditor", "anna@example.org") == 0


# After an opt-out (I3)


def breaches():
    """Of all that was reported, known by its key."""
    rows = looking.among(sending.REPORTED, list(Contact.objects.values_list("pk", flat=True)))
    return [int(row.key.rpartition(":")[2]) for row in rows]


def fresh():
    """Of what was reported since the last look."""
    with transaction.atomic():
        return [row.key for row in sending.nobody_is_contacted_after(news()).rows]


def contact(subject="anna@example.org", *, seconds=0, **facts):
    """So many seconds from now; the clock of the database has no say in it."""
    row = contacts.NewContact(
        subject=email(subject)[0] if isinstance(subject, str) else subject,
        **{
            "purpose": "marketing",
            "channel": "email",
            "contacted_at": timezone.now() + timedelta(seconds=seconds),
            **facts,
        },
    )
    return contacts.report([row], by="service:shop")[0].contact.pk


@pytest.fixture
def people(committed):
    PurposeFactory(code="marketing")
    PurposeFactory(code="news")
    PurposeFactory(code="safety", regime=Purpose.Regime.MANDATORY)


@pytest.mark.parametrize("said", [("marketing", "email"), ("*", "email"), ("marketing", "*"), ("*", "*")])
def test_a_contact_a_minute_after_the_opt_out_breaks_the_promise(people, said):
    record([opt_out("anna@example.org", *said)])

    contact(seconds=30)
    late = contact(seconds=90)

    assert breaches() == [late]


def test_what_was_not_covered_by_the_no_is_no_breach(people):
    batch = {"explicit": False, "cause": "import"}
    record([opt_out("anna@example.org"), opt_out("list@example.org", **batch)])

    contact(seconds=90, purpose="news")
    contact(seconds=90, channel="sms")
    contact(seconds=90, purpose="safety")
    contact("ben@example.org", seconds=90)
    contact("list@example.org", seconds=90)
    contact(seconds=-90)

    assert breaches() == []


def come_back(subject_id):
    confirm_reversal(request_reversal(subject_id, "marketing", "email").pk)


def test_the_state_at_the_moment_of_the_contact_counts_not_that_of_the_report(people):
    [anna] = record([opt_out("anna@example.org")])
    come_back(anna.subject_id)
    history = Consent.history.filter(subject_id=anna.subject_id).order_by("version")
    out, back_in = history.values_list("changed_at", flat=True)

    contact(contacted_at=back_in)
    contact(seconds=90)

    assert back_in - out < sending.GRACE
    assert breaches() == []


def test_a_contact_while_they_were_out_stays_a_breach_after_they_came_back(people, monkeypatch):
    monkeypatch.setattr(sending, "GRACE", timedelta())
    [anna] = record([opt_out("anna@example.org")])
    while_out = contact()
    come_back(anna.subject_id)
    contact()

    assert breaches() == [while_out]


def test_an_address_that_becomes_known_later_is_held_against_its_person(people):
    late = contact("new@example.org", seconds=90)
    assert breaches() == []

    record([opt_out("new@example.org")])

    assert breaches() == [late]


def test_a_person_who_was_merged_is_one_person(people):
    anna, twin = SubjectFactory(), SubjectFactory()
    record([opt_out(anna)])
    merge(anna.pk, twin.pk, reason="One person", by="user:someone")

    late = contact(anna.pk, seconds=90)

    assert breaches() == [late]


def test_a_reader_goes_on_where_it_stopped_and_waits_for_what_is_under_way(people, cluster):
    record([opt_out("anna@example.org")])
    first = contact(seconds=90)
    assert fresh() == [f"I3:reported:{first}"]

    with cluster.connect("superuser", autocommit=False) as away:  # it holds back what comes after it
        away.execute("SELECT pg_current_xact_id()")
        second = contact(seconds=91)
        assert fresh() == []

    assert fresh() == [f"I3:reported:{second}"]


def test_a_breach_is_told_once_in_one_incident_of_the_highest_severity(people):
    record([opt_out("anna@example.org"), opt_in("ben@example.org")])
    first, second = contact(seconds=90), contact(seconds=95)
    contact("ben@example.org", seconds=90)

    assert validation.look() == 2
    assert validation.look() == 0

    keys = set(Alarm.objects.values_list("key", flat=True))
    assert keys == {f"I3:reported:{first}", f"I3:reported:{second}"}
    incident = Incident.objects.get()
    assert (incident.severity, incident.dedup_key) == ("sev1", "zero:I3")
    assert any("service:shop about marketing/email" in line.text for line in incident.timeline.all())
