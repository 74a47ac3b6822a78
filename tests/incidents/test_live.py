"""The live page: drawn by the server, told in tables too, for whoever may look at choices."""

from datetime import timedelta

import pytest
from django.core import signing
from django.utils import timezone

from consent import exit_paths, flow
from incidents import chart, facts, marks, rates
from incidents.marks import Mark
from incidents.models import AlertGroup, DecisionMinute
from tests.factories import AlertSourceFactory, ChangeSetFactory, NoticeFactory, UserFactory, incident

pytestmark = pytest.mark.django_db
PAGE, NUMBERS = "/admin/live/", "/admin/live/numbers/"


def leave(count, minutes_ago=2, **facts):
    minute = (timezone.now() - timedelta(minutes=minutes_ago)).replace(second=0, microsecond=0)
    known = {"choice": "opt_out", "purpose": "marketing", "channel": "email", "cause": "complaint"}
    DecisionMinute.objects.create(minute=minute, count=count, **known | facts)


def begun():
    return {"started_at": timezone.now() - timedelta(minutes=3), "started_by": "user:zoe"}


@pytest.fixture
def responder(client):
    client.force_login(UserFactory(role="Responder"))
    return client


def text_of(client, address=PAGE):
    answer = client.get(address)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


@pytest.mark.parametrize("address", [PAGE, NUMBERS])
def test_it_is_for_whoever_may_look_at_choices(client, address):
    assert client.get(address).status_code == 302
    client.force_login(UserFactory())
    assert client.get(address).status_code == 403
    client.force_login(UserFactory(role="Auditor"))
    assert client.get(address).status_code == 200
    assert client.post(address).status_code == 405


def test_the_sidebar_leads_there(responder):
    assert f'href="{PAGE}"' in responder.get("/admin/").content.decode()


def test_chart_and_table_say_the_same_and_the_selectors_narrow_both(responder):
    leave(7)
    leave(5, purpose="analytics", cause="keyword")
    leave(3, cause="keyword", is_drill=True)

    everybody, narrowed = text_of(responder), text_of(responder, f"{NUMBERS}?purpose=analytics&by=purpose")
    drills = text_of(responder, f"{NUMBERS}?mode=drill")

    assert "12 in all" in everybody
    assert '<th scope="col" class="hf-number">spam complaint</th>' in everybody
    assert "5 in all" in narrowed
    assert "By purpose" in narrowed
    assert "3 in all" in drills


def test_nonsense_in_the_address_shows_the_usual_page(responder):
    assert "over the last 60 minutes" in text_of(responder, f"{PAGE}?period=x&by=%00&purpose='--&mode=all&path=nope")


def test_without_a_stream_no_ticket_is_made(responder, settings):
    settings.STREAM_URL = ""

    assert 'data-stream="" data-ticket=""' in text_of(responder)


def test_with_a_stream_the_page_has_its_address_and_a_ticket_of_its_user(client, settings):
    settings.STREAM_URL = "https://stream.example"
    user = UserFactory(role="Responder")
    client.force_login(user)

    page = text_of(client)

    ticket = page.split('data-ticket="')[1].split('"')[0]
    assert 'data-stream="https://stream.example/live/stream/"' in page
    assert signing.loads(ticket, salt="incidents.stream") == user.pk


def test_what_happened_meanwhile_stands_in_the_picture_and_in_words(responder):
    burning = incident("Relay down", minutes_ago=20)
    practice = incident("Practice", mode="drill", minutes_ago=10)
    AlertGroup.objects.create(
        source=AlertSourceFactory(), key=b"k", group_key="k", title="SMTP errors", incident=burning,
        first_at=timezone.now() - timedelta(minutes=5), last_at=timezone.now(),
    )  # fmt: skip
    NoticeFactory(ref="NTC-1", template_id="incident_notice", to_write=3, **begun())

    page = text_of(responder)

    for words in (f"{burning} began", f"{practice} declared", "SMTP errors", "NTC-1: 3 of incident_notice"):
        assert words in page
    assert "<title>alert: SMTP errors</title>" in page
    assert '<span class="hf-mark">drill</span>' in page


def test_a_notice_about_a_restricted_incident_is_marked_for_who_may_see_that(responder, client):
    hidden = facts.restrict(incident(), is_restricted=True, reason="Names", by="user:lea")
    NoticeFactory(ref="NTC-7", incident_id=hidden.pk, to_write=3, **begun())

    shown = text_of(responder)
    assert "NTC-7" not in shown
    assert hidden.ref not in shown
    client.force_login(UserFactory(role="Officer"))
    shown = text_of(client)
    assert "NTC-7" in shown
    assert hidden.ref in shown


def test_change_sets_are_marked_with_each_step_and_open_for_who_may_see_them(responder, client):
    steps = {
        "applied_at": timezone.now() - timedelta(minutes=2),
        "rolled_back_at": timezone.now(),
        "rolled_back_by": "x",
    }
    change = ChangeSetFactory(**begun(), **steps)
    hidden = facts.restrict(incident(), is_restricted=True, reason="Names", by="user:lea")
    secret = ChangeSetFactory(incident=hidden, **begun())

    told = text_of(responder)

    for step in ("begun", "applied", "taken back"):
        assert f"<title>change set: {change.ref} {step} (bulk edit)</title>" in told
    assert f"/admin/incidents/changeset/{change.pk}/change/" in told
    assert f"{secret.ref} " not in told
    client.force_login(UserFactory(role="Officer"))
    assert f"{secret.ref} begun" in text_of(client)
    *_, mark = marks.change_sets(*within_an_hour(), UserFactory(role="Support"))
    assert (mark.text, mark.url) == (f"{change.ref} begun (bulk edit)", "")


def within_an_hour():
    now = timezone.now()
    return now - timedelta(hours=1), now + timedelta(minutes=1)


def test_what_others_register_is_marked_too(monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(
        marks, "MARKER_SOURCES", [lambda since, until, viewer: [Mark(now, "change set", "CS-1 applied")]]
    )

    assert [mark.text for mark in marks.between(now - timedelta(hours=1), now)] == ["CS-1 applied"]


def test_a_mark_outside_the_picture_is_not_drawn():
    hour = rates.PERIODS["1h"]
    marked = [Mark(timezone.now() - timedelta(hours=2), "send", "old"), Mark(timezone.now(), "send", "new")]

    drawn = chart.draw(rates.opt_outs(hour, "cause"), hour, [], marked)

    assert [(flag.title, flag.letter) for flag in drawn.flags] == [("send: new", "S")]


def test_ways_out_are_told_with_what_failed_and_what_nobody_measured(responder):
    exit_paths.count_use("one-click", "failed", "error")
    exit_paths.count_use("gpc", "refused", "bad_token")
    flow.took("one-click", 0.02)
    flow.flush()

    page = text_of(responder, NUMBERS)

    assert '<span class="hf-mark hf-danger">1</span>' in page
    assert "20 ms" in page
    assert "unmeasured" in page


def test_what_is_said_aloud_is_one_sentence(responder):
    leave(4, minutes_ago=1)

    assert 'data-summary="4 opt-outs in the last minutes, most by spam complaint."' in text_of(responder, NUMBERS)


def test_over_a_longer_time_it_says_since_when(responder, time_machine):
    time_machine.move_to("2026-11-26T12:40:00+00:00", tick=False)
    leave(4, minutes_ago=8)

    assert 'data-summary="4 opt-outs since 12:30, most by spam complaint."' in text_of(
        responder, f"{NUMBERS}?period=24h"
    )
    assert 'data-summary="4 opt-outs since 12:00, most by spam complaint."' in text_of(
        responder, f"{NUMBERS}?period=7d"
    )


def test_the_page_asks_for_a_bounded_number_of_things(responder, django_assert_max_num_queries):
    for n in range(3):
        incident(f"Fire {n}", minutes_ago=5)
        leave(1, minutes_ago=n)

    with django_assert_max_num_queries(18):
        responder.get(PAGE)
