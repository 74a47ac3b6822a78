"""How many false alarms, and how soon a surge is found: the detectors of the product on made-up weeks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents.detection.detectors import Settings
from incidents.detection.scenarios import simulate_others
from incidents.detection.simulation import Result, Row, simulate

# What the columns of each detector stand for.
COLUMNS = {"D3": "x {:g}", "D4": "{:g} presses", "EARS": "x {:g}"}
HAPPENED = {
    "D3": "so much of the usual left for six hours",
    "D4": "so many presses for one mail domain within 15 minutes",
    "EARS": "a surge in the second week of a series",
}


class Command(BaseCommand):
    help = "Run the detectors over made-up weeks with a fixed seed. Ends with 1 where a goal is missed."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--replicas", type=int, default=60, help="Learnt baselines per mean.")
        parser.add_argument("--weeks", type=int, default=4, help="Clean weeks per baseline.")
        parser.add_argument(
            "--quick", action="store_true", help="8 replicas of 2 weeks: seconds, and wider of the mark."
        )
        parser.add_argument("--h", type=float, help="Limit of D2's sum, to see what another would do.")
        parser.add_argument("--json", metavar="FILE", help="Keep the figures there too; - prints them alone.")

    def handle(self, *args: Any, **options: Any) -> None:
        replicas, weeks = (8, 2) if options["quick"] else (options["replicas"], options["weeks"])
        if not 1 <= replicas <= 1000 or not 1 <= weeks <= 52:
            raise CommandError("Give 1 to 1000 replicas and 1 to 52 weeks.")
        settings = replace(Settings(), h=options["h"]) if options["h"] else Settings()
        result = simulate(replicas, weeks, settings)
        result.others = simulate_others(replicas, weeks, settings)
        text = json.dumps(result.as_json(), indent=1)
        if options["json"] == "-":
            self.stdout.write(text)
        else:
            self._print(result)
            if options["json"]:
                Path(options["json"]).write_text(text + "\n", encoding="utf-8")
        if result.missed:
            raise CommandError("Missed: " + "; ".join(result.missed) + ".")

    def _print(self, result: Result) -> None:
        head = f"{result.replicas} baselines, {result.weeks} clean weeks each, h = {result.settings.h:g}"
        self.stdout.write(f"{head}\n\n{_columns(result.rows[0], 'x {:g}')}")
        for row in result.rows:
            self.stdout.write(_line(row))
        for name, happened in HAPPENED.items():
            rows = [row for row in result.others if row.detector == name]
            self.stdout.write(f"\n{_columns(rows[0], COLUMNS[name])}   {happened}")
            for row in rows:
                self.stdout.write(_line(row))
        self.stdout.write(f"\n{'newsletter to 20,000':>42}  {'false alarms':>26}  {'burst of 60 found':>20}")
        self.stdout.write(
            f"{'its rate may differ by':>42}  {'without / with expecting it':>26}  {'within the hour':>20}"
        )
        for send in result.sends:
            share, delay = send.burst_with
            false = f"{send.false_without:.1%} / {send.false_with:.1%}"
            self.stdout.write(f"{send.uncertainty:>42.0%}  {false:>26}  {f'{share:.0%} {delay or 0:g} min':>20}")
        if not result.missed:
            self.stdout.write("\nEvery goal is met.")


def _columns(row: Row, words: str) -> str:
    factors = "".join(f"{words.format(factor):>14}" for factor in row.found)
    return f"{'mean / 5 min':>12}  {'detector':<8} {'false / week':>12}  {factors}"


def _line(row: Row) -> str:
    cells = [f"{share:.0%}" + (f" {delay:g} min" if delay is not None else "") for share, delay in row.found.values()]
    return f"{row.mean:>12g}  {row.detector:<8} {row.false_alarms_per_week:>12.2f}  " + "".join(
        f"{c:>14}" for c in cells
    )
