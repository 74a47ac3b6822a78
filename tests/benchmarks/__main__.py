"""`make bench`: the table of ratios, and var/bench.json. Run it with nothing else on the machine.

BENCH_ROUNDS and BENCH_SECONDS shorten it; BENCH_ONLY=check,batch names figures.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, report
from tests.benchmarks.stand import ROOT, Stand

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
ONLY = os.environ.get("BENCH_ONLY", "")


def main() -> int:
    if shutil.which("wrk") is None:
        print("The load comes from wrk, which is not here. On Debian: sudo apt install wrk")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    stand = Stand(folder)
    try:
        figures = list(_figures(stand))
    finally:
        stand.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if report(figures, ROOT / "var" / "bench.json") else 1


def _figures(stand: Stand) -> Iterator[Figure]:
    os.environ.update(stand.environment)
    import django

    django.setup()
    from tests.benchmarks import measured

    seeded = measured.seed(stand)
    with stand.web("tests.benchmarks.settings") as port, stand.web("tests.benchmarks.bare") as bare:
        bench = measured.Bench(stand, seeded, port, bare, ROUNDS, SECONDS)
        for name, measure in bench.all().items():
            if not ONLY or name in ONLY.split(","):
                print(f"measuring {name} …", file=sys.stderr, flush=True)
                yield from measure()


if __name__ == "__main__":
    raise SystemExit(main())
