"""Each version of each choice is looked at again and again: whoever rewrites or deletes one with the triggers off
leaves no other trace. What stands there is held against the hash that the database gave it when it was written."""

from functools import partial

from incidents.invariants import HISTORIES
from incidents.invariants.choices import ROUND_OF_VERSIONS
from incidents.invariants.looking import between, end, untold
from incidents.invariants.questions import Question
from incidents.validation import guarding
from incidents.validation.rounds import Pass, Round
from incidents.validation.telling import tell

SLICE = 20_000  # versions of one look


def keep_histories() -> int:
    """What workers call every few seconds; returns how many breaches are new."""
    found = VERSIONS.go_on(SLICE)
    if found:
        guarding.follow()
    return found


def _look(question: Question, after: int, last: int) -> int:
    rows = untold(between(question, after, last))
    tell(rows)
    return len(rows)


VERSIONS = Round(
    ROUND_OF_VERSIONS.removesuffix(":round"),
    [Pass(partial(end, each), partial(_look, each)) for each in HISTORIES],
    1.0,
)
