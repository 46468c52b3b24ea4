"""``python -m tests.benchmarks.admission``: what a refresh costs where policies warn, which pass over it.

On one API server, policies are installed and removed in turn (ABBA …). Each round is a few hundred patches,
before which the server has collected its garbage. Counted are its own processor time and the bytes that it
allocates for a patch. Others' load falls on both sides: the mean of the differences is what counts.
"""

import argparse
import asyncio
import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import data
from tests.benchmarks.bare import BareClient, run
from tests.benchmarks.stage import Stage, cpu_seconds, say

POLICIES = Path(__file__).parents[2] / "manifests" / "chart" / "files" / "admission" / "policies.yaml"
AT_ONCE = 16
_TAKES_EFFECT = 3.0  # seconds until the API server has compiled new policies, or forgotten deleted ones


class Cost(NamedTuple):
    """What the API server uses for one patch."""

    milliseconds: float
    kilobytes: float


async def one_round(stage: Stage, client: BareClient, seeds: list[data.Seed]) -> Cost:
    """Patch each of the Warehouses once."""
    await asyncio.to_thread(stage.collect)
    allocated, used = _allocated(stage), cpu_seconds(stage.plane.apiserver.pid)
    await client.patch_all(seeds, AT_ONCE)
    used = cpu_seconds(stage.plane.apiserver.pid) - used
    return Cost(used / len(seeds) * 1000, (_allocated(stage) - allocated) / len(seeds) / 1000)


def _allocated(stage: Stage) -> float:
    found = re.search(r"^go_memstats_alloc_bytes_total (\S+)$", stage.plane.api.get("/metrics"), re.MULTILINE)
    assert found
    return float(found[1])


async def measure(stage: Stage, rounds: int, variants: Mapping[str, Path | None]) -> dict[str, list[Cost]]:
    """Return what each round cost; ``variants`` names policies to install, or None."""
    seeds = [data.seed(number) for number in range(stage.warehouses)]
    found: dict[str, list[Cost]] = {name: [] for name in variants}
    async with stage.admin() as client:
        for _ in range(3):
            await client.patch_all(seeds, AT_ONCE)  # connections and caches are warm
        for turn in range(rounds):
            for name in list(variants)[:: -1 if turn % 2 else 1]:
                policies = variants[name]
                verb = ("apply",) if policies else ("delete", "--ignore-not-found")
                await asyncio.to_thread(stage.plane.kubectl, *verb, "-f", str(policies or POLICIES))
                await asyncio.sleep(_TAKES_EFFECT)
                found[name].append(await one_round(stage, client, seeds))
    return found


def report(found: Mapping[str, list[Cost]]) -> None:
    """Print the means, and those of the differences from the first variant with their standard errors."""
    first = next(iter(found.values()))
    for name, costs in found.items():
        line = f"{name}:"
        for column, unit in ((0, "ms"), (1, "KB")):
            differences = [cost[column] - other[column] for cost, other in zip(costs, first, strict=True)]
            error = statistics.stdev(differences) / len(differences) ** 0.5
            line += f" {statistics.mean(cost[column] for cost in costs):.2f} {unit}"
            line += f" ({statistics.mean(differences):+.3f} ± {error:.3f})"
        say(line)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warehouses", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with Stage(options.warehouses) as stage:
        report(run(measure(stage, options.rounds, {"without the policies": None, "with them": POLICIES})))


if __name__ == "__main__":
    main()
