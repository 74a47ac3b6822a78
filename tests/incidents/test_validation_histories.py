"""Whoever rewrites what was written about choices, with every trigger off, is found by a round through all of it."""

import pytest
from django.utils import timezone

from consent.services import record
from incidents import validation
from incidents.models import Alarm, DetectionCursor, Incident
from incidents.validation import showing
from incidents.validation.histories import VERSIONS
from tests.factories import PurposeFactory, opt_in, opt_out
from tests.incidents.hands import HASHED, by_hand

OLDER = "WHERE version = 1 AND id = (SELECT min(id) FROM consent_consent)"


@pytest.fixture(autouse=True)
def histories(committed):
    """Ten people came and left, all of it long ago: no cursor comes by it again."""
    PurposeFactory(code="marketing")
    record([opt_in(f"person{n}@example.org") for n in range(10)])
    record([opt_out(f"person{n}@example.org") for n in range(10)])
    assert validation.look() == 0


def come_round():
    DetectionCursor.objects.filter(name="sweep:histories:round").update(moment=None)
    return validation.keep_histories()


def told():
    return [alarm.key.rpartition(":")[0] for alarm in Alarm.objects.order_by("pk")]


@pytest.mark.parametrize(
    "column",
    [
        "state = 'opt_out'", "explicit = false", "cause = 'import'", "actor = 'user:eve'", "decision_id = -1",
        "decided_at = now()", "previous = 'opt_in'", "changed_at = now()", "tx = 7", "db_user = 'postgres'",
        "purpose = 'news'", "subject_id = gen_random_uuid()", "leaf_hash = '\\x00'",
        "history_date = now()", "history_user_id = 'user:eve'", "history_change_reason = 'import'",
    ],
)  # fmt: skip
def test_a_version_that_was_rewritten_is_found_by_the_next_round_and_told_once(committed, column):
    assert come_round() == 0

    by_hand(committed, f"UPDATE consent_historicalconsent SET {column} {OLDER}")

    assert validation.look() == 0
    assert come_round() == 1
    assert come_round() == 0
    assert told() == ["I5:leaf"]
    assert Incident.objects.get().dedup_key == "zero:I5"


def test_a_version_that_was_deleted_is_found_by_the_next_round(committed):
    by_hand(committed, f"DELETE FROM consent_historicalconsent {OLDER}")

    assert come_round() == 1
    assert told() == ["I5:gap"]


def test_a_forger_who_knows_the_hash_is_found_by_what_does_not_fit(committed):
    by_hand(committed, "UPDATE consent_historicalconsent SET state = 'opt_in' WHERE version = 2", HASHED)

    assert come_round() == 10
    assert told() == ["I5:forged"] * 10


def test_all_that_the_product_writes_bears_its_hash():
    assert come_round() == 0
    assert not Alarm.objects.exists()


def test_how_long_ago_all_of_it_was_looked_at_is_told(client):
    assert showing.looked_through_at() is None
    assert client.get("/readyz").json()["validation"]["histories_looked_through_seconds_ago"] is None

    come_round()

    assert (timezone.now() - showing.looked_through_at()).total_seconds() < 60
    assert client.get("/readyz").json()["validation"]["histories_looked_through_seconds_ago"] in range(60)
    assert "holdfast_history_sweep_age_seconds" in client.get("/metrics").content.decode()
    assert "all versions looked at" in validation.run().checks.get(invariant="I5").observed
    assert VERSIONS.slice(10) is None  # it rests
