"""The promise once more, with fixes in the walk: imports and change sets are written and taken back in any order."""

from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from consent import subjects
from consent.importing import applying, staging
from consent.importing.staging import Upload
from consent.models import Decision
from incidents.changes import rolling_back, running
from incidents.changes.migrating import NotApplied, change_set
from tests.consent.test_promise import CHANNELS, PEOPLE, PURPOSES, Person, Said, Walk
from tests.factories import PurposeFactory, email

NUMBERS = count()
keys = st.tuples(st.sampled_from(PURPOSES), st.sampled_from(CHANNELS))
some = st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True)


class Fixes(Walk):
    """What a fix wrote is read from the log; what follows from it the model says."""

    @initialize()
    def begin(self):
        super().begin()
        self.addresses = [f"person{next(NUMBERS)}@example.org" for _ in PEOPLE]
        known = subjects.find_or_make([email(address) for address in self.addresses])
        self.people = [Person(known.of(email(address)[0])) for address in self.addresses]
        self.sets, self.files = [], []

    def learn(self, decisions, label):
        by_id = {person.id: person for person in self.people}
        for d in decisions:
            person, scope = by_id[d.subject_id], (d.purpose, d.channel)
            assert not d.explicit
            assert d.choice == "opt_out" or (not person.outs(scope) and self.level != "freeze")
            person.said.append(Said(scope, d.choice == "opt_out", False, d.decided_at, label))

    def forget(self, label):
        for person in self.people:
            person.said = [each for each in person.said if each.batch != label]

    @rule(who=some, key=keys, is_out=st.booleans())
    def a_script_fixes_some(self, who, key, is_out):
        rows = [(self.people[index].id, *key) for index in who]
        try:
            with change_set("A fix", reason="It burns", leave_protected=True, batch_size=2) as script:
                (script.opt_out if is_out else script.opt_in)(rows)
            change = script.change_set
        except NotApplied as stopped:
            change = stopped.change_set
            assert (is_out, self.level) == (False, "freeze")
        written = Decision.objects.filter(batch_id__in=change.batches.values("batch_id"))
        self.learn(written, f"set {change.pk}")
        if change.state in ("applied", "paused"):
            self.sets.append(change)

    @rule(data=st.data())
    def a_script_is_taken_back(self, data):
        if self.sets:
            change = self.sets.pop(data.draw(st.integers(0, len(self.sets) - 1)))
            rolling_back.roll_back(change, reason="It was wrong", by="system:test")
            assert running.carry_through(change).state == "rolled_back"
            self.forget(f"set {change.pk}")

    @rule(who=some, key=keys)
    def a_list_of_those_who_left_elsewhere_is_imported(self, who, key):
        lines = "".join(f"{self.addresses[index]},opt_out\n" for index in who)
        upload = Upload(name="list.csv", data=f"email,choice\n{lines}".encode(), purpose=key[0], channel=key[1])
        file = staging.take(upload, by="user:ben")
        applying.apply_opt_outs(file, by="user:ben")
        written = Decision.objects.filter(batch_id__in=file.portions.values("batch_id"))
        self.learn(written, f"file {file.pk}")
        self.files.append(file)

    @rule(data=st.data())
    def a_list_is_undone(self, data):
        if self.files:
            file = self.files.pop(data.draw(st.integers(0, len(self.files) - 1)))
            applying.undo(file, reason="Another sender's", by="user:ben", confirmed_by="user:cleo")
            self.forget(f"file {file.pk}")


@pytest.mark.usefixtures("committed")
def test_whatever_is_fixed_imported_and_taken_back_the_answer_is_right_and_no_opt_out_is_lost():
    for code in PURPOSES:
        PurposeFactory(code=code, regime="opt_in")

    run_state_machine_as_test(
        Fixes,
        settings=settings(
            max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

    assert Decision.objects.exclude(batch=None).exists()
