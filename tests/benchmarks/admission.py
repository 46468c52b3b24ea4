"""``python -m tests.benchmarks.admission``: patches without and with the policies that warn.

Patches a second, and the API server's processor time for each, which other programs disturb less. Rounds take
turns on one API server. The policies pass over a refresh, and read a change of spec.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable
from pathlib import Path

from e2e import kargo
from tests.benchmarks import data
from tests.benchmarks.bare import BareClient, run
from tests.benchmarks.stage import Stage, cpu_seconds, say

POLICIES = Path(__file__).parents[2] / "manifests" / "chart" / "files" / "admission" / "policies.yaml"
AT_ONCE = 32
_TAKES_EFFECT = 2.0  # seconds until the API server has compiled new policies, or forgotten deleted ones


async def change_specs(client: BareClient, seeds: list[data.Seed], value: str) -> None:
    """Change the interval of each Warehouse."""
    body = {"spec": {"interval": value}}
    requests = ((f"{kargo.API}/namespaces/{of.namespace}/warehouses/{of.name}", body) for of in seeds)
    await client.send_all("PATCH", requests, at_once=AT_ONCE, content_type="application/merge-patch+json")


async def timed(stage: Stage, work: Awaitable[object]) -> tuple[float, float]:
    """Await one patch of each Warehouse; return patches a second, and ms of processor time for one."""
    await asyncio.to_thread(stage.collect)
    began, before = time.perf_counter(), cpu_seconds(stage.plane.apiserver.pid)
    await work
    used = cpu_seconds(stage.plane.apiserver.pid) - before
    return stage.warehouses / (time.perf_counter() - began), used / stage.warehouses * 1000


async def measure(stage: Stage, rounds: int) -> None:
    """Print the medians."""
    seeds = [data.seed(number) for number in range(stage.warehouses)]
    found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    async with stage.admin() as client:
        await client.patch_all(seeds, AT_ONCE)  # connections and caches are warm
        for turn in range(1, rounds + 1):
            for installed in (False, True):
                verb = ("apply",) if installed else ("delete", "--ignore-not-found")
                await asyncio.to_thread(stage.plane.kubectl, *verb, "-f", str(POLICIES))
                await asyncio.sleep(_TAKES_EFFECT)
                value = f"{turn}h{int(installed)}m"
                for name, work in (
                    ("refresh", client.patch_all(seeds, AT_ONCE)),
                    ("change of spec", change_specs(client, seeds, value)),
                ):
                    found.setdefault((name, installed), []).append(await timed(stage, work))
    for (name, installed), measured in sorted(found.items()):
        rate, used = (statistics.median(values) for values in zip(*measured, strict=True))
        say(f"{name}, {'with' if installed else 'without'} the policies: {rate:.0f}/s, {used:.1f} ms")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warehouses", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with Stage(options.warehouses) as stage:
        run(measure(stage, options.rounds))


if __name__ == "__main__":
    main()
