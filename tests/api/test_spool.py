"""The database is away: opt-outs are taken to disk and hold once it is back, each once, with their own moment."""

import json
import threading
import urllib.request
from datetime import datetime
from wsgiref.simple_server import WSGIRequestHandler

import pytest
from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from django.test import Client

from config import authentication
from consent import journal, receipts, spool, tokens
from consent.identifiers import Identity
from consent.models import Consent, Decision
from consent.services import may_contact, record
from consent.spool import replay
from consent.tokens import Token
from consent.upkeep import keep_up
from tests.api.conftest import Api
from tests.factories import PurposeFactory, opt_out

URL = "/api/v1/decisions/"


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def folder(settings, tmp_path, monkeypatch):
    """A journal of its own, and no thread that empties it before the test has looked."""
    settings.SPOOL_DIR = str(tmp_path / "spool")
    monkeypatch.setattr(spool._watch, "start", lambda: None)
    monkeypatch.setattr(spool._watch, "away_until", 0.0)
    return tmp_path / "spool"


@pytest.fixture
def key(committed):
    PurposeFactory(code="marketing")
    return Api().key


@pytest.fixture
def server(key):
    """A live server in this process: real sockets, real threads."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def entry(address="anna@example.org", **changes):
    body = {"subject": {"email": address}, "purpose": "marketing", "channel": "email"}
    return {**body, "choice": "opt_out", "cause": "subject_choice", **changes}


def send(server, key, body, **headers):
    request = urllib.request.Request(
        server + URL,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


# What somebody does to the database at 3 a.m., and whether it is over when they undo it.
TROUBLES = {
    "read-only": (
        "ALTER DATABASE holdfast_test SET default_transaction_read_only = on",
        "SET transaction_read_only = off; ALTER DATABASE holdfast_test RESET default_transaction_read_only",
    ),
    "a right taken away": (
        "REVOKE INSERT ON consent_subject FROM holdfast_app",
        "GRANT INSERT ON consent_subject TO holdfast_app",
    ),
    "one choice a person": (
        "CREATE UNIQUE INDEX dedupe ON consent_decision (purpose)",
        "DROP INDEX dedupe",
    ),
    "no more choices about this": (
        "ALTER TABLE consent_decision ADD CONSTRAINT stop CHECK (purpose <> 'marketing') NOT VALID",
        "ALTER TABLE consent_decision DROP CONSTRAINT stop",
    ),
}


@pytest.mark.parametrize(("trouble", "end"), TROUBLES.values(), ids=TROUBLES)
def test_an_opt_out_is_taken_whatever_somebody_did_to_the_database(key, committed, monkeypatch, trouble, end):
    api = Api(key=key)
    person = record([opt_out("before@example.org")])[0].subject_id
    page = tokens.issue(Token(person, "marketing", "sms"))
    with committed.connect("superuser") as session:
        session.execute(trouble)
    connections.close_all()

    single, many, yes = (
        api.send(URL, body)
        for body in (
            entry("a@example.org"),
            {"decisions": [entry("b@example.org"), entry("c@example.org")]},
            entry("d@example.org", choice="opt_in"),
        )
    )
    pressed = Client().post(f"/u/{page}/", {"List-Unsubscribe": "One-Click"})
    saved = Client().post(f"/preferences/{page}/", {"action": "stop"})

    assert (single.status_code, many.status_code, pressed.status_code) == (202, 202, 200)
    assert saved.status_code in (200, 202)  # some of this troubles new people only, or one purpose
    assert yes.status_code >= 500
    with committed.connect("superuser") as session:
        session.execute(end)
    connections.close_all()
    assert replay() >= 3
    assert not any(may_contact(Identity.of("email", f"{n}@example.org"), "marketing", "email") for n in "abc")
    assert set(Consent.objects.filter(subject=person).values_list("purpose", "channel", "state")) >= {
        ("marketing", "sms", "opt_out"),
        ("*", "*", "opt_out"),
    }
    assert (spool.waiting(), spool.refused()) == (0, [])


def test_an_opt_out_that_somebody_s_lock_keeps_waiting_goes_to_disk(key, committed):
    with committed.connect("owner", autocommit=False) as session:
        session.execute("LOCK TABLE consent_decision")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20ms'")

        response = Api(key=key).send(URL, entry())

    assert response.status_code == 202
    assert replay() == 1


def test_a_live_server_takes_opt_outs_while_the_database_is_away(server, key, committed):
    assert send(server, key, entry("before@example.org"))[0] == 201
    with committed.away():
        answers = [send(server, key, entry(f"person{n}@example.org")) for n in range(5)]
        answers.append(send(server, key, {"decisions": [entry("x@example.org"), entry("y@example.org")]}))
        opt_in = send(server, key, entry("z@example.org", choice="opt_in"))
        connection.close()

    assert [status for status, _ in answers] == [202] * 6
    assert all(receipts.verify(body, body["receipt"]) for _, body in answers[:5])
    assert receipts.verify_all(answers[5][1]["decisions"], answers[5][1]["receipt"])
    assert (opt_in[0], opt_in[1]["type"]) == (503, "urn:holdfast:problem:unavailable")

    assert replay() == 7

    assert Consent.objects.opted_out().count() == 8
    taken = Decision.objects.get(decided_at=datetime.fromisoformat(answers[0][1]["decided_at"]))
    assert taken.actor.startswith("service:")
    assert not may_contact(Identity.of("email", "person3@example.org"), "marketing", "email")
    assert send(server, key, entry("after@example.org"))[0] == 201


class TestWhileAway:
    @pytest.fixture
    def api(self, key):
        api = Api(key=key)
        assert api.get("/api/v1/check/?email=a@example.org&purpose=marketing&channel=email").status_code == 200
        return api

    def test_what_is_on_disk_names_nobody(self, api, committed, folder):
        with committed.away():
            api.send(URL, entry(evidence={"note": "said so on the phone"}))
            connection.close()

        text = (folder / journal.JOURNAL).read_text()
        assert "anna" not in text
        assert "phone" not in text
        assert (folder / journal.JOURNAL).stat().st_mode & 0o077 == 0

    def test_the_same_request_again_is_one_choice_then_and_later(self, api, committed):
        header = {"Idempotency-Key": "k-1"}
        with committed.away():
            first, second = (api.send(URL, entry(), **header) for _ in range(2))
            connection.close()
        replay()

        later = api.send(URL, entry(), **header)

        assert (first.status_code, second.status_code) == (202, 202)
        assert later["Idempotent-Replayed"] == "true"
        assert later.json()["id"] == first.json()["id"]
        assert Decision.objects.count() == 1

    def test_a_choice_whose_commit_went_through_is_not_recorded_again(self, api):
        """Its caller lost the connection after the commit, and the choice went to disk as well."""
        recorded = api.send(URL, entry(decided_at="2026-03-01T12:00:00Z"))
        spool.database_is_away()
        assert api.send(URL, entry(decided_at="2026-03-01T12:00:00Z")).status_code == 202

        assert replay() == 0

        assert Decision.objects.get().pk == int(recorded.json()["id"])

    def test_a_replay_that_was_cut_short_repeats_nothing(self, api, folder):
        spool.database_is_away()
        for n in range(3):
            api.send(URL, entry(f"person{n}@example.org"))
        with journal.alone(folder):
            [path] = journal.taken_over(folder)
        copy = path.read_bytes()
        replay()
        path.write_bytes(copy)

        assert replay() == 0

        assert Decision.objects.count() == 3

    def test_a_line_that_a_crash_cut_off_spoils_neither_the_next_nor_the_replay(self, api, folder):
        spool.database_is_away()
        api.send(URL, entry("first@example.org"))
        with (folder / journal.JOURNAL).open("ab") as file:
            file.write(b'{"v": 1, "key": "spool:cut')
        api.send(URL, entry("second@example.org"))

        assert replay() == 2

    def test_a_choice_that_the_database_refuses_stops_nobody_and_is_kept(self, api, folder):
        spool.database_is_away()
        api.send(URL, entry("first@example.org"))
        api.send(URL, entry("second@example.org", purpose="unheard-of"))
        api.send(URL, entry("third@example.org"))

        assert replay() == 2

        assert len((folder / journal.REFUSED).read_bytes().splitlines()) == 1
        assert spool.waiting() == 0

    def test_one_replays_at_a_time(self, api, folder):
        spool.database_is_away()
        api.send(URL, entry())
        with journal.alone(folder):
            assert replay() == 0

        assert replay() == 1

    def test_the_sweep_brings_them_in(self, api):
        spool.database_is_away()
        api.send(URL, entry())

        assert keep_up() >= 1

        assert Consent.objects.opted_out().count() == 1

    def test_a_disk_that_takes_nothing_is_said(self, api, problem, settings, tmp_path):
        (tmp_path / "file").write_text("in the way")
        settings.SPOOL_DIR = str(tmp_path / "file" / "spool")
        spool.database_is_away()

        problem(api.send(URL, entry()), 503, "unavailable")

    def test_a_caller_who_was_not_known_before_is_not_let_in(self, key, committed, problem):
        authentication._kept.clear()
        with committed.away():
            response = Api(key=key).send(URL, entry())
            connection.close()

        problem(response, 503, "unavailable")


def test_without_a_worker_the_process_itself_brings_them_in(key, monkeypatch):
    monkeypatch.undo()
    spool.database_is_away()
    monkeypatch.setattr(spool, "PAUSE", 0.01)
    assert Api(key=key).send(URL, entry()).status_code == 202

    spool._watch.thread.join(timeout=10)

    assert Consent.objects.opted_out().count() == 1
    assert spool.waiting() == 0
