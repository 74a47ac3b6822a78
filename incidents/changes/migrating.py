"""The same guard for operators' scripts and data migrations: planned first, written in judged batches, taken back by
itself where it does harm, and kept as a change set.

    with change_set("Backfill of March", reason="The import lost its opt-outs.", incident=incident) as change:
        change.opt_out((person, "marketing", "email") for person in people)

    @guarded_change("Backfill of March", reason="…")
    def backfill(apps, schema_editor, change): ...

    migrations.RunPython(backfill, backfill.back)  # after ("incidents", "0013_changes")

Rows are given while the block runs; writing begins when it ends. In a transaction that is open around it, as that of a
migration, all of it is committed together, or nothing is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from config.models import User
from consent.bulk import Instruction, Selected
from consent.models import Choice
from incidents.changes import applying, deciding, planning, rolling_back, running, staging
from incidents.models import ChangeSet, Incident

SCRIPT, MIGRATION = "system:script", "system:migration"
State = ChangeSet.State
Row = Sequence[Any]  # subject_id, purpose, channel, and perhaps when it was decided


class NotApplied(ValidationError):
    """The set did not come to its end: `change_set` says why, and stands as it was left."""

    def __init__(self, change_set: ChangeSet, words: str) -> None:
        super().__init__(f"{change_set.ref} was not applied: {words}")
        self.change_set = change_set


class Script:
    """What a script adds to its set. `change_set` is the record of it."""

    def __init__(self, change_set: ChangeSet) -> None:
        self.change_set = change_set
        self.count = 0

    def opt_in(self, rows: Iterable[Row]) -> int:
        """Returns how many rows were taken. People who opted out themselves are never opted in."""
        return self._bring(Choice.OPT_IN, rows)

    def opt_out(self, rows: Iterable[Row]) -> int:
        return self._bring(Choice.OPT_OUT, rows)

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Rows that lie in a table: a SELECT of subject_id, purpose, channel, choice and decided_at, in this order."""
        return self._add(staging.bring(self.change_set, Selected(sql, parameters)))

    def _bring(self, choice: str, rows: Iterable[Row]) -> int:
        wanted = (Instruction(row[0], row[1], row[2], str(choice), *row[3:]) for row in rows)
        return self._add(staging.bring(self.change_set, wanted))

    def _add(self, count: int) -> int:
        self.count += count
        return count


@contextmanager
def change_set(
    title: str, *, reason: str, incident: Incident | None = None, by: User | str = SCRIPT,
    leave_protected: bool = False, batch_size: int = 1000, validation_policy: dict[str, Any] | None = None,
) -> Iterator[Script]:  # fmt: skip
    """Raises ValidationError before anything is written where it would opt in people who opted out themselves, unless
    `leave_protected` says that they are left out knowingly; NotApplied where it stood still or was taken back."""
    change = deciding.write(
        title, reason=reason, operations=[{"operation": "rows"}], by=by, incident=incident, is_scripted=True,
        leaves_protected=leave_protected, batch_size=batch_size, validation_policy=validation_policy or {},
    )  # fmt: skip
    script = Script(change)
    try:
        yield script
    except BaseException as error:
        _give_up(change, f"The script failed: {type(error).__name__}.", by)
        raise
    script.change_set = _carry_out(script, by)


class Guarded:
    """A function of a migration inside its change set. `back` takes it back, for `reverse_code`."""

    def __init__(self, function: Callable[..., None], title: str, reason: str, **facts: Any) -> None:
        self.function, self.title, self.reason, self.facts = function, title, reason, facts
        self.__doc__ = function.__doc__

    def __call__(self, apps: Any, schema_editor: Any) -> None:
        with change_set(self.title, reason=self.reason, by=MIGRATION, **self.facts) as change:
            self.function(apps, schema_editor, change)

    def back(self, apps: Any, schema_editor: Any) -> None:
        take_back(self.title, reason="The migration goes back.", by=MIGRATION)


def guarded_change(title: str, *, reason: str, **facts: Any) -> Callable[[Callable[..., None]], Guarded]:
    """For a RunPython function, which gets the set as its third argument. `facts`: as `change_set`."""

    def guard(function: Callable[..., None]) -> Guarded:
        return Guarded(function, title, reason, **facts)

    return guard


def take_back(title: str, *, reason: str, by: User | str = SCRIPT) -> ChangeSet | None:
    """Undo the newest applied set of a script with this title; where there is none, nothing happens."""
    found = ChangeSet.objects.filter(kind=ChangeSet.Kind.MIGRATION, title=title, state=State.APPLIED).first()
    if found is None:
        return None
    rolling_back.roll_back(found, reason=reason, by=by)
    return running.carry_through(found)


def _carry_out(script: Script, by: User | str) -> ChangeSet:
    change = script.change_set
    if not script.count:
        return deciding.cancel(change, by=by, reason="There was nothing to do: the script gave no rows.")
    try:
        with transaction.atomic():
            change = planning.plan(change, by=by)
        change = deciding.submit(change, by=by)
    except ValidationError:
        _give_up(change, "Refused before anything was written.", by)
        raise
    change = applying.apply(change, by=by)
    if change.state == State.STALE:
        raise NotApplied(change, "something else wrote about the same people in that very moment. Run it again.")
    change = running.carry_through(change)
    if change.state != State.APPLIED:
        raise NotApplied(change, change.paused_reason or change.rollback_reason)
    return change


def _give_up(change: ChangeSet, reason: str, by: User | str) -> None:
    """Told where the transaction still takes anything; where it does not, the draft goes with it."""
    if not connection.needs_rollback:
        deciding.cancel(change, by=by, reason=reason)
