"""An older copy of the database is restored under the running product: a real copy of a real database, swapped in."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, transaction
from django.urls import reverse
from django.utils import timezone

from config.health import COLLECTORS, DETAILS
from config.roles import close
from config.stack.valkey import Valkey
from consent import journal, older_copy, opt_out_journal, restoring, validation
from consent.identifiers import Identity
from consent.models import Batch, Consent, Decision, GuardChange, Identifier, Purpose, Subject
from consent.services import Query as May
from consent.services import check, confirm_reversal, erase, guard_level, merge, open_batch, record, request_reversal
from incidents.invariants import INVARIANTS, everything
from incidents.lifecycle import contain
from incidents.models import Incident, PlaybookRun, Restore, TimelineEntry
from incidents.playbooks import attaching
from incidents.restores import heads, vitals, witnesses
from incidents.restores.letting_go import let_go
from incidents.restores.report import as_row, obstacles, uncovered
from incidents.restores.watching import look
from incidents.validation import guarding
from messaging import confirmations, delivery
from messaging.holding import hold_sending
from messaging.holding import let_go as release
from messaging.models import Message, SendHold
from tests.api.conftest import Api
from tests.conftest import DATABASE
from tests.factories import (
    EndpointFactory,
    ExitPathFactory,
    MessageFactory,
    PurposeFactory,
    RestoreFactory,
    SubjectFactory,
    UserFactory,
    WebhookDeliveryFactory,
    email,
    incident,
    opt_in,
    opt_out,
)
from tests.messaging.smtp import inbox

COPY = "holdfast_copy"


class TimeMachine:
    """A backup of the tests' database, and the restore of it."""

    def __init__(self, cluster):
        self.cluster = cluster

    def back_up(self):
        connections.close_all()
        self._run(f"DROP DATABASE IF EXISTS {COPY}")
        self._run(f"CREATE DATABASE {COPY} TEMPLATE {DATABASE} OWNER holdfast_owner STRATEGY FILE_COPY")

    def restore(self):
        connections.close_all()
        self._run(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        self._run(f"CREATE DATABASE {DATABASE} TEMPLATE {COPY} OWNER holdfast_owner STRATEGY FILE_COPY")
        with self._admin() as admin:
            close(admin, DATABASE)

    def forget(self):
        self._run(f"DROP DATABASE IF EXISTS {COPY}")

    def _admin(self):
        return psycopg.connect(self.cluster.admin_url, autocommit=True)

    def _run(self, statement):
        with self._admin() as admin:
            admin.execute(statement.encode())


@pytest.fixture
def watched(settings, committed, tmp_path):
    """A host with a disk of its own, and no Valkey."""
    settings.OPT_OUT_JOURNAL_DAYS, settings.SPOOL_DIR = 7, str(tmp_path / "spool")
    PurposeFactory(code="marketing")
    PurposeFactory(code="news")
    return Path(settings.SPOOL_DIR)


@pytest.fixture
def machine(committed, watched):
    machine = TimeMachine(committed)
    yield machine
    connections.close_all()
    machine.forget()


@pytest.fixture(scope="module")
def running_valkey(tmp_path_factory):
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey(running_valkey, settings):
    settings.REDIS_URL = f"unix://{running_valkey.socket}?db=0"
    with witnesses._valkey() as broker:
        broker.flushdb()


def a_day_goes_by():
    """What workers do every few seconds: the journal is kept, the mark is set."""
    opt_out_journal.keep()
    assert look() == 0


def opted_out():
    """Whom nobody may contact, by person: the very thing that must be equal before and after."""
    rows = Consent.objects.explicitly_opted_out().values_list("subject_id", "purpose", "channel", "decided_at")
    return Counter(rows)


def facts_of(decision):
    return (
        decision.subject_id, decision.purpose, decision.channel, decision.choice, decision.explicit, decision.cause,
        decision.decided_at, decision.actor, decision.exit_path, decision.locale,
    )  # fmt: skip


@pytest.fixture
def went_back(machine):
    """Ten people opted out before the backup and ten after it; the backup was restored."""
    record([opt_out(f"before{n}@example.org") for n in range(10)])
    a_day_goes_by()
    machine.back_up()
    record([opt_out(f"after{n}@example.org", reasons=["footer"], locale="de") for n in range(10)])
    a_day_goes_by()
    before = opted_out()
    machine.restore()
    return before


# Found, and put right


def test_a_restored_copy_gets_its_opt_outs_back_to_the_last_and_sending_waits(went_back):
    assert len(opted_out()) == 10

    assert look() > 0

    assert opted_out() == went_back
    restore = Restore.objects.get()
    assert (restore.state, restore.witness) == ("replayed", "file")
    assert (restore.opt_outs, restore.people, restore.people_made) == (10, 10, 10)
    assert restoring.compare().is_equal
    assert guard_level() == "freeze"
    held = {(hold.scope, hold.value) for hold in SendHold.objects.active(timezone.now())}
    assert held == {("lane", "bulk"), ("message_class", "consent_update"), ("message_class", "operational")}


def test_what_is_put_back_is_what_was_said_and_says_that_it_was_put_back(machine):
    a_day_goes_by()
    machine.back_up()
    path = ExitPathFactory(code="footer-link")
    record([opt_out("anna@example.org", exit_path=path.pk, reasons=["called"], locale="de", actor="service:shop")])
    original = Decision.objects.get()
    a_day_goes_by()
    machine.restore()
    ExitPathFactory(code="footer-link")

    look()

    again = Decision.objects.get()
    assert facts_of(again) == facts_of(original)
    assert again.reasons == ["called", "restored"]
    address = Identifier.objects.get(subject=again.subject_id)
    assert bytes(address.digest) == Identity.of("email", "anna@example.org").digest
    assert not check([May(email("anna@example.org")[0], "marketing", "email")])[0].allowed


def test_a_check_says_no_from_the_first_question_on_although_nobody_has_looked_yet(went_back):
    Purpose.objects.update(regime="opt_out")
    api = Api()

    def reason(address):
        return api.get("/api/v1/check/", {"email": address, "purpose": "marketing", "channel": "email"}).json()[
            "reason"
        ]

    assert reason("after3@example.org") == reason("stranger@example.org") == "restore_under_way"
    look()
    assert (reason("after3@example.org"), reason("stranger@example.org")) == ("explicit_opt_out", "no_objection")


def test_what_lies_outside_is_asked_once_a_session(committed, monkeypatch):
    asked = []
    monkeypatch.setattr(older_copy, "WITNESSES", [lambda: bool(asked.append("file"))])
    for _ in range(2):
        connections.close_all()
        assert [older_copy.is_possible() for _ in range(3)] == [False, False, False]

    assert len(asked) == 2


def test_a_second_look_changes_nothing(went_back):
    look()
    decisions, lines = Decision.objects.count(), TimelineEntry.objects.count()

    assert look() == look() == 0

    assert (Decision.objects.count(), TimelineEntry.objects.count()) == (decisions, lines)
    assert Restore.objects.get().opt_outs == 10
    assert GuardChange.objects.filter(level="freeze").count() == 1


def test_what_was_put_back_has_its_line_and_gets_no_second_one(went_back):
    look()

    assert opt_out_journal.keep() == 0
    assert len(list(opt_out_journal.opt_outs())) == 20


def test_an_incident_of_the_highest_severity_tells_it_and_its_playbook_fits(went_back):
    look()

    incident = Incident.objects.get()
    assert (incident.severity, incident.type, incident.dedup_key) == ("sev1", "drift", "restore:database")
    found, report = incident.timeline.filter(kind="detector").order_by("seq").values_list("text", flat=True)
    assert "an older copy was restored" in found
    assert "10 opt-outs of 10 people were missing and put back, 10 people of them unknown to the copy" in report
    assert "The database now holds all 20 lines of the journal" in report
    assert "Nobody can vouch for" in report
    attaching.start_by_signals()
    assert PlaybookRun.objects.get().playbook.slug == "stale-restore"


def test_numbers_that_the_copy_handed_out_again_hide_nothing(went_back):
    """Else a copy would look whole as soon as it had counted as far as the mark."""
    record([opt_out(f"new{n}@example.org") for n in range(10)])

    look()

    assert Restore.objects.get().opt_outs == 10
    assert len(opted_out()) == 30


def test_opt_outs_are_taken_all_the_while_and_confirmed_and_no_other_is_confirmed_twice(went_back, sending_by):
    look()
    record([opt_out("meanwhile@example.org")])

    with inbox() as box:
        sending_by(f"relay=smtp://127.0.0.1:{box.port}")
        confirmations.owe_all()
        delivery.deliver_due(100, lane=Message.Lane.CRITICAL)

    written_to = sorted(mail.recipients[0] for mail in box.mails)
    assert written_to == [f"before{n}@example.org" for n in range(10)] + ["meanwhile@example.org"]
    assert INVARIANTS["I6"].ask(everything()).verdict == "met"


def test_what_was_due_in_the_copy_is_held_because_it_may_have_gone_out(machine):
    confirmation = MessageFactory(message_class="confirmation", lane="critical")
    notice = MessageFactory(message_class="privacy_notice", lane="critical")
    record([opt_out("anna@example.org")])
    a_day_goes_by()
    machine.back_up()
    record([opt_out("ben@example.org")])
    a_day_goes_by()
    machine.restore()

    look()

    assert Message.objects.get(pk=confirmation.pk).state == "held"
    assert Message.objects.get(pk=notice.pk).state == "pending"
    assert Restore.objects.get().messages_held == 1


def test_however_many_were_due_each_is_held_and_says_why(machine, monkeypatch):
    monkeypatch.setattr("messaging.services.AT_ONCE", 2)
    due = MessageFactory.create_batch(5, message_class="confirmation", lane="critical")
    record([opt_out("anna@example.org")])
    a_day_goes_by()
    machine.back_up()
    record([opt_out("ben@example.org")])
    a_day_goes_by()
    machine.restore()

    look()

    held = Message.objects.filter(pk__in=[message.pk for message in due], state="held")
    assert held.count() == 5
    assert {event.payload["by"] for message in held for event in message.events.all()} == {"system:restore"}
    assert Restore.objects.get().messages_held == 5


def test_who_was_erased_is_erased_again(machine):
    [anna] = record([opt_out("anna@example.org")])
    [ben] = record([opt_out("ben@example.org")])
    opt_out_journal.keep()
    machine.back_up()
    [cem] = record([opt_out("cem@example.org")])
    opt_out_journal.keep()
    erase(anna.subject_id, by="user:someone")
    erase(cem.subject_id, by="user:someone")
    opt_out_journal.keep_erasures()
    look()
    machine.restore()
    assert Identifier.objects.get(subject=anna.subject_id).sealed is not None

    look()

    sealed = {row.subject_id: row.sealed for row in Identifier.objects.all()}
    assert sealed[anna.subject_id] is None
    assert sealed[cem.subject_id] is None
    assert sealed[ben.subject_id] is not None
    assert Restore.objects.get().erased == 2
    assert Subject.objects.filter(erased_at__isnull=False).count() == 2
    assert not check([May(email("cem@example.org")[0], "marketing", "email")])[0].allowed


def test_an_opt_out_stands_where_the_way_back_in_was_lost(machine):
    [anna] = record([opt_in("anna@example.org")])
    a_day_goes_by()
    machine.back_up()
    record([opt_out("anna@example.org")])
    confirm_reversal(request_reversal(anna.subject_id, "marketing", "email").pk)
    a_day_goes_by()
    assert Consent.objects.get().state == "opt_in"
    machine.restore()

    look()

    assert Consent.objects.get().state == "opt_out"
    assert Restore.objects.get().lost["decisions"] == 1


def test_a_choice_made_after_the_restore_is_newer_than_what_is_put_back(machine):
    record([opt_out("anna@example.org")])
    a_day_goes_by()
    machine.back_up()
    [ben] = record([opt_out("ben@example.org")])
    a_day_goes_by()
    machine.restore()
    [again] = record([opt_in("ben@example.org")])

    look()

    assert again.subject_id != ben.subject_id
    assert Consent.objects.get(subject=again.subject_id).state == "opt_in"
    said = Decision.objects.filter(subject=again.subject_id).values_list("choice", flat=True)
    assert sorted(said) == ["opt_in", "opt_out"]
    assert restoring.compare().is_equal


def test_everybody_who_has_one_of_the_addresses_gets_the_opt_out(machine):
    first, twin = SubjectFactory(), SubjectFactory()
    record([opt_in(first)])
    a_day_goes_by()
    machine.back_up()
    merge(first.pk, twin.pk, reason="One person", by="user:someone")
    record([opt_out(email("anna@example.org"))])
    [anna] = Decision.objects.filter(choice="opt_out")
    record([opt_out(anna.subject_id, "news")])
    a_day_goes_by()
    machine.restore()
    [other] = record([opt_in("anna@example.org", "*", "*")])

    look()

    states = set(Consent.objects.filter(subject=other.subject_id).values_list("purpose", "state"))
    assert {("marketing", "opt_out"), ("news", "opt_out")} <= states


def test_what_no_person_chose_is_put_back_in_a_batch_of_its_own(machine):
    a_day_goes_by()
    machine.back_up()
    batch = open_batch("import", reason="Old list", by="user:someone")
    imported = {"explicit": False, "cause": "import", "batch_id": batch.pk}
    record([opt_out("list@example.org", **imported), opt_out("anna@example.org")])
    a_day_goes_by()
    machine.restore()

    look()

    made = Batch.objects.get()
    assert made.kind == "restore"
    assert [d.batch_id for d in Decision.objects.order_by("explicit")] == [made.pk, None]


def test_a_purpose_that_the_copy_does_not_know_is_registered_hidden_and_closed(machine, monkeypatch):
    a_day_goes_by()
    machine.back_up()
    PurposeFactory(code="offers", regime="opt_out")
    record([opt_out("anna@example.org", "offers")])
    a_day_goes_by()
    machine.restore()
    monkeypatch.setattr(validation.purposes, "seen", set())

    look()

    purpose = Purpose.objects.get(code="offers")
    assert (purpose.regime, purpose.is_public) == ("opt_in", False)
    assert Consent.objects.get(purpose="offers").state == "opt_out"


def test_a_copy_that_is_older_than_the_journal_says_which_days_nobody_knows(machine, watched):
    machine.back_up()
    record([opt_out("anna@example.org")])
    a_day_goes_by()
    for path in (watched / "opt-outs").glob("out-*"):
        path.unlink()
    record([opt_out("ben@example.org")])
    a_day_goes_by()
    machine.restore()

    look()

    restore = Restore.objects.get()
    assert (restore.opt_outs, restore.lost["decisions"]) == (1, 1)
    assert [span["why"] for span in restore.uncovered] == [
        "the journal does not reach back so far",
        "after the last opt-out that the journal had",
    ]


def test_one_process_of_a_host_is_at_it_at_a_time(went_back, watched):
    with journal.alone(watched / "opt-outs"):
        assert look() == 0

    assert not Restore.objects.exists()
    assert look() > 0


# What finds it


def test_a_host_that_lost_its_disk_hears_of_it_from_valkey(machine, valkey, watched):
    record([opt_out("anna@example.org")])
    machine.back_up()
    record([opt_in("ben@example.org")])
    a_day_goes_by()
    machine.restore()
    (watched / "database.mark").unlink()

    look()

    assert Restore.objects.get().witness == "valkey"


def test_the_last_seconds_lost_in_a_failover_are_found_by_the_journal(machine):
    """The mark was set before them, and the journal was written after each choice."""
    record([opt_out("anna@example.org")])
    a_day_goes_by()
    machine.back_up()
    record([opt_out("ben@example.org")])
    opt_out_journal.keep()
    machine.restore()

    look()

    assert Restore.objects.get().witness == "journal"
    assert len(opted_out()) == 2


def test_a_lost_opt_in_is_found_too(machine):
    a_day_goes_by()
    machine.back_up()
    record([opt_in("anna@example.org")])
    a_day_goes_by()
    machine.restore()

    look()

    restore = Restore.objects.get()
    assert (restore.state, restore.opt_outs, restore.lost["decisions"]) == ("replayed", 0, 1)


def test_a_log_that_came_from_another_server_is_found_by_its_transactions(machine, committed, watched):
    """`pg_dump` into a new server: nothing is missing, and no reader would ever see a new choice."""
    [anna] = record([opt_out("anna@example.org")])
    a_day_goes_by()
    with committed.connect("superuser") as superuser:
        superuser.execute("ALTER TABLE consent_decision DISABLE TRIGGER ALL")
        superuser.execute("UPDATE consent_decision SET tx = 99999999999 WHERE id = %s", [anna.id])
    (watched / "database.mark").unlink()
    next((watched / "opt-outs").glob("out-*")).unlink()

    look()

    restore = Restore.objects.get()
    assert (restore.witness, restore.counter_is_behind) == ("counter", True)
    assert "set it forward with pg_resetwal" in restore.incident.timeline.order_by("-seq").first().text
    with pytest.raises(ValidationError, match="pg_resetwal"):
        let_go(restore, reason="Looked", by=UserFactory())


def test_nothing_is_found_while_all_is_well_nor_in_an_empty_database(machine):
    assert look() == 0
    record([opt_out("anna@example.org")])
    assert look() == 0
    record([opt_in("ben@example.org")])
    opt_out_journal.keep()
    assert look() == 0

    assert not Restore.objects.exists()
    assert not SendHold.objects.exists()


def test_a_mark_that_somebody_wrote_by_hand_says_nothing(machine, watched):
    a_day_goes_by()
    (watched / "database.mark").write_bytes(b"bm90IG91cnM=")

    assert look() == 0
    assert set(witnesses.read()) == {"file"}  # written anew


def test_a_disk_that_takes_no_mark_keeps_nothing_else_from_being_done(machine, settings):
    settings.SPOOL_DIR = "/proc/nowhere"

    assert look() == 0


def test_where_no_journal_is_kept_nobody_looks(went_back, settings):
    settings.OPT_OUT_JOURNAL_DAYS = 0

    assert look() == 0
    assert not Restore.objects.exists()


def test_the_mark_says_what_services_had_taken(machine):
    delivery_ = WebhookDeliveryFactory(endpoint=EndpointFactory(name="crm"), state="delivered")
    WebhookDeliveryFactory(endpoint=delivery_.endpoint)

    assert heads.read().told == {"crm": delivery_.webhook_id}


def test_it_may_go_back_again_before_anybody_let_go(went_back, machine):
    look()
    machine.back_up()
    record([opt_out("later@example.org")])
    a_day_goes_by()
    everybody = opted_out()
    machine.restore()

    look()

    restore = Restore.objects.get()
    assert (restore.times_found, restore.state, restore.opt_outs) == (2, "replayed", 11)
    assert opted_out() == everybody


def test_a_copy_from_before_the_last_restore_is_found_by_the_epoch(went_back, machine):
    look()
    let_go(Restore.objects.get(), reason="Looked", by=UserFactory())
    assert look() == 0
    first = heads.epoch()
    machine.restore()
    everybody = len(went_back)

    look()

    assert Restore.objects.get().state == "replayed"
    assert heads.epoch() != first
    assert len(opted_out()) == everybody


# Let go


@pytest.fixture
def put_back(went_back):
    look()
    return Restore.objects.get()


def test_a_person_lets_go_and_all_is_as_it_was(put_back):
    officer = UserFactory(username="olga")

    let_go(put_back, reason="Looked at ten people", by=officer)

    put_back.refresh_from_db()
    assert (put_back.state, put_back.let_go_by) == ("let_go", "user:olga")
    assert not SendHold.objects.active(timezone.now()).exists()
    assert guard_level() == "observe"
    put_back.incident.refresh_from_db()
    assert (put_back.incident.status, put_back.incident.contained_by) == ("contained", "user:olga")
    assert put_back.incident.timeline.order_by("-seq").first().text == "Sending goes on. Looked at ten people"
    assert look() == 0
    assert Restore.objects.count() == 1


@pytest.mark.parametrize(("type_", "level"), [("bulk_resubscribe", "freeze"), ("drift", "protect")])
def test_the_guard_stays_up_for_another_fire_of_the_same_night_and_goes_down_with_it(put_back, type_, level):
    other = incident(type=type_)

    let_go(put_back, reason="Looked at ten people", by=UserFactory())

    assert guard_level() == level
    contain(other, reason="Job stopped", by="user:anna")
    guarding.follow()
    assert guard_level() == "observe"


def test_the_guard_that_another_fire_had_raised_before_goes_down_where_that_is_out(went_back):
    other = incident(type="drift")
    guarding.follow()
    look()
    contain(other, reason="Put right", by="user:anna")

    let_go(Restore.objects.get(), reason="Looked at ten people", by=UserFactory())

    assert guard_level() == "observe"


def test_nobody_lets_go_while_something_is_missing(put_back, machine, watched):
    [path] = (watched / "opt-outs").glob("out-*")
    line = next(line for line in opt_out_journal.opt_outs())
    path.write_bytes(path.read_bytes() + opt_out_journal._line(_another(line)))

    with pytest.raises(ValidationError, match="1 opt-out and 0 erasures that the database does not have"):
        let_go(put_back, reason="Looked", by=UserFactory())

    assert SendHold.objects.active(timezone.now()).count() == 3


def test_nobody_lets_go_where_more_cannot_be_read_than_a_crash_cuts_off(put_back, watched):
    [path] = (watched / "opt-outs").glob("out-*")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "cut o\n')
    assert not list(obstacles_after_a_look(put_back))
    path.write_bytes(whole + b'{"key": "cut o\n' * 2)

    with pytest.raises(ValidationError, match="2 lines that cannot be read, more than crashes cut off"):
        let_go(put_back, reason="Looked", by=UserFactory())

    assert SendHold.objects.active(timezone.now()).count() == 3
    path.rename(watched / "damaged")
    let_go(put_back, reason="Looked elsewhere", by=UserFactory())


def obstacles_after_a_look(restore):
    restore.journals[opt_out_journal.name()] = as_row(restoring.compare())
    return obstacles(restore)


def _another(line):
    return type(line)(**{name: getattr(line, name) for name in line.__slots__} | {"id": line.id + 1000})


def test_nobody_lets_go_while_opt_outs_are_being_put_back(watched):
    restore = RestoreFactory(state="found", let_go_at=None, let_go_by="", let_go_reason="")

    with pytest.raises(ValidationError, match="still being put back"):
        let_go(restore, reason="Looked", by=UserFactory())


def test_nobody_lets_go_where_the_journal_cannot_be_read(put_back, settings):
    settings.SPOOL_DIR = "/proc/nowhere"

    with pytest.raises(ValidationError, match="This host's journal cannot be read"):
        let_go(put_back, reason="Looked", by=UserFactory())


def test_nobody_lets_go_without_a_word_nor_twice(put_back):
    with pytest.raises(ValidationError, match="Say what you looked at"):
        let_go(put_back, reason=" ", by=UserFactory())

    let_go(put_back, reason="Looked", by=UserFactory(username="olga"))
    with pytest.raises(ValidationError, match="user:olga let it go already"):
        let_go(put_back, reason="Looked", by=UserFactory())


def test_bulk_stays_held_where_a_playbooks_hold_ends(went_back):
    theirs = hold_sending(
        "lane", "bulk", reason="Stale", by="system:playbook", until=timezone.now() + timedelta(minutes=720)
    )
    look()

    release(theirs, reason="Over", by="system:playbook")

    assert SendHold.objects.active(timezone.now()).filter(value="bulk", until=None, held_by="system:restore").exists()


def test_what_a_person_held_or_set_stays(went_back):
    hold_sending("lane", "bulk", reason="A campaign went wrong", by="user:anna")
    look()
    restore = Restore.objects.get()
    GuardChange.objects.create(level="freeze", reason="I want it so", changed_by="user:anna")

    let_go(restore, reason="Looked", by=UserFactory())

    assert [hold.held_by for hold in SendHold.objects.active(timezone.now())] == ["user:anna"]
    assert guard_level() == "freeze"


def test_the_button_is_there_for_whoever_may_and_says_what_is_in_the_way(put_back, client):
    page = reverse("admin:incidents_restore_change", args=[put_back.pk])
    button = reverse("admin:incidents_restore_let_go", args=[put_back.pk])
    client.force_login(UserFactory(role="Auditor"))
    seen = client.get(page).content.decode()
    assert "Nothing: look at ten people" in seen
    assert button not in seen
    client.post(button, {"_form_submitted": "on", "reason": "Looked"})
    assert Restore.objects.get().state == "replayed"

    client.force_login(UserFactory(role="Officer"))
    assert button in client.get(page).content.decode()
    client.post(button, {"_form_submitted": "on", "reason": "Looked"})

    assert Restore.objects.get().state == "let_go"


def test_operators_see_that_it_stands_open(put_back):
    told = {metric.name: metric.samples[0].value for metric in vitals.metrics()}

    assert told["holdfast_database_went_back"] == 1
    assert told["holdfast_database_mark_age_seconds"] < 60
    assert DETAILS["restore"]() == "replayed"
    assert vitals.metrics in COLLECTORS


@pytest.mark.parametrize(
    "wrong",
    [{"let_go_by": ""}, {"let_go_reason": ""}, {"state": "found"}, {"let_go_at": None}],
    ids=["nobody", "no reason", "still open", "no moment"],
)
def test_the_database_refuses_a_restore_that_nobody_let_go(watched, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        RestoreFactory(**wrong)


def test_one_restore_stands_open_at_a_time(watched):
    facts = {"state": "found", "let_go_at": None, "let_go_by": "", "let_go_reason": ""}
    RestoreFactory(**facts)

    with pytest.raises(IntegrityError), transaction.atomic():
        RestoreFactory(**facts)


def test_spans_without_a_witness_are_reckoned_plainly():
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    hours = [monday + timedelta(hours=n) for n in range(4)]

    def spans(*facts):
        return [(span["from"], span["to"]) for span in uncovered(*facts)]

    assert spans(hours[1], hours[0], hours[2], hours[3]) == [(hours[2].isoformat(), hours[3].isoformat())]
    assert spans(hours[0], hours[1], hours[2], hours[3])[0] == (hours[0].isoformat(), hours[1].isoformat())
    assert spans(None, None, None, hours[3]) == [(None, hours[3].isoformat())]
