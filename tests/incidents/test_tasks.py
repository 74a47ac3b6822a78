"""Tasks of several steps: one that breaks keeps none of the others from being done; and what a production is told."""

from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.utils import timezone

from consent.journal import JOURNAL
from incidents import tasks
from incidents.models import AlertDelivery, BaselineVersion, Series
from incidents.playbooks import hands
from incidents.playbooks.signals import SIGNALS
from tests.factories import AlertDeliveryFactory, incident, playbook
from tests.incidents.test_playbooks import POST

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_alerts_are_read_where_the_spool_is_broken(settings, tmp_path):
    """A file that another user wrote, or a disk that is full."""
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / JOURNAL).mkdir()
    settings.SPOOL_DIR = tmp_path
    AlertDeliveryFactory()

    tasks.read_alerts()

    assert not AlertDelivery.objects.to_read().exists()


def test_a_series_that_breaks_keeps_no_other_from_being_judged():
    now = timezone.now()
    broken, behind = (
        Series.objects.create(
            purpose=purpose, channel="email", group="choice", first_at=now - age, judged_to=now - HOUR
        )
        for purpose, age in (("broken", timedelta(weeks=4)), ("behind", timedelta(days=1)))
    )
    BaselineVersion.objects.create(
        series=broken, hours=[], phi=1.0, buckets=0, sends={}, learnt_from=now - HOUR, learnt_to=now,
        inputs_digest=b"\0" * 32,
    )  # fmt: skip

    tasks.detect()

    judged = dict(Series.objects.values_list("pk", "judged_to"))
    assert judged[broken.pk] == broken.judged_to
    assert judged[behind.pk] > behind.judged_to


def test_playbooks_go_on_where_one_cannot_be_begun(monkeypatch):
    """Its signal went with an older version of the product."""
    with monkeypatch.context() as then:
        then.setitem(SIGNALS, "weather", SIGNALS["guard"])
        wanted = {"signal": "weather", "op": "eq", "value": "observe"}
        playbook(POST, attached={"starts": True, "any": [[wanted]]})
    run, _ = hands.start(incident(), playbook(POST), reason="x", by="user:anna")

    tasks.run_playbooks()

    run.refresh_from_db()
    assert run.state == "succeeded"


def test_the_pump_does_what_stands_behind_a_step_that_broke(settings, tmp_path):
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / JOURNAL).mkdir()
    settings.SPOOL_DIR = tmp_path
    AlertDeliveryFactory()

    call_command("pump", once=True)

    assert not AlertDelivery.objects.to_read().exists()


# What is said before it is deployed


@pytest.mark.parametrize(
    ("address", "is_tried", "said"),
    [
        ("", True, {"incidents.W001"}),
        ("", False, set()),
        ("canary", True, {"incidents.E001"}),
        ("c@x.example", True, set()),
    ],
)
def test_a_production_whose_tries_get_no_mail_is_told_so(settings, address, is_tried, said):
    settings.CANARY_EMAIL, settings.EXIT_PATH_PROBES = address, is_tried

    found = run_checks(include_deployment_checks=True)

    assert {check.id for check in found if check.id.startswith("incidents.")} == said
