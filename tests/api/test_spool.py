"""The database is away: opt-outs are taken to disk and hold once it is back, each once, with their own moment."""

import json
import threading
import urllib.request
from datetime import datetime
from wsgiref.simple_server import WSGIRequestHandler

import pytest
from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.wsgi import get_wsgi_application
from django.db import connection

from config import authentication
from consent import journal, receipts, spool
from consent.identifiers import Identity
from consent.models import Consent, Decision
from consent.services import may_contact
from consent.spool import replay
from consent.upkeep import keep_up
from tests.api.conftest import Api
from tests.factories import PurposeFactory

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
