"""Ways out: the product's own are there from the start, each use is counted, and counting never costs a press."""

import threading
from collections import Counter

import pytest
from django.db import connections, transaction

from consent import exit_paths
from consent.exit_paths import count_use, fold
from consent.models import ExitPath, ExitPathMinute, Purpose
from consent.services import record
from tests.factories import SubjectFactory, opt_in, opt_out


def counts() -> dict[tuple[str, str, str], int]:
    totals: Counter[tuple[str, str, str]] = Counter()
    for row in ExitPathMinute.objects.all():
        totals[row.exit_path_id, row.outcome, row.cause] += row.count
    return dict(totals)


def test_an_installation_begins_with_its_own_ways_out(db):
    paths = {path.code: path for path in ExitPath.objects.all()}

    assert paths.keys() >= {
        "one-click",
        "preference-page",
        "api",
        "gpc",
        "support-email",
        "support-phone",
        "support-post",
    }
    assert all(path.owner and path.is_active for path in paths.values())
    for path in paths.values():
        path.full_clean()


def test_an_installation_begins_with_purposes_to_start_from(db):
    purposes = {purpose.code: purpose for purpose in Purpose.objects.all()}

    assert purposes.keys() >= {"marketing", "product_news", "analytics", "sale_or_share", "legal_notices"}
    assert [code for code, purpose in purposes.items() if purpose.is_covered_by_gpc] == ["sale_or_share"]
    assert [code for code, purpose in purposes.items() if purpose.regime == "mandatory"] == ["legal_notices"]
    for purpose in purposes.values():
        purpose.full_clean()


def test_the_first_version_of_a_shipped_row_is_in_its_history(db):
    version = ExitPath.history.get(code="one-click")

    assert (version.history_type, version.history_user_id) == ("+", "system:migration")


@pytest.mark.parametrize(
    ("via", "code"), [("email", "support-email"), ("phone", "support-phone"), ("api", "api"), ("post", "support-post")]
)
def test_an_opt_out_that_staff_type_in_has_the_way_that_it_came(via, code):
    assert exit_paths.of_request(via) == code


def test_refused_and_broken_off_uses_are_counted_per_cause(db):
    for cause in ("bad_token", "bad_token", "bad_body"):
        assert count_use("one-click", "refused", cause)
    count_use("preference-page", "broken_off", "invalid")

    assert counts() == {
        ("one-click", "refused", "bad_token"): 2,
        ("one-click", "refused", "bad_body"): 1,
        ("preference-page", "broken_off", "invalid"): 1,
    }


def test_completed_uses_come_from_the_log_once_each(committed):
    subject = SubjectFactory()
    record([opt_out(subject, exit_path="one-click"), opt_out(subject, channel="sms", exit_path="gpc")])
    record([opt_in(subject, "product_news", exit_path="preference-page"), opt_out(subject, channel="post")])

    looked_at = [fold(), fold()]

    assert looked_at == [4, 0]
    assert counts() == {("one-click", "completed", "subject_choice"): 1, ("gpc", "completed", "subject_choice"): 1}
    assert ExitPath.objects.get(code="one-click").last_used_at is not None
    assert ExitPath.objects.get(code="preference-page").last_used_at is None


def test_a_way_that_is_not_registered_is_not_counted_and_no_error_at_commit(committed):
    with transaction.atomic():
        count_use("nowhere", "refused", "bad_body")
        record([opt_out("anna@example.org")])

    assert counts() == {}


def test_what_the_database_does_not_take_is_counted_later(committed, without_database):
    with without_database():
        taken = [count_use("one-click", "broken_off", "error") for _ in range(3)]

    assert taken == [False] * 3
    assert count_use("one-click", "refused", "bad_body")
    assert counts() == {("one-click", "broken_off", "error"): 3, ("one-click", "refused", "bad_body"): 1}


def test_a_count_that_the_database_refuses_breaks_nothing_around_it_and_does_not_come_again(db):
    record([opt_out("anna@example.org")])

    assert not count_use("one-click", "refused", "\x00")

    assert count_use("one-click", "refused", "bad_body")
    assert counts() == {("one-click", "refused", "bad_body"): 1}


def test_many_at_once_are_all_counted(committed):
    def count() -> None:
        for _ in range(20):
            count_use("one-click", "refused", "bad_token")
        connections.close_all()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts() == {("one-click", "refused", "bad_token"): 160}
