"""Causes are looked at again, decisions never change, and each is counted once under the cause that is known by now."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from consent.identifiers import Identity
from consent.models import Decision, FeedCursor, LinkFetch
from consent.services import record
from consent.story import tell
from incidents import assessing, lifecycle, linking, rates
from incidents.crowds import crowd_in
from incidents.models import CauseAssessment, DecisionMinute
from incidents.services import change_scope
from tests.factories import ExitPathFactory, MessageFactory, PurposeFactory, SubjectFactory, incident, opt_out

pytestmark = pytest.mark.usefixtures("committed")


def pressed(message=None, **facts):
    """A press of a message's link; its decision."""
    subject = SubjectFactory()
    [recorded] = record([opt_out(subject, exit_path="one-click", message_id=message and message.pk, **facts)])
    return recorded.id


def sent(**facts):
    return MessageFactory(state="accepted", settled_at=timezone.now() - timedelta(hours=2), **facts)


def fetched(message, link="unsubscribe", ago=30, agent="browser"):
    second = (timezone.now() - timedelta(seconds=ago)).replace(microsecond=0)
    LinkFetch.objects.create(message_id=message.pk, link=link, second=second, agent=agent, count=1)


def counted():
    """Cause: count; also what stands there with nothing in it."""
    totals = Counter()
    for row in DecisionMinute.objects.filter(choice="opt_out"):
        totals[row.cause] += row.count
    return {cause: count for cause, count in totals.items() if count}


def backdate(cluster, decisions, **ago):
    """As if they had been received then, by somebody who may do anything."""
    with cluster.connect("superuser") as connection:
        connection.execute("ALTER TABLE consent_decision DISABLE TRIGGER refuse_change")
        connection.execute(
            "UPDATE consent_decision SET received_at = date_trunc('minute', received_at) - %(ago)s,"
            " decided_at = decided_at - %(ago)s - interval '1 minute' WHERE id = ANY (%(decisions)s)",
            {"ago": timedelta(**ago), "decisions": decisions},
        )
        connection.execute("ALTER TABLE consent_decision ENABLE ALWAYS TRIGGER refuse_change")


def newest(decision):
    return CauseAssessment.objects.filter(decision_id=decision).order_by("-version").first()


def test_a_choice_with_no_signs_gets_no_assessment():
    pressed(sent())

    linking.read_log()

    assert not CauseAssessment.objects.exists()
    assert counted() == {"subject_choice": 1}


def test_a_link_of_an_incident_notice_is_a_reaction_to_it():
    decision = pressed(sent(message_class="incident_notice"))

    linking.read_log()

    assert (newest(decision).cause, newest(decision).reasons) == ("incident_notice", ["notice_used"])
    assert counted() == {"incident_notice": 1}
    assert Decision.objects.get(pk=decision).cause == "subject_choice"


def test_a_persons_story_tells_what_was_found():
    decision = pressed(sent(message_class="incident_notice"))
    linking.read_log()

    [entry] = [one for one in tell([Decision.objects.get(pk=decision).subject_id]) if one.kind == "cause"]

    assert entry.text == "Cause looked at again: reaction to an alert or notice, 95 % sure (notice_used)"
    assert entry.decision == decision


def test_whoever_had_a_notice_in_the_days_before_reacts_to_it_also_by_another_way():
    subject = SubjectFactory()
    sent(message_class="incident_notice", incident_id=incident().pk, subject_id=subject.pk)
    record([opt_out(subject, purpose="analytics", channel="web", exit_path="preference-page")])

    linking.read_log()

    found = CauseAssessment.objects.get()
    assert (found.cause, found.confidence) == ("incident_notice", 80)


@pytest.fixture
def about():
    """What an incident is about whose reactions are looked for."""
    return {"purposes": [PurposeFactory(code="marketing").code]}


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({}, "incident_notice"),
        ({"mode": "drill"}, "subject_choice"),
        ({"status": "triage"}, "subject_choice"),
        ({"purposes": []}, "subject_choice"),
    ],
)
def test_behind_a_choice_is_supposed_what_is_real_and_declared_and_says_what_it_is_about(about, facts, cause):
    burning = incident(**about | facts)
    pressed(sent())

    linking.read_log()

    assert counted() == {cause: 1}
    assert burning.links.count() == 1


def test_accepted_an_incident_may_be_behind_what_was_tied_to_it_and_declined_it_is_not(about):
    alarm = incident(**about, status="triage")
    pressed(sent())
    linking.read_log()
    assert counted() == {"subject_choice": 1}

    lifecycle.accept(alarm, reason="It burns", by="user:anna")
    look_back()
    assert counted() == {"incident_notice": 1}

    lifecycle.decline(alarm, reason="A test of the pager", by="user:anna")
    look_back()
    assert counted() == {"subject_choice": 1}


def test_what_a_merge_brings_is_held_against_the_scope_again():
    PurposeFactory(code="analytics")
    of_everything, narrow = incident(), incident(purposes=["analytics"])
    pressed(sent())
    linking.read_log()

    lifecycle.merge_into(of_everything, narrow, reason="The same", by="user:anna")
    change_scope(narrow, purposes=["analytics"], exit_paths=[], reason="No other", by="user:anna")
    look_back()

    assert narrow.links.count() == 1
    assert counted() == {"subject_choice": 1}


def look_back():
    while linking.backfill():
        pass
    while linking.look_again():
        pass


def test_an_incident_declared_late_moves_the_counts_and_loses_none(about):
    decisions = [pressed(sent()) for _ in range(3)]
    linking.read_log()
    assert counted() == {"subject_choice": 3}

    incident(**about)
    while linking.backfill():
        pass
    assert linking.look_again() == 3

    assert counted() == {"incident_notice": 3}
    assert {newest(decision).reasons[-1] for decision in decisions} == {"inside_incident"}
    assert linking.look_again() == 0


def test_a_gateways_fetch_that_is_written_after_the_press_is_seen_on_the_second_look():
    message = sent()
    decision = pressed(message)
    linking.read_log()
    assert newest(decision) is None

    fetched(message, "hidden")
    linking.look_again()

    assert newest(decision).cause == "scanner_suspected"
    assert counted() == {"scanner_suspected": 1}


def test_a_suspicion_is_taken_back_by_a_further_version_when_the_rules_say_so(monkeypatch):
    message = sent()
    fetched(message, "hidden")
    decision = pressed(message)
    linking.read_log()
    assert counted() == {"scanner_suspected": 1}

    monkeypatch.setitem(assessing.causes.SIGNS, "hidden_link_fetched", 0)
    fetched(message, "preferences")
    linking.look_again()

    assert (newest(decision).version, newest(decision).cause) == (2, "subject_choice")
    assert counted() == {"subject_choice": 1}


def test_every_link_within_two_seconds_of_acceptance_is_a_gateway():
    message = MessageFactory(state="accepted", settled_at=timezone.now() - timedelta(seconds=40))
    fetched(message, "unsubscribe", ago=3)
    fetched(message, "preferences", ago=2)
    decision = pressed(message)

    linking.read_log()

    assert set(newest(decision).reasons) >= {"links_fetched_together", "soon_after_acceptance"}


def test_many_recipients_of_one_domain_who_press_as_soon_as_it_arrives_also_those_before():
    now = timezone.now()
    messages = [
        MessageFactory(
            state="accepted",
            settled_at=now - timedelta(seconds=20),
            sealed_recipient=Identity.of("email", f"p{n}@school.example").seal(),
        )
        for n in range(assessing.causes.MANY_AT_DOMAIN)
    ]
    first = [pressed(message) for message in messages[:-1]]
    real = pressed(sent(sealed_recipient=Identity.of("email", "p@elsewhere.example").seal()))
    linking.read_log()
    assert counted() == {"subject_choice": len(first) + 1}

    last = pressed(messages[-1])
    linking.read_log()

    assert {newest(one).cause for one in [*first, last]} == {"scanner_suspected"}
    assert newest(real) is None
    assert counted() == {"scanner_suspected": len(messages), "subject_choice": 1}


def test_a_service_that_writes_one_a_second_is_a_script_from_the_first_on():
    many = assessing.causes.MANY_BY_CLIENT
    start = timezone.now() - timedelta(minutes=5)
    choices = [
        opt_out(f"p{n}@example.org", actor="service:shop", exit_path="api", decided_at=start + timedelta(seconds=n))
        for n in range(many)
    ]
    record(choices[: many // 2])
    linking.read_log()
    record(choices[many // 2 :])
    linking.read_log()

    causes = set(CauseAssessment.objects.values_list("cause", flat=True))
    minutes = DecisionMinute.objects.filter(count__gt=0).values_list("minute", flat=True).distinct().count()
    assert causes == {"automated_script"} or minutes > 1  # the minute turned in between
    assert sum(counted().values()) == many


def test_only_what_the_reader_has_counted_is_moved():
    message = sent()
    fetched(message, "hidden", ago=20)
    linking.read_log()
    decision = pressed(message)

    linking.look_again()
    assert newest(decision) is None
    linking.read_log()

    assert counted() == {"scanner_suspected": 1}


def test_a_sign_that_commits_late_is_waited_for_and_not_passed_over(committed):
    early, late = sent(), sent()
    decisions = [pressed(early), pressed(late)]
    linking.read_log()

    with committed.connect("holdfast_app", autocommit=False) as slow:
        slow.execute(
            "INSERT INTO consent_linkfetch (message_id, link, second, agent, count)"
            " VALUES (%s, 'hidden', date_trunc('second', now()) - interval '30 seconds', 'browser', 1)",
            [late.pk],
        )
        fetched(early, "hidden")
        assert linking.look_again() == 0
    assert linking.look_again() == 2

    assert {newest(decision).cause for decision in decisions} == {"scanner_suspected"}


def test_a_look_back_whose_ties_were_looked_at_is_not_looked_at_again(about):
    for _ in range(3):
        pressed(sent())
    linking.read_log()
    incident(**about)
    linking.backfill(limit=2)
    assert linking.look_again() == 2
    assert linking.look_again() == 0

    linking.backfill(limit=2)

    assert linking.look_again() == 1
    assert counted() == {"incident_notice": 3}


def test_ties_are_looked_at_in_steps(about):
    for _ in range(3):
        pressed(sent())
    linking.read_log()
    incident(**about)
    linking.backfill()

    assert [assessing.second_look(linking.READER, limit=2) for _ in range(3)] == [2, 1, 0]
    assert counted() == {"incident_notice": 3}


def test_a_second_look_holds_each_press_beside_those_of_its_own_minute(committed):
    at_school = Identity.of("email", "p@school.example").seal()
    days = {
        days: [sent(sealed_recipient=at_school) for _ in range(many)]
        for days, many in ((40, assessing.causes.MANY_AT_DOMAIN), (20, assessing.causes.MANY_AT_DOMAIN), (1, 1))
    }
    presses = {ago: [pressed(message) for message in messages] for ago, messages in days.items()}
    for ago, decisions in presses.items():
        backdate(committed, decisions, days=ago)
    linking.read_log()

    for ago in (40, 1):
        fetched(days[ago][0], "hidden", ago=timedelta(days=ago).total_seconds() + 60)
    assert linking.look_again() == 2

    assert "many_at_one_domain" in newest(presses[40][0]).reasons
    assert "hidden_link_fetched" in newest(presses[1][0]).reasons
    assert "many_at_one_domain" not in newest(presses[1][0]).reasons
    minutes = {Decision.objects.get(pk=presses[ago][0]).received_at for ago in (40, 1)}
    crowd = crowd_in(minutes, [], by_link=True, cursor=FeedCursor.objects.get(reader=linking.READER), uncounted=set())
    assert crowd.members == set(presses[40])


def test_no_more_is_moved_than_was_counted(about):
    """As with made-up data, which are counted in the minutes of their story."""
    for _ in range(3):
        pressed(sent())
    linking.read_log()
    DecisionMinute.objects.update(count=1)

    incident(**about)
    linking.backfill()
    linking.look_again()

    assert counted() == {"incident_notice": 1}


def test_minutes_are_told_by_what_they_are_about_and_drills_stand_apart():
    ExitPathFactory(code="shop")
    record(
        [
            opt_out("a@example.org", purpose="analytics", channel="web", exit_path="shop"),
            opt_out("b@example.org", purpose="*", channel="*", exit_path="shop"),
            opt_out("c@example.org", exit_path="shop", actor="system:drill"),
        ]
    )
    linking.read_log()
    since, until = timezone.now() - timedelta(minutes=5), timezone.now() + timedelta(minutes=1)

    def rows(*group_by, **only):
        found = rates.by_minute(since, until, group_by, rates.Only(**only)).rows
        return [tuple(row[name] for name in (*group_by, "count")) for row in found]

    assert rows("purpose", "channel") == [("*", "*", 1), ("analytics", "web", 1)]
    assert rows("purpose", purpose="analytics") == [("*", 1), ("analytics", 1)]
    assert rows("exit_path", mode="drill") == [("shop", 1)]
    assert rows("is_drill", mode="") == [(False, 2), (True, 1)]


def test_of_too_many_rows_the_newest_are_told_and_that_there_are_more(monkeypatch):
    monkeypatch.setattr(rates, "MOST_ROWS", 2)
    now = timezone.now().replace(second=0, microsecond=0)
    for ago in (3, 2, 1):
        DecisionMinute.objects.create(minute=now - timedelta(minutes=ago), choice="opt_out", cause="import", count=ago)

    told = rates.by_minute(now - timedelta(hours=1), now, ["cause"])
    assert ([row["count"] for row in told.rows], told.is_complete) == ([2, 1], False)
    monkeypatch.setattr(rates, "MOST_ROWS", 3)
    told = rates.by_minute(now - timedelta(hours=1), now, ["cause"])
    assert ([row["count"] for row in told.rows], told.is_complete) == ([3, 2, 1], True)


def test_the_share_of_those_nobody_knows_the_reason_of():
    since, until = timezone.now() - timedelta(minutes=5), timezone.now() + timedelta(minutes=1)
    assert rates.known(since, until).share is None
    record([opt_out(f"p{n}@example.org", reasons=["asked"]) for n in range(3)])
    record([opt_out("q@example.org"), opt_out(SubjectFactory(), cause="complaint", message_id=uuid4())])
    linking.read_log()

    assert rates.known(since, until) == rates.Known(total=5, unexplained=1)
    assert rates.known(since, until).share == 0.2
