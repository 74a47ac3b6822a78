"""A plan says what a set would do to whom, and does nothing."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.utils import timezone

from consent.bulk import Instruction, Selected
from consent.models import ANY, Channel, Decision, Purpose
from consent.services import may_contact, merge, record
from incidents.changes import deciding, planning, staging, staleness
from incidents.changes.operations import problems_of
from incidents.models import ChangeSet, Incident, PlannedWrite
from tests.factories import EndpointFactory, ExitPathFactory, PurposeFactory, SubjectFactory, incident, opt_in, opt_out
from tests.incidents.change_sets import IN, LISTED, OUT, draft, imported, leaves, planned, stays

pytestmark = pytest.mark.django_db
Effect = PlannedWrite.Effect


def effects(change):
    rows = change.writes.order_by("position").values_list("subject_id", "choice", "effect")
    return {person: (choice, effect) for person, choice, effect in rows}


def refused(*operations, **facts):
    with pytest.raises(ValidationError) as error:
        planned(*operations, **facts)
    return " ".join(error.value.messages)


def test_a_plan_counts_what_would_change_and_writes_nothing():
    people = imported(3, locale="de-DE")
    before = Decision.objects.count()

    change = planned(OUT)

    assert (change.change_count, change.same_count, change.protected_count) == (3, 0, 0)
    assert effects(change) == dict.fromkeys(people, ("opt_out", "changes"))
    assert change.matrix == [
        {"purpose": "marketing", "region": "DE", "before": "opted in", "after": "opted out", "count": 3}
    ]
    assert change.state == ChangeSet.State.DRAFT
    assert Decision.objects.count() == before


def test_explicit_opt_outs_are_counted_and_never_among_what_is_written():
    out, wide, kept, plain = imported(4, choice="opt_out")
    leaves(out)
    record([opt_out(wide, purpose=ANY, channel=ANY)])
    stays(kept)

    change = planned(IN, selector={"purpose": "marketing", "channel": "email"})

    assert effects(change)[out] == effects(change)[wide] == ("opt_in", Effect.PROTECTED)
    assert effects(change)[kept] == ("opt_in", Effect.SAME)
    assert effects(change)[plain] == ("opt_in", Effect.CHANGES)
    assert (change.protected_count, change.protected_touched) == (2, 2)
    assert {row["before"] for row in change.matrix if row["before"] == row["after"]} == {
        "opted out by themselves", "opted in by themselves",
    }  # fmt: skip


def test_a_persons_own_opt_in_is_not_written_over_either_and_counts_as_no_harm():
    (person,) = imported(1)
    stays(person)

    change = planned(OUT, selector={"purpose": "marketing"})

    assert effects(change)[person] == ("opt_out", Effect.PROTECTED)
    assert (change.change_count, change.protected_count, change.protected_touched) == (0, 1, 0)


@pytest.mark.parametrize(
    ("locale", "region"),
    [("de-AT", "AT"), ("de_CH", "CH"), ("zh-Hant-TW", "TW"), ("es-419", "419"), ("de", "unknown"), ("", "unknown")],
)
def test_a_region_is_that_of_the_persons_locale(locale, region):
    imported(1, locale=locale)

    assert [row["region"] for row in planned(OUT).matrix] == [region]
    assert planned(OUT, selector=LISTED | {"regions": [region]}).change_count == 1


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ({"purpose": "marketing"}, 3),
        ({"purpose": "marketing", "state": "opt_out"}, 1),
        ({"cause": "import", "explicit": False}, 2),
        ({"actor": "subject"}, 1),
        ({"decided_before": "2020-01-01T00:00:00Z"}, 0),
        ({"decided_after": "2020-01-01T00:00:00Z"}, 3),
    ],
)
def test_a_selector_asks_for_consents_by_what_is_known_of_them(selector, count):
    first, *_ = imported(3)
    leaves(first)

    if not count:
        assert "about nobody" in refused(OUT, selector=selector)
    else:
        change = planned(OUT, selector=selector)
        assert change.change_count + change.same_count == count


def test_a_selector_names_a_batch_or_people():
    people = imported(2)
    imported(2)
    batch = Decision.objects.get(subject=people[0]).batch_id

    of_batch = planned(OUT, selector={"batch": str(batch)})
    of_people = planned(OUT, selector={"subjects": [str(people[1])]})

    assert set(effects(of_batch)) == set(people)
    assert set(effects(of_people)) == {people[1]}


def test_whoever_never_decided_gets_a_default_and_nobody_else_does():
    _, wide = imported(2)
    record([opt_out(wide, purpose="marketing", channel=ANY)])
    never = SubjectFactory(locale="fr-FR").pk
    SubjectFactory(is_canary=True)
    default = {"choice": "opt_out", "purpose": "marketing", "channel": "email"}

    for change in (
        planned({"operation": "backfill", "args": default}, selector={}),
        planned({"operation": "set_choice", "args": default}, selector={"never_asked": True}),
    ):
        assert effects(change) == {never: ("opt_out", Effect.CHANGES)}
        assert change.matrix[0] | {"count": 0} == {
            "purpose": "marketing", "region": "FR", "before": "never asked", "after": "opted out", "count": 0,
        }  # fmt: skip


def test_a_restore_gives_back_what_stood_at_a_moment_but_not_over_a_persons_choice():
    first, second = imported(2)
    then = timezone.now()
    for person in (first, second):
        record([opt_out(person, explicit=False, cause="default", actor="system:job")])
    leaves(second)

    change = planned({"operation": "restore", "args": {"moment": then.isoformat()}}, selector={"purpose": "marketing"})

    assert effects(change) == {first: ("opt_in", Effect.CHANGES), second: ("opt_in", Effect.PROTECTED)}


def test_a_segment_becomes_exactly_its_list():
    listed, dropped, own = imported(3)
    stays(own)
    new = SubjectFactory().pk
    args = {"choice": "opt_in", "purpose": "marketing", "channel": "email"}
    change = draft({"operation": "sync_segment", "args": args}, selector={})
    staging.bring(change, [Instruction(person, "marketing", "email", "opt_in") for person in (listed, new)])

    change = planning.plan(change, by="user:anna")

    assert effects(change) == {
        listed: ("opt_in", Effect.SAME), new: ("opt_in", Effect.CHANGES), dropped: ("opt_out", Effect.CHANGES),
        own: ("opt_out", Effect.PROTECTED),
    }  # fmt: skip


def test_imported_rows_are_taken_from_where_they_lie_and_older_ones_change_nothing():
    newer, older = imported(2, choice="opt_out")
    change = draft({"operation": "import"}, selector={})
    long_ago = timezone.now() - timedelta(days=400)
    staging.bring(change, [Instruction(newer, "marketing", "email", "opt_in")])
    staging.bring(
        change, Selected("SELECT %s::uuid, 'marketing', 'email', 'opt_in', %s::timestamptz", [older, long_ago])
    )

    change = planning.plan(change, by="user:anna")

    assert effects(change) == {newer: ("opt_in", Effect.CHANGES), older: ("opt_in", Effect.SAME)}


def test_the_last_operation_that_names_a_key_rules_and_a_merged_person_is_the_other_one():
    first, second = imported(2)
    merge(second, first, reason="The same person", by="user:anna")
    change = draft({"operation": "import"}, selector={})
    staging.bring(change, [Instruction(second, "marketing", "email", "opt_out")])

    assert effects(planning.plan(change, by="user:anna")) == {first: ("opt_out", Effect.CHANGES)}
    assert effects(planned(IN, OUT)) == {first: ("opt_out", Effect.CHANGES)}


def test_rows_that_cannot_be_written_are_counted_all_at_once():
    (person,) = imported(1)
    change = draft({"operation": "import"}, selector={})
    staging.bring(
        change,
        [
            Instruction(SubjectFactory.build().pk, "marketing", "email", "opt_out"),
            Instruction(person, "moonlight", "email", "opt_out"),
            Instruction(person, "marketing", "smoke", "opt_out"),
            Instruction(person, "marketing", "email", "opt_out", timezone.now() + timedelta(days=1)),
        ],
    )

    with pytest.raises(ValidationError) as error:
        planning.plan(change, by="user:anna")

    assert len(error.value.messages) == 4


@pytest.mark.parametrize(
    ("operations", "selector", "words"),
    [
        ([], {}, "1 to 20"),
        ([{"operation": "dance"}], {}, "there is no dance"),
        ([{"operation": "set_choice", "args": {"choice": "maybe"}}], LISTED, "is not one of"),
        ([OUT], {}, "say to whom"),
        ([OUT], {"moon": 1}, "Additional properties"),
        ([OUT], {"subjects": ["me"]}, "UUIDs"),
        ([OUT], {"decided_after": "yesterday"}, "does not match"),
        ([OUT], {"never_asked": True}, "name purpose and channel"),
        ([OUT], {"never_asked": True, "state": "opt_in"}, "never asked has no state"),
        ([{"operation": "import"}], LISTED, "leave it out"),
        ([OUT, {"operation": "hold_transport", "args": {"transport": "relay"}}], LISTED, "Make two of it"),
        ([{"operation": "rows"}], {}, "come with the script"),
        (
            [{"operation": "backfill", "args": {"choice": "opt_out", "purpose": "marketing", "channel": "email"}}],
            {"cause": "import"},
            "subjects or regions only",
        ),
    ],
)
def test_what_cannot_be_done_is_said_when_it_is_written(operations, selector, words):
    with pytest.raises(ValidationError) as error:
        deciding.write("A fix", reason="It burns", operations=operations, selector=selector, by="user:anna")

    assert words in " ".join(error.value.messages)


def test_a_moment_that_does_not_exist_is_refused_by_the_plan_in_words():
    imported(1)

    assert "cannot read it" in refused(OUT, selector={"decided_after": "2026-13-99T00:00:00Z"})


def test_a_forecast_tells_of_services_that_follow_and_of_no_message():
    imported(3)
    EndpointFactory(purposes=["marketing"])
    EndpointFactory(purposes=["support"])
    EndpointFactory()

    forecast = planned(OUT).forecast

    assert (forecast["webhooks"], forecast["messages"]) == (6, 0)
    assert forecast["seconds"] >= 1


def test_the_digest_is_of_the_rows_and_of_all_that_says_what_is_done_with_them():
    people = imported(2)

    plain, again, smaller = planned(OUT), planned(OUT), planned(OUT, batch_size=1)
    other = planned(OUT, selector=LISTED | {"subjects": [str(people[0])]})

    assert bytes(plain.plan_digest) == bytes(again.plan_digest)
    assert len({bytes(change.plan_digest) for change in (plain, smaller, other)}) == 3


def test_two_people_agree_to_what_reaches_many_or_changes_a_rule(monkeypatch):
    imported(2)
    PurposeFactory(code="news")
    monkeypatch.setattr("incidents.changes.policy.LARGE", 1)

    assert planned(OUT).required_approvals == 2
    regime = {"operation": "set_purpose", "args": {"code": "news", "to": {"regime": "opt_out"}}}
    name = {"operation": "set_purpose", "args": {"code": "news", "to": {"name": "Product news"}}}
    assert planned(regime, selector={}).required_approvals == 2
    assert planned(name, selector={}).required_approvals == 1


def test_a_rule_is_planned_by_whom_it_decides_about():
    PurposeFactory(code="news")
    SubjectFactory(locale="de-DE")
    here, everywhere, agreed = (SubjectFactory(locale="de-DE") for _ in range(3))
    record([opt_out(here, purpose="news", channel="email"), opt_out(everywhere, purpose="news", channel=ANY)])
    record([opt_in(agreed, purpose="news", channel=channel) for channel in Channel.values])

    change = planned({"operation": "set_purpose", "args": {"code": "news", "to": {"regime": "opt_out"}}}, selector={})

    assert change.kind == ChangeSet.Kind.CONFIG
    assert change.matrix == [
        {"purpose": "news", "region": "DE", "before": before, "after": "contactable", "count": 1}
        for before in ("not contactable", "not contactable, and opted out themselves by another way")
    ]
    assert planning.told(change).endswith(
        "2 people would be answered otherwise, of whom 1 opted out themselves by another way."
    )
    Purpose.objects.update(regime="opt_out")
    assert [may_contact(here.pk, "news", channel) for channel in ("email", "sms")] == [False, True]  # as it says
    Purpose.objects.update(regime="opt_in")
    assert change.configuration[0]["before"] == {"regime": "opt_in"}
    assert Purpose.objects.get(pk="news").regime == "opt_in"


def test_a_rule_that_the_purpose_refuses_is_refused_by_the_plan():
    PurposeFactory(code="news")

    mandatory = {"operation": "set_purpose", "args": {"code": "news", "to": {"regime": "mandatory"}}}
    unknown = {"operation": "set_exit_path", "args": {"code": "moonlight", "to": {"is_active": False}}}

    assert "Register a new one" in refused(mandatory, selector={})
    assert "no way out moonlight" in refused(unknown, selector={})


def hold(verb):
    return {"operation": f"{verb}_transport", "args": {"transport": "relay"}}


def set_purpose(**to):
    return {"operation": "set_purpose", "args": {"code": "news", "to": to}}


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ([hold("hold"), hold("release")], "operations 1 and 2 both change the transport relay."),
        ([hold("hold"), set_purpose(name="News"), set_purpose(is_public=True, name="Other")],
         "operations 2 and 3 both change the name of the purpose news."),
        ([OUT, {"operation": "restore", "args": {"moment": "2026-03-01T00:00Z"}}], "under different causes"),
        ([{"operation": "import"}, {"operation": "import"}], "one list of rows"),
    ],
)  # fmt: skip
def test_operations_that_meet_on_one_thing_are_two_sets(operations, words):
    selector = LISTED if OUT in operations else {}
    assert words in " ".join(problems_of(operations, selector))


def test_operations_on_different_things_are_one_set():
    assert problems_of([hold("hold"), set_purpose(name="News"), set_purpose(is_public=True)], {}) == []


# Staleness


def test_a_plan_holds_while_only_people_choose():
    first, _ = imported(2)
    change = planned(OUT)

    leaves(first)

    assert staleness.stale_because(change) == ""


def test_a_plan_is_stale_when_something_else_wrote_about_its_people():
    first, _ = imported(2)
    change = planned(OUT)

    record([opt_out(first, explicit=False, cause="import", actor="system:job")])

    assert "1 of its keys" in staleness.stale_because(change)


def test_what_is_written_about_other_people_leaves_a_plan_alone():
    imported(2)
    change = planned(OUT)

    imported(2, choice="opt_out")

    assert staleness.stale_because(change) == ""


@pytest.mark.parametrize("of", ["purpose", "way out", "age"])
def test_a_plan_is_stale_when_the_configuration_moved_or_a_day_has_passed(of):
    imported(1)
    path = ExitPathFactory(code="app", name="App")
    change = planned(OUT)

    if of == "purpose":
        Purpose.objects.filter(pk="marketing").update(regime="opt_out")
    elif of == "way out":
        path.is_active = False
        path.save()
    else:
        change.planned_at -= timedelta(hours=25)

    assert staleness.stale_because(change)


def test_the_use_of_a_way_out_is_no_change_of_configuration():
    imported(1)
    path = ExitPathFactory(code="app", name="App")
    change = planned(OUT)

    path.last_used_at = timezone.now()
    path.save()

    assert staleness.stale_because(change) == ""


def test_a_plan_that_is_made_again_replaces_the_one_before():
    imported(1)
    change = planned(OUT)
    imported(1)

    change = planning.plan(change, by="user:anna")

    assert change.writes.count() == change.change_count == 2


# Near misses


def test_a_plan_that_touches_peoples_own_opt_outs_is_not_submitted_and_is_told_as_a_near_miss():
    first, _ = imported(2, choice="opt_out")
    leaves(first)
    change = planned(IN, selector={"purpose": "marketing"})

    with pytest.raises(ValidationError, match="never written"):
        deciding.submit(change, by="user:anna")

    told = Incident.objects.near_misses().get()
    assert told.caused_by_change_set == change.ref
    assert told.type == "bulk_resubscribe"
    change.refresh_from_db()
    assert change.state == ChangeSet.State.DRAFT


def test_leaving_them_out_knowingly_is_said_by_its_author():
    first, _ = imported(2, choice="opt_out")
    leaves(first)

    change = deciding.submit(planned(IN, selector={"purpose": "marketing"}, leaves_protected=True), by="user:anna")

    assert change.state == ChangeSet.State.IN_REVIEW
    assert not Incident.objects.near_misses().exists()


def test_its_incident_is_told_of_it():
    imported(1)
    fire = incident()

    planned(OUT, incident=fire)

    lines = fire.timeline.filter(kind="change_set").values_list("text", flat=True)
    assert [text.split(": ")[1].split(".")[0] for text in lines] == ["written", "planned"]


# The database holds it too


def test_the_database_refuses_to_change_a_plan_that_was_submitted():
    imported(1)
    change = deciding.submit(planned(OUT), by="user:anna")
    row = change.writes.get()
    attacks = [
        lambda: PlannedWrite.objects.filter(pk=row.pk).update(choice="opt_in"),
        lambda: PlannedWrite.objects.filter(pk=row.pk).update(effect="same"),
        lambda: PlannedWrite.objects.filter(pk=row.pk).delete(),
        lambda: PlannedWrite.objects.bulk_create([PlannedWrite(
            change_set=change, position=2, subject=SubjectFactory(), purpose="marketing", channel="email",
            choice="opt_in", version=0, before_explicit=False, region="DE", effect="changes")]),
        lambda: ChangeSet.objects.filter(pk=change.pk).update(operations=[IN]),
        lambda: ChangeSet.objects.filter(pk=change.pk).update(required_approvals=0),
        lambda: ChangeSet.objects.filter(pk=change.pk).update(created_by="user:ben"),
        lambda: ChangeSet.objects.filter(pk=change.pk).update(plan_digest=b"\0" * 32),
        lambda: staging.bring(change, [Instruction(row.subject_id, "marketing", "email", "opt_in")]),
    ]  # fmt: skip

    for attack in attacks:
        with pytest.raises(DatabaseError) as error, transaction.atomic():
            attack()
        assert error.value.__cause__.sqlstate == "HF013"
