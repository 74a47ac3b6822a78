"""A host whose clock is not the database's: what is chosen at this moment is chosen at this moment."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from consent import spool, tokens
from consent.models import Decision
from consent.services import confirm_reversal, may_contact, merge, record, request_reversal
from consent.tokens import Token
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out

BEHIND, AHEAD = timedelta(minutes=-10), timedelta(minutes=10)


@pytest.fixture
def person(db):
    """Somebody who just said yes."""
    PurposeFactory(code="marketing")
    subject = SubjectFactory().pk
    record([opt_in(subject)])
    return subject


def by_api(api, person, **more):
    body = {"subject": {"id": str(person)}, "purpose": "marketing", "channel": "email", "choice": "opt_out"}
    return api.send("/api/v1/decisions/", {**body, "cause": "subject_choice", **more})


def by_one_click(api, person):
    return Client().post(f"/u/{tokens.issue(Token(person, 'marketing', 'email'))}/", {"List-Unsubscribe": "One-Click"})


def by_preferences(api, person):
    return Client().post(f"/preferences/{tokens.issue(Token(person, 'marketing', 'email'))}/", {"action": "stop"})


@pytest.mark.parametrize("skew", [BEHIND, AHEAD], ids=["behind", "ahead"])
@pytest.mark.parametrize("way", [by_api, by_one_click, by_preferences])
def test_an_opt_out_counts_whatever_the_time_is_on_this_host(api, person, way, skew):
    with time_machine.travel(timezone.now() + skew):
        response = way(api, person)

    assert response.status_code < 400
    assert not may_contact(person, "marketing", "email")
    newest = Decision.objects.latest("pk")
    assert abs(newest.received_at - newest.decided_at) < timedelta(seconds=2)


def test_a_moment_that_the_caller_gives_is_the_caller_s(api, person):
    at = timezone.now() - timedelta(hours=3)

    by_api(api, person, decided_at=at.isoformat())

    assert Decision.objects.latest("pk").decided_at == at
    assert may_contact(person, "marketing", "email")


def test_the_second_step_back_in_comes_after_the_opt_out_on_a_host_that_is_behind(committed):
    PurposeFactory(code="marketing")
    person = SubjectFactory().pk
    record([opt_out(person)])
    reversal = request_reversal(person, "marketing", "email")

    with time_machine.travel(timezone.now() + BEHIND):
        confirm_reversal(reversal.pk)

    assert may_contact(person, "marketing", "email")


def test_a_merge_on_a_host_that_is_behind_lets_every_opt_out_stand(person):
    other = SubjectFactory().pk
    record([opt_out(other, "*", "*")])
    record([opt_in(person)])

    with time_machine.travel(timezone.now() + BEHIND):
        merge(other, person, reason="The same person", by="user:anna")

    assert not may_contact(person, "marketing", "email")


def test_what_waits_on_disk_keeps_the_moment_at_which_it_was_taken(api, person, settings, tmp_path, monkeypatch):
    settings.SPOOL_DIR = str(tmp_path / "spool")
    monkeypatch.setattr(spool._watch, "start", lambda: None)
    monkeypatch.setattr(spool._watch, "away_until", 0.0)
    spool.database_is_away()
    with time_machine.travel(timezone.now() - timedelta(seconds=90), tick=False):
        taken = timezone.now()
        assert by_api(api, person).status_code == 202

    spool.replay()

    assert Decision.objects.latest("pk").decided_at == taken
