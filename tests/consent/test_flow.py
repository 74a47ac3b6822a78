"""How the ways out do: counted in memory, written together, and never at the cost of a press."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consent import exit_paths, flow, tokens
from consent.models import Decision, ExitPathMinute, LinkFetch
from consent.tokens import Token
from tests.factories import SubjectFactory, service_key

PRESS = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def link():
    return f"/u/{tokens.issue(Token(SubjectFactory().pk, 'marketing', 'email', uuid4()))}/"


def health(path="one-click"):
    now = timezone.now()
    return next(
        one for one in flow.health(now - timedelta(hours=1), now + timedelta(minutes=1)) if one.exit_path == path
    )


def test_a_press_is_counted_with_its_latency_and_costs_no_statement(db, client, link):
    with CaptureQueriesContext(connection) as asked:
        client.post(link, PRESS)

    written = [one["sql"].split("INTO ")[1].split()[0] for one in asked.captured_queries if "INSERT" in one["sql"]]
    assert set(written) == {"consent_decision", "consent_evidence"}
    assert flow.flush() == 2
    assert health().count("started") == 1
    assert 0 < health().p99_ms <= health().slowest_ms


def test_looking_at_a_page_is_a_start_and_a_fetch_and_changes_nothing(db, client, link):
    client.get(link, headers={"User-Agent": "Mozilla/5.0"})
    client.head(link)
    client.get(f"{link}more/", headers={"User-Agent": "ScanBot"})
    flow.flush()

    assert health().outcomes == {"started": 1}
    assert set(LinkFetch.objects.values_list("link", "agent")) == {
        ("unsubscribe", "browser"),
        ("unsubscribe", "none"),
        ("hidden", "bot"),
    }
    assert not Decision.objects.exists()


def test_the_hidden_link_is_on_the_page_and_out_of_sight(db, client, link):
    page = client.get(link).content.decode()

    assert f'<a href="{link}more/" rel="nofollow" hidden></a>' in page
    assert client.post(f"{link}more/", PRESS).status_code == 405


def test_a_token_of_nobody_leaves_no_fetch(db, client):
    client.get("/u/nonsense/")
    flow.flush()

    assert not LinkFetch.objects.exists()


def test_the_preference_page_is_started_by_a_look_and_timed_by_its_post(db, client, link):
    page = link.replace("/u/", "/preferences/")

    client.get(page)
    client.post(page, {"action": "stop"})
    flow.flush()

    assert health("preference-page").outcomes["started"] == 1
    assert health("preference-page").p50_ms is not None
    assert LinkFetch.objects.get().link == "preferences"


def test_a_signal_is_a_use_of_its_own_way_out(db, client, link):
    client.get(link.replace("/u/", "/preferences/"), headers={"Sec-GPC": "1"})
    flow.flush()

    assert health("gpc").outcomes["started"] == 1
    assert health("gpc").p50_ms is not None


def test_a_call_counts_each_opt_out_by_its_way_out(db, client):
    key = service_key("decisions:write")
    one = {"subject": {"email": "a@example.org"}, "purpose": "marketing", "channel": "email", "choice": "opt_out"}
    entries = [one | {"cause": "subject_choice", "exit_path": path} for path in ("api", "gpc", "api")]

    client.post(
        "/api/v1/decisions/", {"decisions": entries}, "application/json", headers={"Authorization": f"Bearer {key}"}
    )
    flow.flush()

    assert (health("api").count("started"), health("gpc").count("started")) == (2, 1)


def test_percentiles_are_the_steps_they_fall_into():
    steps = {5: 90, 50: 8, 1000: 2}

    assert flow.percentile(steps, 0.5, 700.0) == 5
    assert flow.percentile(steps, 0.95, 700.0) == 50
    assert flow.percentile(steps, 0.99, 700.0) == 700.0
    assert flow.percentile({}, 0.5, 0.0) is None


def test_counts_add_up_over_several_writings(db):
    for seconds in (0.004, 0.02, 0.021):
        flow.took("one-click", seconds)
        flow.flush()

    assert (health().p50_ms, round(health().slowest_ms)) == (21.0, 21)


def test_nothing_measured_is_not_zero(db):
    exit_paths.count_use("one-click", "refused", "bad_token")

    assert (health().p99_ms, health().slowest_ms) == (None, None)


def test_numbers_wait_while_the_database_is_away(committed, without_database):
    flow.started("one-click", 3)
    with without_database():
        assert flow.flush() == 0

    assert flow.flush() == 1
    assert ExitPathMinute.objects.get().count == 3


def test_numbers_of_an_unregistered_way_out_are_left_out_and_do_not_come_again(db):
    flow.started("nowhere")
    flow.took("nowhere", 0.1)

    assert flow.flush() == 2
    assert (flow.flush(), ExitPathMinute.objects.count()) == (0, 0)


def test_looks_at_links_are_dropped_after_days(db):
    for days in (1, 8):
        LinkFetch.objects.create(
            message_id=uuid4(), link="unsubscribe", agent="bot", second=timezone.now() - timedelta(days=days), count=1
        )

    assert (flow.forget(), LinkFetch.objects.count()) == (1, 1)
