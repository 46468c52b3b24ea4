"""``python -m tests.benchmarks``: measure, and print one table.

``SCALE=50k`` and ``SCALE=100k`` (50,000 on the way) measure the rows that name so many Warehouses; default is
10,000.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.benchmarks import (
    burst,
    events,
    fanout,
    lookup,
    near_misses,
    projects,
    startup,
    storage_queues,
)
from tests.benchmarks.rows import Row, table
from tests.benchmarks.stage import Stage, peak_memory, say

SCALES = {"10k": 10_000, "50k": 50_000, "100k": 100_000}
GROUPS = {
    "10k": ("lookup", "near-misses", "startup", "load", "journal", "promotions", "projects", "queues"),
    "50k": ("startup", "promotions"),
    "100k": ("startup", "promotions"),
}
PROMOTIONS = {"10k": 10_000, "50k": 100_000, "100k": 100_000}
RESULTS = Path(__file__).parents[2] / ".run" / "benchmarks"


def load(stage: Stage) -> Iterator[Row]:
    """What a receiver does under load, and its peak memory after it."""
    with stage.bare_watch():
        # Kargo's controller watches Warehouses in every cluster. Without it the API server would encode each
        # change for the receiver alone, and for nobody while a ceiling is measured.
        with stage.receiver() as receiver, stage.barest() as barest:
            yield from events.events(stage, receiver, barest)
        yield from fanout.fan_outs(stage)
    with stage.receiver() as receiver, stage.barest() as barest:
        yield from burst.burst(stage, receiver)
        yield from burst.wrk(stage, receiver, barest)
        most = f"{peak_memory(receiver.process.pid):.0f} MB"
        yield Row("peak memory after the burst and the pings", most)


def both(stage: Stage) -> Iterator[Row]:
    """The start with half of the Warehouses, then with all."""
    yield from startup.startup(stage)
    half = stage.warehouses
    stage.grow(2 * half, half)
    yield from startup.startup(stage)


def measure(scale: str, groups: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of some groups."""
    if "lookup" in groups:
        yield from lookup.lookups()
    if "near-misses" in groups:
        yield from near_misses.near_misses()
    on_stage: dict[str, Callable[[Stage], Iterator[Row]]] = {
        "startup": both if scale == "100k" else startup.startup,
        "load": load,
        "journal": burst.journal,
        "promotions": lambda stage: projects.promotions(stage, PROMOTIONS[scale]),
        "projects": projects.projects,
        "queues": storage_queues.storage_queues,
    }
    wanted = [group for group in on_stage if group in groups]
    if not wanted:
        return
    with Stage(SCALES[scale] // 2 if scale == "100k" else SCALES[scale]) as stage:
        for group in wanted:
            yield from on_stage[group](stage)


def main() -> int:
    """Run the command line; return 1 if a figure misses what it must reach."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    scale = os.environ.get("SCALE", "10k")
    parser.add_argument("--scale", choices=SCALES, default=scale, help="number of Warehouses [SCALE]")
    parser.add_argument("--only", nargs="+", choices=GROUPS["10k"], metavar="GROUP", help="of the figures")
    options = parser.parse_args()
    if options.scale not in SCALES:
        parser.error(f"SCALE={options.scale}: must be one of {', '.join(SCALES)}")
    began, load_before = time.monotonic(), os.getloadavg()[0]
    rows = []
    for row in measure(options.scale, options.only or GROUPS[options.scale]):
        say(" | ".join(row.cells))
        rows.append(row)
    took = time.monotonic() - began
    print(table(rows))  # noqa: T201
    say(f"measured in {took:.0f} s on {os.cpu_count()} cores, Python {platform.python_version()}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {
        "seconds": round(took),
        "when": datetime.date.today().isoformat(),
        "load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
        "rows": [row.plain() for row in rows],
    }
    name = options.scale + (f"-{'-'.join(options.only)}" if options.only else "")
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return int(any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
