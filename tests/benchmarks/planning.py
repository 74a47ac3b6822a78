"""What a change set would do to a million keys, counted before anything is done."""

import time
from collections.abc import Iterator

from incidents.changes import deciding, planning
from tests.benchmarks import million
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.stand import Stand

LIMIT = 60.0  # seconds
WHOM = {"purpose": "marketing", "channel": "post"}
CHANGED = {"operation": "set_choice", "args": {"choice": "opt_out", "channel": "email", "purpose": "marketing"}}
PROTECTED = {"operation": "set_choice", "args": {"choice": "opt_in"}}


def figures(stand: Stand, rounds: int) -> Iterator[Figure]:
    million.seed(stand)
    for name, operation in (("that it changes", CHANGED), ("that people's own choices hold", PROTECTED)):
        taken = [(_seconds(operation), LIMIT) for _ in range(min(rounds, 3))]
        yield at_most(f"plan of {million.CONSENTS:,} keys {name}: seconds ÷ {LIMIT:.0f} s", taken, 1.0)


def _seconds(operation: dict[str, object]) -> float:
    change = deciding.write("Everybody", operations=[operation], selector=WHOM, reason="How long?", by="user:bench")
    began = time.monotonic()
    change = planning.plan(change, by="user:bench")
    taken = time.monotonic() - began
    counted = change.change_count + change.same_count + change.protected_count
    if counted < million.CONSENTS:
        raise RuntimeError(f"{counted} of {million.CONSENTS} keys were planned.")
    return taken
