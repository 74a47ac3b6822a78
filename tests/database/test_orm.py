"""The same attacks through Django's ORM as the site, and simple-history as it reads what the database wrote."""

from datetime import timedelta

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured, PermissionDenied
from django.core.management import call_command
from django.db import ProgrammingError, transaction
from django.utils import timezone
from simple_history.utils import bulk_create_with_history, update_change_reason

from consent.models import Consent, Decision, Identifier, Subject
from consent.services import open_batch, record, void
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out

History = Consent.history.model


def _saved(row, **changes):
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()


def _consent(**facts):
    subject = Subject.objects.get_or_create(pk="00000000-0000-0000-0000-00000000000e")[0]
    return Consent(subject=subject, purpose="news", channel="sms", state="opt_in", version=1, **facts)


ATTACKS = {
    "update": lambda: Consent.objects.update(state="opt_in"),
    "save": lambda: _saved(Consent.objects.first(), state="opt_in"),
    "save of a new one": lambda: _consent().save(),
    "bulk_create": lambda: Consent.objects.bulk_create([_consent()]),
    "bulk_create that updates": lambda: Consent.objects.bulk_create(
        [_consent()],
        update_conflicts=True,
        unique_fields=["subject", "purpose", "channel"],
        update_fields=["state"],
    ),
    "bulk_update": lambda: Consent.objects.bulk_update([_consent(id=1)], ["state"]),
    "delete": lambda: Consent.objects.all()._raw_delete("default"),
    "delete of one": lambda: Consent.objects.first().delete(),
    "with history": lambda: bulk_create_with_history([_consent()], Consent),
    "update of decisions": lambda: Decision.objects.update(choice="opt_in"),
    "save of a decision": lambda: _saved(Decision.objects.first(), choice="opt_in"),
    "delete of a decision": lambda: Decision.objects.first().delete(),
    "delete of decisions": lambda: Decision.objects.all()._raw_delete("default"),
    "bulk_update of decisions": lambda: Decision.objects.bulk_update(
        [Decision(id=d.id, explicit=False) for d in Decision.objects.all()], ["explicit"]
    ),
    "a decision with its own facts": lambda: Decision.objects.bulk_create(
        [Decision(subject=Subject.objects.first(), purpose="news", channel="sms", choice="opt_in", cause="support",
                  decided_at=timezone.now(), actor="x", tx=1, received_at=timezone.now())]
    ),
    "history's save": lambda: _saved(History.objects.first(), state="opt_in"),
    "history's delete": lambda: History.objects.first().delete(),
    "history's update": lambda: History.objects.update(state="opt_in"),
    "history's bulk_create": lambda: History.objects.bulk_create([History(id=1, version=99)]),
    "update_change_reason": lambda: update_change_reason(Consent.objects.first(), "Because"),
    "clean_old_history": lambda: call_command("clean_old_history", "consent.Consent", days=-1, verbosity=0),
    "clean_duplicate_history": lambda: call_command("clean_duplicate_history", "consent.Consent", verbosity=0),
    "populate_history": lambda: call_command("populate_history", "consent.Consent", verbosity=0),
    "delete of addresses": lambda: Identifier.objects.all()._raw_delete("default"),
}  # fmt: skip
# The site's own login may not; simple-history's writer is off; a command that finds nothing to do does nothing.
REFUSALS = (ProgrammingError, PermissionDenied, ImproperlyConfigured, FieldError)
NOTHING_TO_DO = {"clean_duplicate_history", "populate_history"}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_path_through_the_orm_changes_a_state(siege, name):
    before = siege.held()

    if name in NOTHING_TO_DO:
        ATTACKS[name]()
    else:
        with pytest.raises(REFUSALS), transaction.atomic():
            ATTACKS[name]()

    assert siege.held() == before


@pytest.fixture
def changed(db):
    """A consent with four versions, one transaction: in, out by import voided, out, and a hand's breadth of time."""
    PurposeFactory(code="marketing")
    subject, now = SubjectFactory(), timezone.now()
    batch = open_batch("import", reason="List", by="user:anna")
    record([opt_in(subject, explicit=False, cause="import", batch_id=batch.pk, decided_at=now - timedelta(hours=3))])
    bad = record([opt_out(subject, explicit=False, cause="import", decided_at=now - timedelta(hours=2))])
    void([bad[0].id], reason="Wrong list", by="user:ben", confirmed_by="user:cleo")
    record([opt_out(subject, actor="service:shop", decided_at=now)])
    return Consent.objects.get(subject=subject)


def test_every_change_is_one_version_newest_first_and_names_who_and_why(changed):
    rows = list(changed.history.all())

    assert [(r.version, r.history_type, r.state, r.previous) for r in rows] == [
        (4, "~", "opt_out", "opt_in"),
        (3, "~", "opt_in", "opt_out"),
        (2, "~", "opt_out", "opt_in"),
        (1, "+", "opt_in", None),
    ]
    assert (rows[0].history_user_id, rows[0].history_change_reason) == ("service:shop", "subject_choice")
    assert {r.db_user for r in rows} == {"holdfast_app"}


def test_neighbours_differences_and_the_newest_are_found(changed):
    newest = changed.history.most_recent()
    last = changed.history.first()

    assert (newest.state, newest.version) == ("opt_out", 4)
    assert last.prev_record.version == 3
    assert last.prev_record.next_record == last
    assert (last.next_record, changed.history.last().prev_record) == (None, None)
    assert {change.field for change in last.diff_against(last.prev_record).changes} >= {"state", "explicit", "cause"}
    assert changed.history.latest() == last


def test_a_moment_in_the_past_is_answered_for_one_and_for_all(changed):
    second = changed.history.get(version=2)

    assert changed.history.as_of(second.history_date).state == "opt_out"
    assert [c.version for c in Consent.history.as_of(second.history_date)] == [2]
    assert [h.version for h in Consent.history.latest_of_each()] == [4]


def test_versions_of_one_transaction_never_bear_the_same_date(changed):
    dates = list(changed.history.order_by("version").values_list("history_date", flat=True))

    assert dates == sorted(set(dates))
