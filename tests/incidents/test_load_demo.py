"""The made-up company's life: through the real doors, once, the same each time, and never where DEBUG is off."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from consent.models import Decision, ExitPathMinute, GuardChange, PrivacyRequest, Reversal, Subject
from incidents.models import AlertDelivery, ChangeSet, DecisionLink, DecisionMinute, Incident
from messaging.models import Message, TemplateVersion


@pytest.fixture
def debug(settings):
    settings.DEBUG = True


def load() -> str:
    said = StringIO()
    call_command("load_demo", stdout=said)
    return said.getvalue()


def test_it_refuses_where_debug_is_off(db, settings):
    settings.DEBUG = False

    with pytest.raises(CommandError, match="DEBUG=1"):
        load()

    assert not Subject.objects.exists()


def test_a_companys_life_is_loaded_once(committed, debug):
    first = load()
    decisions, minutes = Decision.objects.count(), DecisionMinute.objects.count()

    again = load()

    assert "2000 people" in first
    assert "nothing to do" in again
    assert (Decision.objects.count(), DecisionMinute.objects.count()) == (decisions, minutes)
    assert 5_500 <= decisions <= 6_500
    assert_it_looks_like_a_life()
    assert_the_desk_has_work()
    assert_the_surge_is_tied()
    assert_changes_were_made()


def assert_it_looks_like_a_life():
    opt_outs = Decision.objects.filter(choice="opt_out")
    assert len(set(opt_outs.values_list("cause", flat=True))) >= 4
    by_hour = [Decision.objects.filter(decided_at__hour=hour, choice="opt_in").count() for hour in range(24)]
    assert min(by_hour[7:11]) > 3 * max(by_hour[0:4])
    oldest = DecisionMinute.objects.order_by("minute").values_list("minute", flat=True)[0]
    assert oldest < timezone.now() - timedelta(days=35)
    assert ExitPathMinute.objects.filter(minute__lt=timezone.now() - timedelta(days=1)).exists()
    assert GuardChange.objects.order_by("-pk").first().level == "observe"


def assert_the_desk_has_work():
    now = timezone.now()
    assert set(PrivacyRequest.objects.values_list("state", flat=True)) == {"open", "in_progress", "answered", "closed"}
    assert PrivacyRequest.objects.overdue(now).count() == 1
    assert PrivacyRequest.objects.due_within(7, now).exists()
    assert Reversal.objects.filter(confirmation=None).count() == 1
    assert Message.objects.filter(template_key="request_answered").count() == 2
    assert Message.objects.filter(template_key="request_received").count() == PrivacyRequest.objects.count()


def assert_the_surge_is_tied():
    surge = Decision.objects.filter(purpose="product_news", exit_path="one-click").count()
    incident = Incident.objects.get(title="Product news went out twice")
    assert incident.linked_count == incident.links.count() == surge > 200
    assert DecisionLink.objects.count() == surge  # nothing else happened while the alert's incident was open
    assert AlertDelivery.objects.get().outcome == "accepted"
    assert TemplateVersion.objects.exclude(state="published").count() == 1


def assert_changes_were_made():
    applied, taken_back, in_review = ChangeSet.objects.order_by("pk")
    assert [change.state for change in (applied, taken_back, in_review)] == ["applied", "rolled_back", "in_review"]
    assert 10 <= applied.change_count <= 60
    assert (applied.batches.count(), applied.protected_touched) == (applied.batch_count, 0)
    assert (taken_back.rollbacks.get().voided_count, taken_back.rollbacks.get().weakened_count) == (
        taken_back.change_count,
        0,
    )
    assert in_review.protected_touched > 100  # people who left by themselves
    assert in_review.change_count == applied.change_count
