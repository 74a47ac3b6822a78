"""How careful a change set is: how many people agree to it, and how what it wrote is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jsonschema import Draft202012Validator

from consent.deadlines import due
from incidents.models import ChangeSet

PLAN_HOLDS = timedelta(hours=24)
LARGE = 10_000  # keys; from here on two people agree
REVIEW_WITHIN = 3  # working days after approvals were bypassed
ROWS_A_SECOND = 4_000  # what a forecast reckons with

SCHEMA = {
    "type": "object",
    "properties": {
        "interval_s": {"type": "integer", "minimum": 0, "maximum": 3600},
        "count": {"type": "integer", "minimum": 0, "maximum": 100},
        "failure_limit": {"type": "integer", "minimum": 0, "maximum": 10},
        "inconclusive": {"enum": ["pause", "roll_back"]},
    },
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """`interval_s`: seconds between a batch and the next look or batch. `count`: looks at the whole after the last
    batch. `failure_limit`: breaches that are borne before all is taken back, never one of I2. `inconclusive`: what
    follows a look that could not tell."""

    interval_s: int = 0
    count: int = 1
    failure_limit: int = 0
    inconclusive: str = "pause"

    @property
    def interval(self) -> timedelta:
        return timedelta(seconds=self.interval_s)


def policy_of(change: ChangeSet) -> Policy:
    return Policy(**change.validation_policy)


def problems_of(policy: Mapping[str, Any]) -> list[str]:
    return [
        f"validation_policy{error.json_path[1:]}: {error.message}"
        for error in Draft202012Validator(SCHEMA).iter_errors(policy)
    ]


def approvals_needed(change: ChangeSet) -> int:
    """What brings nothing but the rows of a script or migration was read by others as code, and is started by whoever
    may run commands. What reaches many people, or changes by which rule people are contacted at all, takes two."""
    if all(told["operation"] == "rows" for told in change.operations):
        return 0
    is_large = change.change_count > LARGE or any(row.get("changes_regime") for row in change.configuration)
    return 2 if is_large else 1


def review_due(bypassed_at: datetime) -> datetime:
    return due(bypassed_at, REVIEW_WITHIN, "business_days")


def seconds_for(change: ChangeSet) -> int:
    """How long applying it should take: writing, and the waits between batches."""
    policy = policy_of(change)
    waits = (change.batch_count + policy.count) * policy.interval_s
    return round(change.change_count / ROWS_A_SECOND + 0.5) + waits
