"""The event stream: one look for everybody, nothing missed in silence, nobody who may not, and an end when asked."""

import asyncio
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPConnection

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from config.models import Scope
from consent.services import record
from incidents import linking
from incidents.alerts.grouping import Folding
from incidents.alerts.reading import Alert, Notification
from incidents.models import AlertGroup
from incidents.stream import tickets
from incidents.stream.news import KEPT, WAITING, News, look
from incidents.stream.serving import PAGES, SERVICES, Application
from tests.factories import (
    AlertSourceFactory,
    MarkerFactory,
    NoticeFactory,
    UserFactory,
    incident,
    opt_out,
    service_key,
)
from tests.incidents.change_sets import begun, imported
from tests.incidents.streaming import streaming


class Numbers:
    """What the poller reads, and how often."""

    def __init__(self):
        self.looks, self.version, self.is_away = 0, 1, None

    def __call__(self):
        self.looks += 1
        if self.is_away:
            raise self.is_away
        return [{"count": self.version}], {"opt_outs": str(self.version), "incidents": "1", "marks": "1"}


@pytest.fixture
def numbers():
    return Numbers()


def finished(coroutine):
    """In a thread of its own: a browser's test before this one leaves its loop running in the main thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def kinds(stream):
    found = []
    while not stream.queue.empty():
        found.append(stream.queue.get_nowait().decode().split("event: ")[1].partition("\n")[0])
    return found


def test_all_streams_get_the_same_bytes_from_one_look(numbers):
    async def run():
        news = News(numbers)
        streams = [news.join() for _ in range(20)]
        await news.look_once()
        await news.look_once()
        return [stream.queue.get_nowait() for stream in streams], [stream.queue.empty() for stream in streams]

    events, is_empty = finished(run())

    assert len(set(events)) == 1
    assert all(is_empty)
    assert numbers.looks == 2
    assert json.loads(events[0].decode().split("data: ")[1])["opt_outs"] == [{"count": 1}]


def test_what_was_missed_comes_first_and_a_longer_absence_is_told(numbers):
    async def run():
        news = News(numbers)
        first = news.join()
        for numbers.version in range(1, 4):
            await news.look_once()
        ids = [event.decode().split("\n")[0].removeprefix("id: ") for event in list(first.queue._queue)]
        told = [kinds(news.join(last)) for last in (ids[0], ids[-1], "an-older-process", "")]
        for numbers.version in range(10, 10 + KEPT):
            await news.look_once()
        return told, kinds(news.join(ids[0]))

    told, after_long = finished(run())

    assert told == [["opt_outs", "opt_outs"], [], ["reset"], ["opt_outs"]]
    assert after_long == ["reset"]


def test_a_listener_who_does_not_read_is_dropped_and_the_others_go_on(numbers):
    async def run():
        news = News(numbers)
        slow, quick = news.join(), news.join()
        for numbers.version in range(1, WAITING + 3):
            await news.look_once()
            kinds(quick)
        return slow.ended.is_set(), quick.ended.is_set(), news.streams == {quick}

    assert finished(run()) == (True, False, True)


@pytest.mark.parametrize("error", [DatabaseError("away"), ValueError("no JSON")], ids=lambda error: str(error))
def test_numbers_that_cannot_be_read_are_told_once_and_their_return_too(numbers, error):
    async def run():
        news = News(numbers)
        stream = news.join()
        await news.look_once()
        numbers.is_away = error
        await news.look_once()
        await news.look_once()
        numbers.is_away = None
        await news.look_once()
        return kinds(stream)

    assert finished(run()) == ["opt_outs", "unmeasured", "opt_outs"]


def test_nobody_listens_nobody_asks(numbers):
    async def run():
        news = News(numbers, pause=0)
        task = asyncio.create_task(news.run())
        for _ in range(20):
            await asyncio.sleep(0)
        before = numbers.looks
        stream = news.join()
        await asyncio.wait_for(stream.queue.get(), 5)
        task.cancel()
        return before

    assert finished(run()) == 0


def test_a_look_sees_counts_and_incidents(committed):
    _, before = look()
    record([opt_out("a@example.org", exit_path="one-click")])
    linking.read_log()
    rows, with_count = look()
    incident()
    _, with_incident = look()

    assert [(row["exit_path"], row["count"]) for row in rows] == [("one-click", 1)]
    assert with_count["opt_outs"] != before["opt_outs"]
    assert with_count["incidents"] == before["incidents"] != with_incident["incidents"]


def alert_is_over():
    heard(AlertGroup.objects.get().source, is_firing=False)


def heard(source, is_firing):
    with transaction.atomic():
        folding = Folding(source, ["mail"], timezone.now())
        alerts = (Alert("one", is_firing, "relay-1"),)
        folding.hear(Notification("mail", "MailQueueGrows", "sev3", alerts), timezone.now())
        folding.save()


@pytest.mark.parametrize(
    "happens",
    [
        MarkerFactory,
        lambda: NoticeFactory(started_at=timezone.now(), started_by="user:zoe"),
        begun,
        alert_is_over,
    ],
    ids=["a deployment", "a notice", "a change set", "the end of an alert"],
)
def test_a_look_sees_what_charts_mark(committed, happens):
    imported(1)
    heard(AlertSourceFactory(), is_firing=True)
    _, before = look()

    happens()

    assert look()[1]["marks"] != before["marks"]
    assert look()[1] == look()[1]


def asked(path, *, query="", headers=(), method="GET"):
    """The answer's status, headers and first body, of an application that then ends."""
    sent = []

    async def run():
        application = Application(News(Numbers(), pause=0))

        async def receive():
            await asyncio.sleep(3600)

        async def send(message):
            sent.append(message)
            if message.get("body", b"").startswith(b"id:"):
                application.news.end()

        raw = [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()]
        scope = {"type": "http", "path": path, "method": method, "query_string": query.encode(), "headers": raw}
        await asyncio.wait_for(application(scope, receive, send), 20)
        application.end()

    finished(run())
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent)


def test_a_page_listens_with_its_ticket_and_only_from_our_own_origin(committed, settings):
    settings.PUBLIC_URL = "https://privacy.example"
    ticket = f"ticket={tickets.issue(UserFactory(role='Responder'))}"

    status, head, body = asked(PAGES, query=ticket, headers={"Origin": "https://privacy.example"})
    other = asked(PAGES, query=ticket, headers={"Origin": "https://elsewhere.example"})

    assert (status, head["access-control-allow-origin"]) == (200, "https://privacy.example")
    assert head["content-type"].startswith("text/event-stream")
    assert b"event: opt_outs" in body
    assert other[0] == 403
    assert "access-control-allow-origin" not in other[1]


def test_a_ticket_ends_with_its_user_its_time_and_its_signature(committed, time_machine):
    user = UserFactory(role="Responder")
    ticket = tickets.issue(user)
    nobody = tickets.issue(UserFactory())

    assert [asked(PAGES, query=f"ticket={text}")[0] for text in ("", "made:up:it", nobody)] == [403] * 3
    time_machine.move_to(timezone.now() + timedelta(hours=13))
    assert asked(PAGES, query=f"ticket={ticket}")[0] == 403
    time_machine.move_to(timezone.now() - timedelta(hours=13))
    user.is_active = False
    user.save()
    assert asked(PAGES, query=f"ticket={ticket}")[0] == 403


def test_a_service_listens_with_its_key_and_scope(committed):
    good, poor = service_key(Scope.INCIDENTS_READ), service_key(Scope.CHECK)

    found = [asked(SERVICES, headers={"Authorization": f"Bearer {key}"} if key else {}) for key in (good, poor, "")]

    assert [status for status, _, _ in found] == [200, 403, 401]
    assert json.loads(found[1][2])["type"] == "urn:holdfast:problem:missing_scope"


def test_what_is_not_there_is_a_problem(committed):
    assert asked("/elsewhere")[0] == 404
    assert asked(SERVICES, method="POST")[0] == 405
    assert asked("/livez")[:1] == (200,)


def test_the_web_says_where_the_stream_is(db, client, settings):
    headers = {"Authorization": f"Bearer {service_key(Scope.INCIDENTS_READ)}"}
    settings.STREAM_URL = ""
    assert client.get(SERVICES, headers=headers).status_code == 404
    settings.STREAM_URL = "https://stream.example"

    answer = client.get(SERVICES, headers=headers)

    assert answer.status_code == 421
    assert "https://stream.example/api/v1/telemetry/stream/" in answer.json()["detail"]


@pytest.fixture
def served(committed, tmp_path):
    with streaming(committed, tmp_path) as started:
        yield started


def opened(port, key):
    connected = HTTPConnection("127.0.0.1", port, timeout=20)
    connected.request("GET", SERVICES, headers={"Authorization": f"Bearer {key}"})
    answer = connected.getresponse()
    assert answer.status == 200, answer.read()
    return connected, answer


def event(answer):
    """The next event's lines; comments and the opening `retry:` are passed over."""
    lines = []
    while True:
        raw = answer.readline()
        assert raw, "the stream ended"
        line = raw.decode().rstrip("\n")
        if line:
            lines.append(line)
        elif any(one.startswith("event:") for one in lines):
            return lines
        else:
            lines = []


def test_fifty_open_streams_hear_of_an_opt_out_and_end_with_the_process(served):
    process, port = served
    key = service_key(Scope.INCIDENTS_READ)
    connections = [opened(port, key) for _ in range(50)]
    answers = [answer for _, answer in connections]
    before = [event(answer) for answer in answers]

    record([opt_out("a@example.org", exit_path="one-click")])
    linking.read_log()
    heard = {tuple(event(answer)) for answer in answers}

    assert {lines[1] for lines in before} == {"event: opt_outs"}
    [lines] = heard
    told = json.loads(lines[-1].removeprefix("data: "))
    assert (told["changed"], told["opt_outs"][0]["exit_path"]) == (["opt_outs"], "one-click")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=10)
    for connected, _ in connections:
        connected.close()
