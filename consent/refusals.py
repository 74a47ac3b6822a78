"""Why a choice was not taken, in words that say what to do, with the entry and field they are about."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import DatabaseError

from consent.recording import NewDecision


@dataclass(frozen=True, slots=True)
class Problem:
    """`index`: which entry of the call; `field`: its field, a path like `subject/email`."""

    index: int
    field: str
    code: str
    message: str


class DecisionsRefused(ValidationError):
    """Nothing of the call was stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__([problem.message for problem in problems])
        self.problems = list(problems)


class SecondPersonNeeded(ValidationError):
    """`by_what`: how whoever asks a second person says which decisions they are."""

    def __init__(self, by_what: str) -> None:
        super().__init__(
            "Opt-outs would be lifted, or more than a thousand decisions: a second person confirms that. Ask for it "
            f"under Taken back, +, by the number {by_what}.",
            code="second_person",
        )


# The SQLSTATEs of consent/migrations/sql, and the constraints that only the database can check under a race.
REFUSALS = {
    "HF002": ("purpose", "unknown", "Unknown subject, purpose or exit path."),
    "HF003": ("choice", "guard", "The guard refuses opt-ins that no person made. Wait, or ask an officer to lower it."),
    "HF004": (
        "choice",
        "reversal_needed",
        "An explicit opt-out stands. Opting back in takes two steps: request a reversal and confirm it.",
    ),
    "HF006": ("decision", "explicit", "An explicit choice cannot be voided; only a later choice supersedes it."),
    "HF018": ("decision", "second_person", "A second person confirms that opt-outs no longer count."),
    "HF019": ("decision", "of_a_change_set", "A change set wrote it: take that back, as a whole."),
    "HF007": ("reversal", "not_confirmable", "The second step must follow within seven days, by a second person."),
}

# What a clock says is left to the database; every other rule of ours was asked before.
CLOCKS = ("decision_not_ancient", "decision_not_from_the_future")

# A subject merged after it was looked up, a deadlock, a serialization failure: the same again will do.
PASSING = {"HF010", "40P01", "40001"}


def is_passing(error: DatabaseError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in PASSING


def from_database(error: DatabaseError, decisions: Sequence[NewDecision]) -> Exception:
    """The refusal that a database error stands for; other errors are given back as they came. Raise it from the
    error's own cause, where the SQLSTATE is."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state in REFUSALS:
        field, code, message = REFUSALS[state]
        return DecisionsRefused([Problem(_index(cause, decisions), field, code, message)])
    if state == "23514" and getattr(getattr(cause, "diag", None), "constraint_name", None) in CLOCKS:
        return DecisionsRefused(
            [Problem(0, "decided_at", "out_of_range", "decided_at lies too far in the future or past.")]
        )
    if state == "23505" and "reversal" in str(cause):
        return DecisionsRefused([Problem(0, "reversal", "used", "This opt-in was confirmed already.")])
    return error


def _index(cause: BaseException | None, decisions: Sequence[NewDecision]) -> int:
    """The entry that the database names in DETAIL, as `subject purpose channel`."""
    detail = getattr(getattr(cause, "diag", None), "message_detail", None) or ""
    scope = tuple(detail.split(" ")[1:3])
    return next((i for i, d in enumerate(decisions) if (d.purpose, d.channel) == scope), 0)
