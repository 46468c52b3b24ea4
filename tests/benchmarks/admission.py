"""``python -m tests.benchmarks.admission``: patches a second, without and with the policies that warn.

Rounds take turns on one API server, so that what else the machine does meets both. The policies
pass over a refresh, and read a change of spec.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path

from e2e import kargo
from tests.benchmarks import data
from tests.benchmarks.bare import BareClient, run
from tests.benchmarks.stage import Stage, say

POLICIES = Path(__file__).parents[2] / "manifests" / "chart" / "files" / "admission" / "policies.yaml"
AT_ONCE = 32
_TAKES_EFFECT = 2.0  # seconds until the API server has compiled new policies, or forgotten deleted ones


async def change_specs(client: BareClient, seeds: list[data.Seed], value: str) -> float:
    """Change the interval of each Warehouse; return seconds."""
    began = time.perf_counter()
    body = {"spec": {"interval": value}}
    requests = ((f"{kargo.API}/namespaces/{of.namespace}/warehouses/{of.name}", body) for of in seeds)
    await client.send_all("PATCH", requests, at_once=AT_ONCE, content_type="application/merge-patch+json")
    return time.perf_counter() - began


async def measure(stage: Stage, rounds: int) -> None:
    """Print the median rates and their ratio."""
    seeds = [data.seed(number) for number in range(stage.warehouses)]
    refreshes: dict[bool, list[float]] = {False: [], True: []}
    changes: dict[bool, list[float]] = {False: [], True: []}
    async with stage.admin() as client:
        await client.patch_all(seeds, AT_ONCE)  # connections and caches are warm
        for turn in range(1, rounds + 1):
            for installed in (False, True):
                verb = ("apply",) if installed else ("delete", "--ignore-not-found")
                await asyncio.to_thread(stage.plane.kubectl, *verb, "-f", str(POLICIES))
                await asyncio.sleep(_TAKES_EFFECT)
                await asyncio.to_thread(stage.collect)
                refreshes[installed].append(await client.patch_all(seeds, AT_ONCE))
                await asyncio.to_thread(stage.collect)
                changes[installed].append(await change_specs(client, seeds, f"{turn}h{int(installed)}m"))
    for name, seconds in (("refresh", refreshes), ("change of spec", changes)):
        without, having = (stage.warehouses / statistics.median(seconds[each]) for each in (False, True))
        say(f"{name}: {without:.0f}/s without the policies, {having:.0f}/s with them: {having / without:.2f}")


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
