"""Decisions in an incident's window and scope are tied to it: as they come, and afterwards; each once."""

from datetime import timedelta
from threading import Event, Thread

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from consent.models import Decision
from consent.services import record
from incidents import linking, tasks
from incidents.models import Backfill, DecisionLink, DecisionMinute, DecisionRollup, Incident
from incidents.services import change_scope, close, declare, set_window
from tests.factories import ExitPathFactory, PurposeFactory, incident, opt_in, opt_out

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def marketing(committed):
    ExitPathFactory(code="footer-link")
    PurposeFactory(code="news")
    return PurposeFactory(code="marketing")


def people(count, first=0):
    return [f"person{n}@example.org" for n in range(first, first + count)]


def read_all():
    while linking.read_log():
        pass
    while linking.backfill():
        pass


def tied(of):
    return set(of.links.values_list("decision_id", flat=True))


def counted(of):
    """What the incident says about itself, in its three ways."""
    of.refresh_from_db()
    return of.linked_count, sum(of.rollups.values_list("count", flat=True)), of.links.count()


def test_a_new_decision_is_tied_to_every_open_incident_it_falls_into():
    first, second = incident(), incident(purposes=["marketing"])

    [decision] = record([opt_out("anna@example.org")])
    read_all()

    links = DecisionLink.objects.filter(decision_id=decision.id).order_by("incident_id")
    assert [link.incident for link in links] == [first, second]
    assert counted(first) == counted(second) == (1, 1, 1)


def test_opt_ins_and_what_nobody_chose_are_tied_too_and_the_rollup_tells_which():
    declared = incident()

    record([opt_out("a@example.org", exit_path="footer-link"), opt_out("b@example.org", exit_path="footer-link")])
    record([opt_in("c@example.org", explicit=False, cause="import")])
    read_all()

    rollups = sorted(declared.rollups.values_list("exit_path", "choice", "cause", "count"))
    assert rollups == [("", "opt_in", "import", 1), ("footer-link", "opt_out", "subject_choice", 2)]


@pytest.mark.parametrize(
    ("scope", "choice", "is_tied"),
    [
        ({}, {}, True),
        ({"purposes": ["marketing"]}, {"purpose": "marketing"}, True),
        ({"purposes": ["marketing"]}, {"purpose": "news"}, False),
        ({"purposes": ["marketing"]}, {"purpose": "*"}, True),
        ({"exit_paths": ["footer-link"]}, {"exit_path": "footer-link"}, True),
        ({"exit_paths": ["footer-link"]}, {"exit_path": ""}, False),
        ({"purposes": ["news"], "exit_paths": ["footer-link"]}, {"exit_path": "footer-link"}, False),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["as it comes", "afterwards"])
def test_scope_decides(scope, choice, is_tied, late):
    if not late:
        declared = incident(**scope)
    record([opt_out("anna@example.org", **choice)])
    read_all()
    if late:
        declared = incident(**scope)
        read_all()

    assert counted(declared) == ((1, 1, 1) if is_tied else (0, 0, 0))


def test_an_incident_declared_late_gets_what_was_read_before_in_steps_once_each():
    record([opt_out(person) for person in people(25)])
    read_all()

    late = incident()
    while linking.backfill(limit=4):
        pass
    Backfill.objects.create(incident=late, reason="asked twice")
    read_all()

    assert tied(late) == set(Decision.objects.values_list("pk", flat=True))
    assert counted(late) == (25, 25, 25)
    assert not Backfill.objects.filter(finished_at=None).exists()


def test_the_look_back_goes_on_while_the_log_always_has_news(monkeypatch):
    record([opt_out(person) for person in people(3)])
    read_all()
    declared = incident()
    record([opt_out(person) for person in people(2, first=3)])
    monkeypatch.setattr(linking.read_log, "__defaults__", (1,))
    monkeypatch.setattr(tasks, "TURN", 0)

    tasks.read_log()

    assert not Backfill.objects.filter(finished_at=None).exists()
    assert declared.links.count() == 5


def test_a_step_that_breaks_is_taken_again(committed):
    record([opt_out(person) for person in people(10)])
    read_all()
    late = incident()
    linking.backfill(limit=4)

    with transaction.atomic():
        linking.backfill(limit=4)
        transaction.set_rollback(True)  # the worker dies

    assert counted(late) == (4, 4, 4)
    read_all()
    assert counted(late) == (10, 10, 10)


def test_widening_ties_more_and_narrowing_unties_nothing():
    record([opt_out("anna@example.org"), opt_out("ben@example.org", purpose="news")])
    now = timezone.now()
    declared = declare("Late", occurred_from=now, by="user:anna", purposes=["news"])
    read_all()
    assert counted(declared) == (0, 0, 0)

    set_window(declared, now - MINUTE, None, reason="Began earlier", by="user:anna")
    read_all()
    assert counted(declared) == (1, 1, 1)

    change_scope(declared, purposes=[], exit_paths=[], reason="All of it", by="user:anna")
    read_all()
    assert counted(declared) == (2, 2, 2)

    change_scope(declared, purposes=["news"], exit_paths=[], reason="Not all", by="user:anna")
    set_window(declared, timezone.now(), None, reason="Only now", by="user:anna")
    read_all()
    assert counted(declared) == (2, 2, 2)


def test_a_closed_incident_still_owns_what_was_received_while_it_was_open():
    declared = incident()
    record([opt_out("anna@example.org")])
    close(declared, reason="Over", by="user:anna")

    record([opt_out("ben@example.org")])
    read_all()

    assert counted(declared) == (1, 1, 1)


def test_a_retrospective_incident_gets_its_own_window_only():
    record([opt_out("anna@example.org")])
    between = timezone.now()
    record([opt_out("ben@example.org")])

    declared = declare(
        "Looked at later", occurred_from=between - MINUTE, occurred_to=between, by="user:anna", mode="retrospective"
    )
    read_all()

    assert counted(declared) == (1, 1, 1)


def test_a_drill_ties_as_a_real_one_does():
    drill = incident(mode="drill")

    record([opt_out("anna@example.org")])
    read_all()

    assert counted(drill) == (1, 1, 1)


def test_an_incident_declared_while_a_batch_is_under_way_misses_none_of_it(committed):
    """The reader has looked at the incidents and not yet committed; the declaration commits in between."""
    other = incident("Earlier")
    read_all()
    record([opt_out("anna@example.org")])
    looked, may_commit = Event(), Event()

    def read_slowly():
        with transaction.atomic():
            linking.read_log()
            looked.set()
            may_commit.wait(10)
        connection.close()

    reader = Thread(target=read_slowly)
    reader.start()
    looked.wait(10)
    late = incident("Declared meanwhile")
    linking.backfill()
    may_commit.set()
    reader.join()
    read_all()

    assert counted(late) == counted(other) == (1, 1, 1)


def test_a_decision_that_commits_after_the_look_back_is_tied_by_the_reader(committed):
    slow = committed.connect("holdfast_app", autocommit=False)
    subject = record([opt_out("anna@example.org")])[0].subject_id
    slow.execute(
        "INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor) "
        "VALUES (%s, 'marketing', 'sms', 'opt_out', true, 'subject_choice', now(), 'subject')",
        [subject],
    )
    late = incident()
    read_all()
    assert Backfill.objects.get().finished_at

    slow.commit()
    slow.close()
    read_all()

    assert counted(late) == (2, 2, 2)


def test_declaring_and_widening_while_people_leave_misses_nobody_and_counts_nobody_twice(committed):
    """Writers, readers, declarations, look backs: real sessions, all at once."""
    stop = Event()
    errors = []

    def work(step):
        try:
            while not stop.is_set():
                step()
        except Exception as error:  # a deadlock would end up here
            errors.append(error)
        finally:
            connection.close()

    background = [Thread(target=work, args=[step]) for step in (linking.read_log, linking.backfill) for _ in range(2)]
    start = timezone.now() - MINUTE

    def leave(first):
        for n in range(12):
            record([opt_out(person) for person in people(5, first + 5 * n)])
        connection.close()

    def respond(n):
        for _ in range(3):
            declared = declare(f"Fire {n}", occurred_from=timezone.now(), by="user:anna")
            set_window(declared, start, None, reason="Began earlier", by="user:anna")
        connection.close()

    foreground = [Thread(target=leave, args=[1000 * n]) for n in range(3)]
    foreground += [Thread(target=respond, args=[n]) for n in range(3)]
    for thread in background + foreground:
        thread.start()
    for thread in foreground:
        thread.join()
    stop.set()
    for thread in background:
        thread.join()
    read_all()

    assert errors == []
    everybody = set(Decision.objects.values_list("pk", flat=True))
    assert len(everybody) == 180
    for declared in Incident.objects.all():
        assert tied(declared) == everybody, declared
        assert counted(declared) == (180, 180, 180)


def test_every_decision_is_counted_per_minute_once_also_those_without_a_way_out():
    record([opt_out(person, exit_path="footer-link") for person in people(3)])
    record([opt_out("anna@example.org", channel="sms")])
    read_all()
    read_all()

    counts = DecisionMinute.objects.order_by("exit_path").values_list("exit_path", "choice", "cause", "count")
    assert list(counts) == [("", "opt_out", "subject_choice", 1), ("footer-link", "opt_out", "subject_choice", 3)]


@pytest.mark.parametrize("model", [DecisionLink, DecisionRollup])
def test_a_tie_cannot_be_taken_back(model):
    incident()
    record([opt_out("anna@example.org")])
    read_all()

    with pytest.raises(DatabaseError, match=r"permission denied|is kept"):
        model.objects.all()._raw_delete("default")
