"""Files of other senders: planned, written in portions, and undone; never over a person's own opt-out."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent import services
from consent.identifiers import Identity
from consent.importing import applying, emptying, planning, staging
from consent.importing.files import FileRefused
from consent.importing.staging import Upload
from consent.models import Consent, Decision, Identifier, Import, ImportRow, Subject
from consent.services import may_contact, open_batch, record
from tests.factories import PurposeFactory, opt_in, opt_out

pytestmark = pytest.mark.django_db
OFFICER = "user:olga"


@pytest.fixture(autouse=True)
def marketing():
    return PurposeFactory(code="marketing")


def taken(text, **facts):
    facts = {"purpose": "marketing", "name": "list.csv", **facts}
    return staging.take(Upload(data=text.encode(), **facts), by=OFFICER)


def applied(imported):
    """Every portion as an approved change set writes it."""
    for number in applying.left(imported):
        batch = open_batch("import", reason="approved", by=OFFICER)
        applying.apply_portion(imported, number, batch)
    return imported


def state(address, channel="email"):
    digest = Identity.of("email", address).digest
    return (
        Consent.objects.filter(subject__identifiers__digest=digest, purpose="marketing", channel=channel)
        .values_list("state", "explicit")
        .first()
    )


def effects(imported):
    return dict(ImportRow.objects.filter(imported=imported).values_list("number", "effect"))


def test_a_dry_run_makes_nobody_and_changes_nothing():
    imported = taken("email,choice\nanna@example.org,opt_out\n")

    assert imported.counts == {"opt_out changes": 1}
    assert not Decision.objects.exists()
    assert not Subject.objects.exists()
    assert not Identifier.objects.exists()


def test_applied_everybody_is_out_and_the_log_says_by_what():
    imported = taken("email,choice,decided_at\nanna@example.org,opt_out,2026-03-01 12:00\nben@example.org,opt_out,\n")

    assert applying.apply_opt_outs(imported, by=OFFICER) == 2

    assert state("anna@example.org") == state("ben@example.org") == ("opt_out", False)
    first, second = Decision.objects.order_by("decided_at")
    assert first.decided_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert second.decided_at == imported.moment
    assert {(d.explicit, d.cause, d.actor, d.batch.kind) for d in (first, second)} == {
        (False, "import", OFFICER, "import")
    }
    assert not ImportRow.objects.exists()  # what was written waits no longer


def test_a_second_run_of_the_same_file_says_so_and_changes_nothing():
    text = "email,choice,decided_at\nanna@example.org,opt_out,2026-03-01\nben@example.org,opt_out,\n"
    first = taken(text)
    applying.apply_opt_outs(first, by=OFFICER)

    second = taken(text)

    assert staging.earlier(second) == [first]
    assert second.counts == {"opt_out same": 2}
    assert applying.apply_opt_outs(second, by=OFFICER) == 0
    assert Decision.objects.count() == 2


def test_an_import_never_opts_in_over_an_own_opt_out_whatever_its_date():
    record([opt_out("anna@example.org"), opt_out("ben@example.org", purpose="*", channel="*")])
    tomorrow_almost = timezone.now().isoformat()

    imported = taken(
        f"email,choice,decided_at\nanna@example.org,opt_in,{tomorrow_almost}\nben@example.org,opt_in,{tomorrow_almost}\n"
    )

    assert imported.counts == {"opt_in protected": 2}
    applied(imported)
    assert state("anna@example.org") == ("opt_out", True)
    assert not may_contact(Identity.of("email", "ben@example.org"), "marketing", "email")
    assert Decision.objects.count() == 2
    assert effects(imported) == {2: "protected", 3: "protected"}  # listed


def test_an_old_list_replayed_with_overwrite_weakens_no_opt_out():
    """What listmonk, Keila and Mailtrain did: a file of 90 days ago says subscribed of everybody."""
    ago = timezone.now() - timedelta(days=90)
    people = [f"person{n}@example.org" for n in range(6)]
    record([opt_out(people[0]), opt_out(people[1], decided_at=ago - timedelta(days=1))])
    old = taken(f"email,choice\n{people[2]},opt_out\n")
    applying.apply_opt_outs(old, by=OFFICER)
    record([opt_in(people[3], decided_at=ago + timedelta(days=1))])
    before = {person: state(person) for person in people[:4]}
    lines = "".join(f"{person},subscribed,{ago.isoformat()}\n" for person in people)

    first = applied(taken("email,status,subscribed_at\n" + lines))

    assert first.counts == {"opt_in changes": 2, "opt_in older": 1, "opt_in protected": 2, "opt_in same": 1}
    assert {person: state(person) for person in people[:4]} == before
    second = taken("email,status,subscribed_at\n" + lines)
    assert planning.written(second.counts) == 0
    log = Decision.objects.count()
    applied(second)
    assert Decision.objects.count() == log


def test_an_opt_out_that_changes_nothing_now_is_kept_for_when_the_other_is_undone():
    wrong = taken("email,choice,decided_at\nanna@example.org,opt_out,2026-02-01\n")
    applying.apply_opt_outs(wrong, by=OFFICER)
    right = taken("email,choice,decided_at\nanna@example.org,opt_out,2026-01-01\n")

    assert right.counts == {"opt_out kept": 1}
    applying.apply_opt_outs(right, by=OFFICER)
    applying.undo(wrong, reason="The wrong list", by=OFFICER, confirmed_by="user:ben")

    assert state("anna@example.org") == ("opt_out", False)


def test_a_person_who_opted_in_themselves_is_listed_and_the_opt_out_is_kept():
    record([opt_in("anna@example.org")])

    imported = taken("email,choice\nanna@example.org,opt_out\n")
    applying.apply_opt_outs(imported, by=OFFICER)

    assert imported.counts == {"opt_out outweighed": 1}
    assert effects(imported) == {2: "outweighed"}
    assert Decision.objects.filter(choice="opt_out", cause="import").count() == 1
    assert state("anna@example.org") == ("opt_in", True)


def test_an_opt_out_older_than_somebody_elses_opt_in_is_kept_and_changes_nothing():
    record([opt_in("anna@example.org", explicit=False, cause="support")])

    imported = taken("email,choice,decided_at\nanna@example.org,opt_out,2026-01-01\n")
    applying.apply_opt_outs(imported, by=OFFICER)

    assert imported.counts == {"opt_out older_out": 1}
    assert state("anna@example.org") == ("opt_in", False)
    assert Decision.objects.count() == 2


def test_a_person_in_two_rows_counts_once_by_the_newest_and_ties_go_out():
    both = Identity.of("email", "anna@example.org"), Identity.of("user_id", "7")
    services.record([opt_in(both, purpose="marketing", channel="sms")])

    imported = taken(
        "email,user_id,choice,decided_at\n"
        "anna@example.org,,opt_out,2026-01-01\n"
        ",7,opt_in,2026-01-02\n"
        "ben@example.org,,opt_in,2026-01-01\n"
        "BEN@example.org,,opt_out,2026-01-01\n"
    )

    assert effects(imported) == {2: "repeated", 3: "changes", 4: "repeated", 5: "changes"}
    applied(imported)
    assert state("anna@example.org") == ("opt_in", False)
    assert state("ben@example.org") == ("opt_out", False)


def test_an_opt_in_needs_an_approval_and_may_be_left_out():
    text = "email,choice,decided_at\nanna@example.org,opt_out,\nben@example.org,opt_in,2026-01-01\n"

    with pytest.raises(ValidationError, match="1 people in, which takes an approved change set"):
        applying.apply_opt_outs(taken(text), by=OFFICER)
    without = taken(text, opt_outs_only=True)

    assert applying.apply_opt_outs(without, by=OFFICER) == 1
    assert state("ben@example.org") is None
    assert ImportRow.objects.get(imported=without).why == "an opt-in, and only opt-outs were asked for"


def test_an_opt_in_that_nobody_agreed_to_stays_out_when_things_moved_since_the_plan():
    was_in, out, back_in = (timezone.now() - timedelta(days=days) for days in (9, 8, 7))
    record([opt_in("anna@example.org", explicit=False, cause="support", decided_at=was_in)])
    imported = taken(f"email,choice,decided_at\nanna@example.org,opt_in,{back_in:%Y-%m-%d %H:%M}\n", dated=None)
    assert imported.counts == {"opt_in same": 1}
    record([opt_out("anna@example.org", explicit=False, cause="support", decided_at=out)])

    applied(imported)

    assert effects(imported) == {2: "moved"}
    assert state("anna@example.org") == ("opt_out", False)


def test_an_opt_out_that_arrives_after_the_plan_stands():
    imported = taken("email,choice,decided_at\nanna@example.org,opt_in,2026-01-01\n")
    record([opt_out("anna@example.org")])

    applied(imported)

    assert state("anna@example.org") == ("opt_out", True)
    assert effects(imported) == {2: "protected"}


def test_undone_each_gets_back_what_stood_before_and_what_came_meanwhile_stays():
    record([opt_in("anna@example.org", explicit=False, cause="support", decided_at=datetime(2026, 1, 1, tzinfo=UTC))])
    imported = taken("email,choice\nanna@example.org,opt_out\nben@example.org,opt_out\ncarl@example.org,opt_out\n")
    applying.apply_opt_outs(imported, by=OFFICER)
    record([opt_out("ben@example.org")])

    assert applying.undo(imported, reason="The wrong list", by=OFFICER, confirmed_by="user:ben") == 3
    assert applying.undo(imported, reason="Again", by=OFFICER) == 0

    assert state("anna@example.org") == ("opt_in", False)
    assert state("ben@example.org") == ("opt_out", True)
    assert state("carl@example.org") == (None, False)
    imported.refresh_from_db()
    assert (imported.undone_by, imported.undone_reason) == (OFFICER, "The wrong list")


def test_the_file_of_an_import_that_was_undone_may_be_applied_again():
    text = "email,choice\nanna@example.org,opt_out\n"
    first = taken(text)
    applying.apply_opt_outs(first, by=OFFICER)
    applying.undo(first, reason="Too early", by=OFFICER, confirmed_by="user:ben")

    again = taken(text)

    assert applying.apply_opt_outs(again, by=OFFICER) == 1
    assert state("anna@example.org") == ("opt_out", False)
    with pytest.raises(ValidationError, match="was undone"):
        applying.apply_portion(first, 9, open_batch("import", reason="x", by=OFFICER))


@pytest.fixture
def portions_of_two(monkeypatch):
    monkeypatch.setattr(applying, "SIZE", 2)


def test_a_run_that_was_killed_is_gone_on_with_and_nothing_is_written_twice(portions_of_two):
    people = [f"person{n}@example.org" for n in range(6)]
    imported = taken("email,choice\n" + "".join(f"{person},opt_out\n" for person in people))
    assert list(applying.portions(imported)) == [1, 2, 3, 4]  # the first row of the file is row 1
    with suppress(KeyboardInterrupt), transaction.atomic():
        applying.apply_portion(imported, 2, open_batch("import", reason="x", by=OFFICER))
        raise KeyboardInterrupt  # killed before the commit
    applying.apply_portion(imported, 2, open_batch("import", reason="x", by=OFFICER))
    assert imported.applied_at is None

    again = applying.apply_portion(imported, 2, open_batch("import", reason="x", by=OFFICER))
    written = applying.apply_opt_outs(imported, by=OFFICER)

    assert again.written == 2
    assert written == 4
    assert Decision.objects.count() == 6
    imported.refresh_from_db()
    assert imported.applied_by == OFFICER
    assert applying.undo(imported, reason="A mistake", by=OFFICER, confirmed_by="user:ben") == 6


def test_opt_outs_of_a_file_are_taken_at_freeze():
    services.set_guard("freeze", reason="An incident", by=OFFICER)

    assert applying.apply_opt_outs(taken("email,choice\nanna@example.org,opt_out\n"), by=OFFICER) == 1


def test_whom_a_file_names_is_sealed_and_forgotten_after_thirty_days():
    imported = taken("email,choice\nanna@example.org,opt_out\nnobody,opt_out\n")
    refused = ImportRow.objects.get(imported=imported, effect="refused")
    assert b"nobody" not in bytes(refused.sealed)
    assert staging.SEAL.open(refused.sealed, f"{imported.pk}:{refused.number}") == "nobody | opt_out"
    assert emptying.forget() == 0

    older = timezone.now() - timedelta(days=31)
    imported = Import.objects.create(
        file_name="old.csv", digest=b"1" * 32, size=1, sender="holdfast", purpose="*", channel="email",
        moment=older, rows=3, created_at=older, created_by=OFFICER,
    )  # fmt: skip
    ImportRow.objects.update(imported=imported)  # nobody may change when a file came, so another takes its rows

    assert emptying.forget() == 1
    assert emptying.forget() == 0
    left = ImportRow.objects.get()
    assert (left.effect, left.sealed) == ("refused", None)
    with pytest.raises(ValidationError, match="older than 30 days"):
        applying.apply_opt_outs(imported, by=OFFICER)


def test_a_person_who_is_erased_is_erased_from_the_rows_that_wait_too():
    record([opt_in("anna@example.org")])
    taken("email,choice\nanna@example.org,opt_out\nben@example.org,opt_out\n")

    services.erase(Subject.objects.get().pk, by=OFFICER)

    digest = Identity.of("email", "anna@example.org").digest
    assert ImportRow.objects.get(digest=digest).sealed is None
    assert ImportRow.objects.exclude(digest=digest).get().sealed is not None


def test_a_file_without_rows_keeps_nothing():
    with pytest.raises(FileRefused, match="no rows"):
        taken("email,choice\n")

    assert not Import.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        "digest = '\\x00'",
        "created_by = 'user:other'",
        "moment = now()",
        "purpose = '*'",
        "applied_at = NULL, applied_by = ''",
        "counts = '{}'",
    ],
)
def test_what_came_and_what_was_applied_stays_as_it_was_told(change):
    applying.apply_opt_outs(taken("email,choice\nanna@example.org,opt_out\n"), by=OFFICER)

    with pytest.raises(DatabaseError, match="stays as it came"), connection.cursor() as cursor:
        cursor.execute(f"UPDATE consent_import SET {change}")


def test_a_portion_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="has no portion 2, but 1 of them"):
        applying.apply_portion(
            taken("email,choice\nanna@example.org,opt_out\n"), 2, open_batch("import", reason="x", by=OFFICER)
        )


def test_an_undone_import_stays_undone():
    imported = taken("email,choice\nanna@example.org,opt_out\n")
    applying.apply_opt_outs(imported, by=OFFICER)
    with pytest.raises(ValidationError, match="Say why"):
        applying.undo(imported, reason=" ", by=OFFICER)
    applying.undo(imported, reason="A mistake", by=OFFICER, confirmed_by="user:ben")

    with pytest.raises(DatabaseError, match="stays as it came"):
        Import.objects.update(undone_at=None, undone_by="", undone_reason="")


people = st.sampled_from([f"p{n}@example.org" for n in range(4)])
choices = st.sampled_from(["opt_out", "opt_in"])
moments = st.sampled_from(["2026-01-01", "2026-02-01", "2026-03-01"])
rows = st.lists(st.tuples(people, choices, moments), min_size=1, max_size=8)
own = st.lists(st.tuples(people, choices, st.booleans(), moments), max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(own=own, rows=rows)
def test_whatever_stands_and_whatever_comes_a_second_run_changes_nothing(own, rows):
    with transaction.atomic():
        make = {"opt_out": opt_out, "opt_in": opt_in}
        for person, choice, explicit, moment in own:
            cause = "subject_choice" if explicit else "support"
            at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
            if explicit and choice == "opt_in" and state(person) == ("opt_out", True):
                continue  # takes two steps
            record([make[choice](person, explicit=explicit, cause=cause, decided_at=at)])
        out_themselves = {person for person, *_ in own if state(person) == ("opt_out", True)}
        text = "email,choice,decided_at\n" + "".join(",".join(row) + "\n" for row in rows)

        applied(taken(text))
        once = {person: state(person) for person, *_ in rows}
        log = Decision.objects.count()
        second = taken(text)
        applied(second)

        assert planning.written(second.counts) == 0
        assert Decision.objects.count() == log
        assert {person: state(person) for person, *_ in rows} == once
        assert all(state(person) == ("opt_out", True) for person in out_themselves)
        transaction.set_rollback(True)


def test_an_opt_out_that_stood_when_it_was_planned_is_written_if_that_was_undone_since():
    wrong = taken("email,choice,decided_at\nanna@example.org,opt_out,2026-01-01\n")
    applying.apply_opt_outs(wrong, by=OFFICER)
    right = taken("email,choice,decided_at\nanna@example.org,opt_out,2026-01-01\n", name="other.csv")
    assert right.counts == {"opt_out same": 1}
    applying.undo(wrong, reason="The wrong list", by=OFFICER, confirmed_by="user:ben")

    assert applying.apply_opt_outs(right, by=OFFICER) == 1

    assert state("anna@example.org") == ("opt_out", False)
