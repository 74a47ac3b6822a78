"""A bad change set of 7,000 keys is taken back among 20,000 people who go on choosing: nobody is wrong, none is lost.

The repair is slowed: each portion sleeps with its keys locked, and the next one begins when every session has recorded
more. What must stand afterwards is worked out by a plain model of the log.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from threading import Condition
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Max, Min

from consent.bulk import Instruction, write_batch
from consent.models import Consent, Decision, DecisionVoid, Subject
from consent.services import open_batch, record, void
from incidents.changes import applying, deciding, planning, rolling_back, running, staging
from incidents.models import ChangeSet, Rollback, RollbackItem
from tests.factories import PurposeFactory, opt_in, opt_out
from tests.incidents.change_sets import draft, drifted, fresh, officer, one_step, taken_back

KEY = ("marketing", "email")
PORTIONS, SLEEP = 14, timedelta(seconds=0.15)
LIST = 12  # choices that a session records at once
PATIENCE = 60  # seconds until a session that records nothing more fails the test

SLOW = """
    CREATE FUNCTION test_sleep() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep({}); RETURN NULL; END $$;
    CREATE TRIGGER z_sleep AFTER INSERT ON consent_decisionvoid FOR EACH STATEMENT EXECUTE FUNCTION test_sleep();
"""
MUST_ARRIVE = (
    "opt_out", "opt_in", "of others", "before the repair came to them", "while the repair held them", "after it",
)  # fmt: skip
Key = tuple[UUID, str, str]
Standing = tuple[str | None, int | None]  # the state, and the decision that it stands by


class Crowd(NamedTuple):
    """20,000 people by what stood for them before the set: nobody of `bad` chose anything themselves."""

    people: list[UUID]

    @property
    def bad(self) -> dict[str, list[UUID]]:
        """Whom the set changes, and what it makes of them."""
        return {"opt_in": self.people[:4_000] + self.people[6_000:7_000], "opt_out": self.people[4_000:6_000]}

    @property
    def own(self) -> dict[str, list[UUID]]:
        """Who chose before. The set would opt in half of those who left, and must not."""
        return {"opt_out": self.people[7_000:8_000], "opt_in": self.people[8_000:9_000]}

    @property
    def listed(self) -> dict[str, list[UUID]]:
        """Of whom an import said something; the rest was never asked."""
        return {
            "opt_out": self.people[:4_000] + self.people[9_000:13_000],
            "opt_in": self.people[4_000:6_000] + self.people[13_000:17_000],
        }


class Sessions:
    """People who choose by several sessions at once, for as long as the block lasts."""

    def __init__(self) -> None:
        self.heard, self.is_over = Condition(), False
        self.answered: list[int] = []  # the ids of all that was answered: each of them must be in the log
        self.calls: Counter[str] = Counter()
        self.running: dict[str, Future[None]] = {}

    @contextmanager
    def of(self, **lists: Iterator[list]) -> Iterator[None]:
        with ThreadPoolExecutor(len(lists)) as pool:
            try:
                self.running = {name: pool.submit(self._choose, name, given) for name, given in lists.items()}
                yield
            finally:
                with self.heard:
                    self.is_over = True
                    self.heard.notify_all()
        for session in self.running.values():
            session.result()

    def _choose(self, name: str, lists: Iterator[list]) -> None:
        try:
            for choices in lists:
                with transaction.atomic():
                    told = record(choices)
                    if name == "slow":  # as a service does that has more to do before it commits
                        self._rest(0.05)
                with self.heard:
                    self.answered += [one.id for one in told]
                    self.calls[name] += 1
                    self.heard.notify_all()
                if self._rest(0.01):
                    return
        finally:
            connection.close()

    def _rest(self, seconds: float) -> bool:
        with self.heard:
            return self.heard.wait_for(lambda: self.is_over, seconds)

    def each_goes_on(self) -> None:
        """Wait until every session has recorded more than it had."""
        with self.heard:
            before = self.calls.copy()
            self.heard.wait_for(self._have_moved(before), PATIENCE)
            for session in self.running.values():
                if session.done():
                    session.result()  # which says why it ended
            assert all(self.calls[name] > before[name] for name in self.running), "a session stands still"

    def _have_moved(self, before: Counter[str]):
        return lambda: all(session.done() or self.calls[name] > before[name] for name, session in self.running.items())


def leaving(people: list[UUID], seed: int) -> Iterator[list]:
    """Opt-outs in another order for each session, also of the same people; one in twenty leaves everything."""
    chance = Random(seed)
    while True:
        for some in _lists(chance.sample(people, len(people))):
            yield [opt_out(one, *(("*", "*") if chance.random() < 0.05 else KEY)) for one in some]


def staying(people: list[UUID], seed: int) -> Iterator[list]:
    """Opt-ins, and every third of them thinks better of it in the next list."""
    chance, late = Random(seed), []
    for some in _lists(chance.sample(people, len(people))):
        yield [opt_in(one, *KEY) for one in some]
        late += some[::3]
        if len(late) >= LIST:
            yield [opt_out(one, *KEY) for one in late]
            late = []
    while True:
        yield [opt_in(people[0], "news", "sms")]  # all have chosen: the session goes on


def _lists(people: list[UUID]) -> Iterator[list[UUID]]:
    return (people[start : start + LIST] for start in range(0, len(people), LIST))


def arranged() -> Crowd:
    PurposeFactory(code="marketing")
    PurposeFactory(code="news")
    crowd = Crowd([one.pk for one in Subject.objects.bulk_create([Subject() for _ in range(20_000)], 5_000)])
    batch = open_batch("import", reason="List of March", by="user:anna")
    for choice, people in crowd.listed.items():
        write_batch(batch, [Instruction(one, *KEY, choice) for one in people], cause="import", by="user:anna")
    for choice, people in crowd.own.items():
        record([{"opt_in": opt_in, "opt_out": opt_out}[choice](one, *KEY) for one in people])
    return crowd


def applied_badly(crowd: Crowd) -> ChangeSet:
    """A list with its columns mixed up, planned, approved by somebody else, and applied."""
    change = draft({"operation": "import"}, selector={}, leaves_protected=True)
    rows = [Instruction(one, *KEY, choice) for choice, people in crowd.bad.items() for one in people]
    staging.bring(change, rows + [Instruction(one, *KEY, "opt_in") for one in crowd.own["opt_out"][:500]])
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")
    assert (change.change_count, change.protected_touched) == (7_000, 500)
    for _ in range(change.required_approvals):
        change = deciding.approve(change, by=officer())
    applying.apply(change, by="user:anna")
    running.run_due()
    assert fresh(change).state == ChangeSet.State.APPLIED
    return fresh(change)


def standing() -> dict[Key, Standing]:
    found = Consent.objects.values_list("subject_id", "purpose", "channel", "state", "decision_id")
    return {(subject, purpose, channel): (state, decision) for subject, purpose, channel, state, decision in found}


def model(before: dict[Key, Standing]) -> dict[Key, Standing]:
    """What must stand: of each key the newest explicit choice, at equal times the opt-out; else what stood before."""
    chosen = Decision.objects.filter(explicit=True).values_list(
        "subject_id", "purpose", "channel", "choice", "decided_at", "id"
    )
    newest: dict[Key, tuple] = {}
    for subject, purpose, channel, choice, decided_at, number in chosen:
        key, rank = (subject, purpose, channel), (decided_at, choice == "opt_out", -number)
        newest[key] = max(newest.get(key, (rank, choice, number)), (rank, choice, number))
    return before | {key: (choice, number) for key, (_, choice, number) in newest.items()}


def wrong(before: dict[Key, Standing], crowd: Crowd) -> dict[Key, tuple[Standing, Standing]]:
    """Keys by what stands and what must, of all people and of whatever they have chosen."""
    nothing = (None, None)
    stands, must = standing(), model(before)
    keys = {(one, *KEY) for one in crowd.people} | stands.keys() | must.keys()
    return {
        key: (stands.get(key, nothing), must.get(key, nothing))
        for key in keys
        if stands.get(key, nothing) != must.get(key, nothing)
    }


def versions() -> tuple[int, int]:
    return Consent.history.count(), sum(Consent.objects.values_list("version", flat=True))


def during(made: Rollback) -> Counter[str]:
    """What people chose between the first portion that was voided and the last, by whose it was and when."""
    voids = DecisionVoid.objects.aggregate(first=Min("voided_at"), last=Max("voided_at"))
    arrived = Decision.objects.filter(explicit=True, received_at__gt=voids["first"], received_at__lt=voids["last"])
    items = RollbackItem.objects.filter(rollback=made)
    voided = dict(items.values_list("subject_id", F("decision__void__voided_at")))
    told = Counter(dict.fromkeys(MUST_ARRIVE, 0))
    for subject, choice, received_at in arrived.values_list("subject_id", "choice", "received_at"):
        told[choice] += 1
        if subject not in voided:
            told["of others"] += 1
        elif received_at < voided[subject]:
            told["before the repair came to them"] += 1
        elif received_at < voided[subject] + SLEEP:
            told["while the repair held them"] += 1
        else:
            told["after it"] += 1
    return told


def second_run(made: Rollback) -> tuple[int, int]:
    """The same repair from its beginning: how many decisions it voids, and how many keys it writes."""
    again = void(list(made.items.values_list("decision_id", flat=True)), reason="Again.", by="system:test")
    with connection.cursor() as cursor:
        cursor.execute("SELECT consent_reproject(array(SELECT id FROM consent_consent))")
        return again, cursor.fetchone()[0]


def test_people_choose_while_seven_thousand_keys_are_taken_back(committed, monkeypatch):
    crowd = arranged()
    before = standing()
    change = applied_badly(crowd)
    assert len(wrong(before, crowd)) == 7_000
    monkeypatch.setattr(rolling_back, "PORTION", 7_000 // PORTIONS)
    with committed.connect("superuser") as superuser:
        superuser.execute(SLOW.format(SLEEP.total_seconds()))
    sessions = Sessions()

    with sessions.of(
        of_the_set=leaving([one for at, one in enumerate(crowd.people[:7_000]) if at % 5], seed=1),
        slow=leaving([one for at, one in enumerate(crowd.people) if at % 5], seed=2),
        stays=staying(crowd.people[:7_000:5] + crowd.people[8_000::5], seed=3),
    ):
        sessions.each_goes_on()
        made = taken_back(change, "The columns were mixed up.")
        while fresh(made).is_open:
            one_step(running.ROLLBACKS)
            sessions.each_goes_on()

    made, told = fresh(made), during(made)
    assert min(told.values()) > 0, f"People must have chosen all the while, or this shows nothing: {told}"
    assert wrong(before, crowd) == {}
    assert Decision.objects.filter(explicit=True, pk__in=sessions.answered).count() == len(sessions.answered)
    assert (made.voided_count, made.rewritten_again, made.weakened_count) == (7_000, 0, 0)
    assert drifted() == 0
    written = versions()
    assert second_run(made) == (0, 0)
    assert versions() == written
