"""Ask every invariant now, and say what each answers: for whoever is on call, for a deployment, for an auditor."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents import validation
from incidents.invariants import INVARIANTS
from incidents.models import ValidationCheck, ValidationRun

WORDS = {"met": "met", "breached": "BROKEN", "unmeasured": "unmeasured"}


class Command(BaseCommand):
    help = (
        "Ask all invariants. Ends with 1 where one is broken, with 2 where none is and not all could be asked. "
        "What drifted is put right on the way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="Everything from the first row on, not only the news.")
        parser.add_argument("--json", action="store_true", help="For programs: one object on standard output.")

    def handle(self, *args: Any, full: bool, json: bool, **options: Any) -> None:
        made = validation.run(is_full=full)
        checks = list(made.checks.order_by("pk"))
        self.stdout.write(as_json(made, checks) if json else as_text(made, checks))
        if made.verdict == ValidationRun.Verdict.FAIL:
            raise CommandError(f"Broken: {', '.join(made.broken)}.", returncode=1)
        if made.verdict == ValidationRun.Verdict.INCONCLUSIVE:
            raise CommandError(f"Nobody can tell: {', '.join(made.unmeasured)}.", returncode=2)


def as_text(made: ValidationRun, checks: list[ValidationCheck]) -> str:
    lines = [
        f"{one.invariant:<4} {WORDS[one.verdict]:<11} {INVARIANTS[one.invariant].title}: {one.words or one.observed}"
        for one in checks
    ]
    return "\n".join([*lines, f"{made.get_verdict_display().capitalize()} ({made.scope}, run {made.pk})."])


def as_json(made: ValidationRun, checks: list[ValidationCheck]) -> str:
    return json.dumps(
        {
            "run": str(made.pk),
            "verdict": made.verdict,
            "scope": made.scope,
            "log_tx": made.log_tx,
            "started_at": made.started_at.isoformat(),
            "checks": [
                {
                    "invariant": one.invariant,
                    "title": INVARIANTS[one.invariant].title,
                    "verdict": one.verdict,
                    "expected": one.expected,
                    "observed": one.observed,
                    "words": one.words,
                    "count": one.count,
                    "offenders": one.offenders,
                    "offenders_digest": bytes(one.offenders_digest).hex(),
                    "duration_ms": one.duration_ms,
                }
                for one in checks
            ],
        },
        indent=1,
    )
