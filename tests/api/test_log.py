"""GET /api/v1/decisions/: the log for followers elsewhere. Committed, since only what is closed is shown."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone

from consent.api import log
from consent.services import merge, record
from tests.api.conftest import Api
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out

URL = "/api/v1/decisions/"


@pytest.fixture
def api(committed):
    PurposeFactory(code="marketing")
    PurposeFactory(code="tips")
    return Api()


def follow(api, path=URL):
    """Every page until there is no news: ids in order, and where to go on."""
    ids = []
    while True:
        body = api.get(path).json()
        ids += [int(row["id"]) for row in body["results"]]
        path = body["next"].removeprefix("http://testserver")
        if not body["results"]:
            return ids, path


def test_the_log_is_followed_page_by_page_and_goes_on_with_the_news(api):
    recorded = [record([opt_out(f"person{n}@example.org")])[0].id for n in range(7)]

    ids, later = follow(api, f"{URL}?page_size=3")
    news = record([opt_out("late@example.org")])[0].id

    assert ids == recorded
    assert follow(api, later)[0] == [news]


def test_a_late_commit_is_not_missed(api, committed):
    """A transaction that began first and ends last holds the log back, and then appears in it."""
    subject = SubjectFactory()
    with committed.connect("holdfast_app", autocommit=False) as slow:
        slow.execute(
            "INSERT INTO consent_decision (subject_id, purpose, channel, choice, explicit, cause, decided_at, actor)"
            " VALUES (%s, 'marketing', 'sms', 'opt_out', true, 'subject_choice', now(), 'subject')",
            [subject.pk],
        )
        fast = record([opt_out("fast@example.org")])[0].id
        seen, path = follow(api)
        slow.commit()

    later, _ = follow(api, path)

    assert fast in seen + later
    assert len(seen + later) == len(set(seen + later)) == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("purpose=tips", {"tip"}),
        ("channel=sms", {"sms"}),
        ("choice=opt_in", {"in"}),
        ("cause=support", {"support"}),
        ("exit_path=api", {"api"}),
        ("purpose=marketing&channel=sms", {"sms"}),
        ("purpose=*", set()),
    ],
)
def test_filters(api, query, expected):
    drafts = {
        "tip": opt_out("a@example.org", "tips"),
        "sms": opt_out("b@example.org", channel="sms"),
        "in": opt_in("c@example.org"),
        "support": opt_out("d@example.org", cause="support"),
        "api": opt_out("e@example.org", exit_path="api"),
    }
    names = {row.id: name for name, row in zip(drafts, record(list(drafts.values())), strict=True)}

    ids, _ = follow(api, f"{URL}?{query}")

    assert {names[number] for number in ids} == expected


def test_a_person_is_followed_with_everybody_who_was_merged_into_them(api):
    first, second, other = record([opt_out("a@example.org"), opt_out("b@example.org"), opt_out("c@example.org")])
    merge(second.subject_id, first.subject_id, reason="same person", by="user:anna")

    ids, _ = follow(api, f"{URL}?subject={first.subject_id}")

    assert {first.id, second.id} <= set(ids)
    assert other.id not in ids


def test_since_leaves_out_what_was_received_before(api):
    record([opt_out("a@example.org")])
    moment = timezone.now()
    [late] = record([opt_out("b@example.org", decided_at=moment - timedelta(days=9))])

    ids, _ = follow(api, f"{URL}?since={moment.isoformat().replace('+00:00', 'Z')}")

    assert ids == [late.id]


def test_a_rare_filter_looks_at_a_bounded_part_of_the_log_at_once(api, monkeypatch):
    monkeypatch.setattr(log, "WINDOW", 2)
    rows = record([opt_out(f"person{n}@example.org") for n in range(4)] + [opt_in("in@example.org")])

    first = api.get(f"{URL}?choice=opt_in").json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    assert (first["results"], second["results"]) == ([], [])
    assert [row["id"] for row in third["results"]] == [str(rows[-1].id)]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("purpose=Not+A+Code", "purpose"),
        ("purpose=%00", "purpose"),
        ("channel=pigeon", "channel"),
        ("choice=", "choice"),
        ("cause=%F0", "cause"),
        ("exit_path=%00", "exit_path"),
        ("subject=7", "subject"),
        ("since=yesterday", "since"),
        ("since=2026-03-01T12:00:00", "since"),
        ("since=0130-01-22T04:23:29-22:09", "since"),
        ("since=9999-12-31T23:59:59-22:09", "since"),
        ("page_size=0", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=99999999999999999999", "page_size"),
    ],
)
def test_a_filter_that_no_decision_can_meet_is_refused(api, problem, query, pointer):
    body = problem(api.get(f"{URL}?{query}"), 400, "invalid")

    assert body["errors"][0]["pointer"] == pointer


def _crafted(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%00",
        "",
        "é",
        _crafted("1"),
        _crafted("1.2.3"),
        _crafted("a.b"),
        _crafted("-1.2"),
        _crafted("9" * 30 + ".1"),
    ],
)
def test_a_crafted_cursor_is_an_address_that_does_not_exist(api, problem, cursor):
    problem(api.get(f"{URL}?cursor={cursor}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/purposes/", "/api/v1/exit-paths/"])
@pytest.mark.parametrize("cursor", ["x", _crafted("p=\x00"), _crafted("p=a&o=x"), _crafted("o=99999999999999999999")])
def test_a_crafted_cursor_of_other_lists_is_never_an_error_of_ours(api, path, cursor):
    assert api.get(f"{path}?cursor={cursor}").status_code in (200, 404)
