"""The first page: people leaving beside what is on fire and owed, in few queries, for whoever may see it."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consent.models import FeedCursor
from consent.services import record
from incidents import chart, rates
from incidents.clocks import start_clock
from incidents.dashboard import dashboard
from incidents.models import DecisionMinute, IncidentClockRule
from incidents.services import close
from tests.factories import (
    MessageFactory,
    PrivacyRequestFactory,
    UserFactory,
    incident,
    opt_out,
)

pytestmark = pytest.mark.django_db
HOUR, DAY, WEEK = (rates.PERIODS[code] for code in ("1h", "24h", "7d"))


def leave(minutes_ago, count=1, cause="subject_choice", exit_path="one-click", choice="opt_out", **facts):
    minute = (timezone.now() - timedelta(minutes=minutes_ago)).replace(second=0, microsecond=0)
    known = {"cause": cause, "exit_path": exit_path, "choice": choice}
    DecisionMinute.objects.create(minute=minute, count=count, **known, **facts)


def shown(rf, user, **query):
    request = rf.get("/admin/", query)
    request.user = user
    return dashboard(request, {})


def value(context, title):
    return next(card.value for card in context["cards"] if card.title == title)


def test_the_hour_counts_people_and_no_drills(rf):
    for minutes_ago in (2, 70):
        leave(minutes_ago, 7)
        leave(minutes_ago, 1000, is_drill=True)

    [card] = [card for card in shown(rf, UserFactory(role="Officer"))["cards"] if card.title.startswith("Opt-outs")]

    assert (card.value, card.notes) == ("7", ["7 in the hour before"])


@pytest.mark.parametrize(("period", "steps"), [(HOUR, 60), (DAY, 96), (WEEK, 168)])
def test_a_period_is_cut_into_its_steps(period, steps):
    leave(2, 7)
    leave(2, 5, choice="opt_in")

    found = rates.opt_outs(period, "cause")

    assert (len(found.steps), found.total, found.highest) == (steps, 7, 7)


def test_opt_outs_without_a_way_out_are_seen():
    leave(3, 4, exit_path="")
    leave(3, 2)

    found = rates.opt_outs(HOUR, "path")

    assert found.keys == ["not named", "one-click"]
    assert found.total == 6


def test_the_rarest_ways_out_are_drawn_as_one():
    for n in range(9):
        leave(3, 10 - n, exit_path=f"path-{n}")

    found = rates.opt_outs(HOUR, "path")

    assert found.keys == ["path-0", "path-1", "path-2", "path-3", "path-4", "other"]
    assert found.total == sum(range(2, 11))


def test_bars_reach_as_high_as_their_counts_and_stand_on_each_other():
    leave(10, 30)
    leave(10, 10, cause="complaint")

    drawn = chart.draw(rates.opt_outs(HOUR, "cause"), HOUR, [])

    assert [tick.label for tick in drawn.up] == ["0", "10", "20", "30", "40"]
    lower, upper = drawn.bars
    assert (lower.y + lower.height, upper.y) == (drawn.floor, drawn.top)
    assert lower.y == pytest.approx(upper.y + upper.height)
    assert lower.height == pytest.approx(3 * upper.height, abs=0.1)
    assert drawn.table[0][1:] == ([30, 10], 40)


@pytest.mark.parametrize("highest", [0, 1, 4, 5, 9, 41, 999, 1_000_000])
def test_the_scale_has_room_for_the_highest_bar_and_round_numbers(highest):
    ceiling = chart._ceiling(highest)

    assert ceiling >= highest
    assert ceiling % 4 == 0


def test_incidents_are_bands_of_the_chart_and_drills_look_different():
    real, drill = incident("Relay down", minutes_ago=20), incident("Practice", minutes_ago=500, mode="drill")
    close(incident("Over", minutes_ago=10), reason="Over", by="user:anna")

    found = chart.draw(rates.opt_outs(HOUR, "cause"), HOUR, rates.bands(timezone.now() - HOUR.length, timezone.now()))

    assert [(band.label, band.is_drill) for band in found.bands] == [
        (f"{drill.ref} (drill)", True),
        (real.ref, False),
        ("INC-3", False),
    ]
    assert found.bands[0].x == found.left
    assert all(band.x + band.width <= found.right + 2 for band in found.bands)


def test_the_page_is_drawn_without_any_script_of_its_own(client):
    leave(5, 3)
    incident("Relay & co <down>")
    client.force_login(UserFactory(is_superuser=True))

    html = client.get("/admin/").content.decode()

    assert "Opt-outs per minute over the last 60 minutes: 3 in all" in html
    assert "<svg viewBox=" in html
    assert "Relay &amp; co &lt;down&gt;" in html
    assert "onclick" not in html


def test_a_time_says_its_zone_and_a_message_its_text_in_words(client):
    incident("Relay down")
    MessageFactory(state="failed", template_key="opt_out_confirmation")
    client.force_login(UserFactory(is_superuser=True, time_zone="Asia/Tokyo"))

    html = client.get("/admin/").content.decode()

    assert re.search(r">\d\d \w{3} \d\d:\d\d JST<", html)
    assert "Opt out confirmation" in html
    assert "opt_out_confirmation" not in html


@pytest.mark.parametrize("query", ["?period=24h&by=path", "?period=7d&by=cause", "?period=bogus&by=%00", "?by=path'"])
def test_every_switch_of_the_chart_opens(client, query):
    leave(5, 3)
    client.force_login(UserFactory(is_superuser=True))

    assert client.get(f"/admin/{query}").status_code == 200


def test_cards_count_what_they_say(rf):
    leave(5, 3)
    leave(90, 40)
    incident("Relay down", severity="sev1")
    incident("Practice", mode="drill")
    now = timezone.now()
    PrivacyRequestFactory(due_at=now + timedelta(days=3))
    PrivacyRequestFactory(due_at=now - timedelta(days=3), received_at=now - timedelta(days=9))
    MessageFactory(owed_by=now - timedelta(minutes=5))
    MessageFactory(state="in_doubt")
    MessageFactory(state="accepted", settled_at=now)

    context = shown(rf, UserFactory(is_superuser=True))

    cards = {card.title: (card.value, card.notes) for card in context["cards"]}
    assert cards["Opt-outs in the last hour"] == ("3", ["40 in the hour before"])
    assert cards["Open incidents"] == ("1", ["worst: SEV1", "and 1 drill"])
    assert cards["Open requests"] == ("2", ["1 due within 7 days", "1 overdue"])
    assert cards["Messages owed"] == ("2", ["1 overdue", "1 in doubt"])
    assert [overdue for _, _, overdue in context["due_requests"]] == [True, False]
    assert [message.state for _, message in context["failed_messages"]] == ["in_doubt"]


def test_a_storm_of_alerts_neither_hides_the_worst_incident_nor_is_miscounted(rf):
    fire = incident("Choices are reversed", severity="sev1", minutes_ago=1500)
    clock = incident("Names were seen", severity="sev2", minutes_ago=1400, detected_at=timezone.now())
    start_clock(clock, IncidentClockRule.objects.get(code="EU-ART33"), reason="Personal data", by="user:lea")
    storm = [incident(f"Disk {n} is full", minutes_ago=3, status="triage") for n in range(60)]
    incident("Practice", severity="sev1", mode="drill")

    context = shown(rf, UserFactory(is_superuser=True))

    card = next(card for card in context["cards"] if card.title == "Open incidents")
    assert (card.value, card.notes) == ("62", ["worst: SEV1", "and 1 drill"])
    assert [listed.pk for _, listed, _ in context["open_incidents"]][:3] == [fire.pk, clock.pk, storm[-1].pk]
    assert context["open_incidents"][1][2] is not None
    bands = rates.bands(timezone.now() - HOUR.length, timezone.now())
    assert len(bands) == 50
    assert {fire, clock} <= set(bands)
    assert bands == sorted(bands, key=lambda band: band.occurred_from, reverse=True)


def test_readers_that_are_behind_are_named(rf):
    FeedCursor.objects.create(reader="confirmations")
    record([opt_out("anna@example.org")])

    context = shown(rf, UserFactory(is_superuser=True))

    card = next(card for card in context["cards"] if card.title == "Decisions not yet read")
    assert (card.value, card.notes) == ("1", ["confirmations: 1"])


@pytest.mark.parametrize("rows", [1, 12])
def test_the_dashboard_takes_seven_queries_however_much_there_is(rf, rows):
    for n in reversed(range(rows)):  # a minute that passes meanwhile is left out, not met twice
        leave(n, 3)
        incident(f"Fire {n}")
        PrivacyRequestFactory(assignee=UserFactory())
        MessageFactory(state="failed")
    user = UserFactory(is_superuser=True)

    with CaptureQueriesContext(
        connection,
    ) as asked:
        shown(rf, user)

    assert len(asked) == 7, [query["sql"] for query in asked]


def test_who_may_see_nothing_is_shown_nothing(rf):
    leave(5, 3)
    incident()

    context = shown(rf, UserFactory())

    assert context["cards"] == []
    assert not {"chart", "open_incidents", "due_requests", "failed_messages"} & set(context)
