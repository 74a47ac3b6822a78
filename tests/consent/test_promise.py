"""The promise, by random walks: in whatever order things happen, the answer is the model's and no opt-out is lost."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from consent.models import Consent, Decision, GuardChange
from consent.services import (
    DecisionsRefused,
    Query,
    check,
    confirm_reversal,
    erase,
    merge,
    open_batch,
    record,
    request_reversal,
    set_guard,
    void_batch,
)
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out

PURPOSES, CHANNELS = ["news", "offers"], ["email", "sms"]
PEOPLE = range(3)
scopes = st.tuples(st.sampled_from([*PURPOSES, "*"]), st.sampled_from([*CHANNELS, "*"]))
people = st.sampled_from(PEOPLE)
late = st.sampled_from([timedelta(0), timedelta(minutes=7), timedelta(days=40)])


@dataclass(frozen=True)
class Said:
    """A decision as the model keeps it."""

    scope: tuple[str, str]
    is_out: bool
    explicit: bool
    at: object
    batch: object = None

    def covers(self, scope):
        return self.scope[0] in (scope[0], "*") and self.scope[1] in (scope[1], "*")


@dataclass
class Person:
    """What was said about somebody; `into`: who speaks for them since a merge."""

    id: object
    said: list[Said] = field(default_factory=list)
    into: int | None = None

    def standing(self, explicit):
        """Per scope the newest of its kind; of equal ones the opt-out. A choice that nobody made yields to one."""
        best = {}
        for each in self.said:
            if each.explicit == explicit and not (
                not explicit and any(s.explicit and s.scope == each.scope for s in self.said)
            ):
                best[each.scope] = max(filter(None, (best.get(each.scope), each)), key=lambda s: (s.at, s.is_out))
        return list(best.values())

    def outs(self, scope, explicit=True):
        """Opt-outs that cover the scope, and that no later opt-in of their own or a narrower scope lifted there."""
        ruling = [s for s in self.standing(explicit) if s.covers(scope)]
        return [
            out
            for out in ruling
            if out.is_out and not any(not s.is_out and s.at > out.at and out.covers(s.scope) for s in ruling)
        ]

    def may(self, scope):
        for explicit in (True, False):
            if self.outs(scope, explicit):
                return False
            if any(s.covers(scope) and not s.is_out for s in self.standing(explicit)):
                return True
        return False  # the purposes are for those who opted in


class Walk(RuleBasedStateMachine):
    """Choices, guesses, guards, undoing, merges and erasures; after each, everybody's answer."""

    @initialize()
    def begin(self):
        self.people = [Person(SubjectFactory().pk) for _ in PEOPLE]
        self.batches, self.level = {}, "observe"
        set_guard("observe", reason="A new walk", by="system:test")

    def who(self, index):
        while self.people[index].into is not None:
            index = self.people[index].into
        return self.people[index]

    def keep(self, person, recorded, *, explicit, batch=None):
        scope = (recorded.purpose, recorded.channel)
        person.said.append(Said(scope, recorded.choice == "opt_out", explicit, recorded.decided_at, batch))

    @rule(index=people, scope=scopes, ago=late)
    def somebody_opts_out(self, index, scope, ago):
        [recorded] = record([opt_out(self.people[index].id, *scope, decided_at=timezone.now() - ago)])  # at every level
        self.keep(self.who(index), recorded, explicit=True)

    @rule(index=people, scope=scopes)
    def somebody_opts_in_at_one_press(self, index, scope):
        person = self.who(index)
        if person.outs(scope):
            with pytest.raises(DecisionsRefused, match="two steps"):
                record([opt_in(self.people[index].id, *scope)])
        else:
            [recorded] = record([opt_in(self.people[index].id, *scope)])
            self.keep(person, recorded, explicit=True)

    @rule(index=people, scope=scopes)
    def somebody_opts_in_by_two_steps(self, index, scope):
        recorded = confirm_reversal(request_reversal(self.people[index].id, *scope).pk)
        self.keep(self.who(index), recorded, explicit=True)

    @rule(index=people, scope=scopes, is_out=st.booleans(), has_batch=st.booleans(), ago=late)
    def a_job_decides_for_somebody(self, index, scope, is_out, has_batch, ago):
        person, batch = self.who(index), open_batch("backfill", reason="A fix", by="user:ben") if has_batch else None
        draft = (opt_out if is_out else opt_in)(
            person.id, *scope, explicit=False, cause="import", decided_at=timezone.now() - ago
        )
        draft = replace(draft, batch_id=batch and batch.pk)
        if not is_out and self.is_guarded(person, scope, batch):
            with pytest.raises(DecisionsRefused, match="guard"):
                record([draft])
            return
        [recorded] = record([draft])
        self.keep(person, recorded, explicit=False, batch=batch and batch.pk)
        if batch:
            self.batches[batch.pk] = batch

    def is_guarded(self, person, scope, batch):
        """What the guard refuses of opt-ins that no person made."""
        stands = any(s.is_out and s.covers(scope) for s in person.standing(True))
        return self.level == "freeze" or (self.level == "protect" and (stands or not batch))

    @rule(data=st.data())
    def a_batch_is_undone(self, data):
        if self.batches:
            key = data.draw(st.sampled_from(sorted(self.batches)))
            void_batch(self.batches.pop(key), reason="It was wrong", by="user:ben", confirmed_by="user:cleo")
            for person in self.people:
                person.said = [each for each in person.said if each.batch != key]

    @rule(level=st.sampled_from(GuardChange.Level.values))
    def the_guard_changes(self, level):
        set_guard(level, reason="As the incident goes", by="user:ben")
        self.level = level

    @rule(one=people, other=people)
    def two_turn_out_to_be_one(self, one, other):
        merged, root = self.who(one), self.who(other)
        if merged is root:
            return
        for each in [*merged.standing(True), *merged.standing(False)]:
            if each.is_out:
                root.said.append(replace(each, at=timezone.now(), batch=None))
        merge(self.people[one].id, self.people[other].id, reason="The same person", by="user:ben")
        merged.into = self.people.index(root)

    @rule(index=people)
    def somebody_is_forgotten(self, index):
        erase(self.people[index].id, by="user:ben")

    @invariant()
    def everybody_gets_the_answer_of_the_model(self):
        questions = list(product(PEOPLE, PURPOSES, CHANNELS))
        answers = check([Query(self.people[i].id, purpose, channel) for i, purpose, channel in questions])
        expected = [self.who(i).may((purpose, channel)) for i, purpose, channel in questions]
        assert [answer.allowed for answer in answers] == expected

    @invariant()
    def every_explicit_opt_out_stands_until_its_person_lifts_it(self):
        for person in self.people:
            kept = set(
                Consent.objects.explicitly_opted_out().filter(subject=person.id).values_list("purpose", "channel")
            )
            assert {s.scope for s in person.standing(True) if s.is_out} <= kept or person.into is not None
        drifted = Consent.objects.raw(
            "SELECT c.* FROM consent_consent c "
            "LEFT JOIN LATERAL consent_effective(c.subject_id, c.purpose, c.channel) e ON true "
            "WHERE c.decision_id IS DISTINCT FROM e.id"
        )
        assert list(drifted) == []


@pytest.mark.usefixtures("committed")
def test_whatever_happens_the_answer_is_right_and_no_opt_out_is_lost():
    for code in PURPOSES:
        PurposeFactory(code=code, regime="opt_in")

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

    assert Decision.objects.count() > 100
