"""How well detection does on made-up weeks: the figures of `manage.py simulate_rates`, beside their goals."""

from collections.abc import Iterator

from incidents.detection.simulation import MOST_FALSE_ALARMS, MOST_FALSE_PER_SEND, Result, simulate
from tests.benchmarks.figures import Figure

REPLICAS, WEEKS = 60, 4


def figures(replicas: int = REPLICAS, weeks: int = WEEKS) -> Iterator[Figure]:
    """The worst of all means; a ratio of at most 1 is within the budget. `base` is the budget, in thousandths."""
    result = simulate(replicas, weeks)
    together = [row for row in result.rows if row.detector == "D1+D2"]
    yield _within(
        "false alarms a week, D1+D2", max(r.false_alarms_per_week for r in together), MOST_FALSE_ALARMS, result
    )
    yield _within("false alarms per newsletter", max(s.false_with for s in result.sends), MOST_FALSE_PER_SEND, result)
    least = min(row.found[3.0][0] for row in together)
    note = "; ".join(f"mean {row.mean:g}: {row.found[3.0][1]} min" for row in together)
    yield Figure("share of ×3 surges found, in percent", least * 100, 100, round(least, 3), 1.0, least >= 1, note)


def _within(name: str, worst: float, most: float, result: Result) -> Figure:
    note = f"{result.replicas} baselines of {result.weeks} weeks, fixed seed"
    return Figure(f"{name}, thousandths", worst * 1000, most * 1000, round(worst / most, 3), 1.0, worst <= most, note)
