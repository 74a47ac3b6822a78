"""A figure is a median of paired ratios, beside its goal."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

WORDS = {True: "ok", False: "MISSED", None: ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """`ours` and `base` are medians per second (or milliseconds where the name says so); `ratio` is of the pairs.

    A figure without a goal is for reading: it is neither met nor missed.
    """

    name: str
    ours: float
    base: float
    ratio: float
    goal: float | None
    ok: bool | None
    note: str = ""


def paired(ours: Callable[[int], float], base: Callable[[int], float], rounds: int) -> list[tuple[float, float]]:
    """Both in each round, alternating who goes first: what disturbs one disturbs the other."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = base(number)
            first = ours(number)
        else:
            first = ours(number)
            second = base(number)
        pairs.append((first, second))
    return pairs


def figure(
    name: str, pairs: list[tuple[float, float]], goal: float | None, note: str = "", *, scale: float = 1.0
) -> Figure:
    """`scale`: of the base, where it stands in for something that is not here."""
    ratio = statistics.median(ours / (base * scale) for ours, base in pairs)
    ours, base = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure(
        name,
        round(ours, 1),
        round(base * scale, 1),
        round(ratio, 3),
        goal,
        None if goal is None else ratio >= goal,
        note,
    )


def at_most(name: str, pairs: list[tuple[float, float]], goal: float, note: str = "") -> Figure:
    ratio = statistics.median(ours / base for ours, base in pairs)
    ours, base = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure(name, round(ours, 1), round(base, 1), round(ratio, 3), goal, ratio <= goal, note)


def report(figures: list[Figure], path: Path) -> bool:
    """Print the table and keep it; True where every goal is met."""
    width = max(len(one.name) for one in figures)
    print(f"{'':{width}}  {'ours':>10}  {'base':>10}  {'ratio':>7}  {'goal':>6}")
    for one in figures:
        print(
            f"{one.name:{width}}  {one.ours:>10,.1f}  {one.base:>10,.1f}  {one.ratio:>7.3f}  {one.goal or '':>6}"
            f"  {WORDS[one.ok]}{'  ' + one.note if one.note else ''}"
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")
    return all(one.ok is not False for one in figures)
