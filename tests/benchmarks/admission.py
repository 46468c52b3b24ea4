"""``python -m tests.benchmarks.admission``: refreshes a second, without and with the policies that warn.

Rounds take turns with one API server, so that what else the machine does meets both. The last column is a change
of spec, which the policies do read.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from e2e import kargo
from e2e.controlplane import ControlPlane
from tests.benchmarks import data, seeding
from tests.benchmarks.bare import BareClient, run
from tests.benchmarks.stage import say

POLICIES = Path(__file__).parents[2] / "manifests" / "chart" / "files" / "admission" / "policies.yaml"
AT_ONCE = 32
_TAKES_EFFECT = 2.0  # seconds until the API server has compiled new policies, or forgotten deleted ones


async def rounds(plane: ControlPlane, client: BareClient, count: int, turns: int) -> None:
    """Print the median of each, and their ratio."""
    await seeding.create_warehouses(client, range(count))
    seeds = [data.seed(number) for number in range(count)]
    await client.patch_all(seeds, AT_ONCE)  # connections and caches are warm
    measured: dict[str, Sequence[list[float]]] = {"refresh": ([], []), "change of spec": ([], [])}
    for turn in range(turns):
        for with_policies in (False, True):
            verb = ("apply",) if with_policies else ("delete", "--ignore-not-found")
            await asyncio.to_thread(plane.kubectl, *verb, "-f", str(POLICIES))
            await asyncio.sleep(_TAKES_EFFECT)
            works: dict[str, Callable[[], Awaitable[object]]] = {
                "refresh": lambda: client.patch_all(seeds, AT_ONCE),
                "change of spec": lambda stamp=f"{turn + 5}m{int(with_policies)}s": client.send_all(  # type: ignore[misc]
                    "PATCH",
                    (
                        (f"{kargo.API}/namespaces/{of.namespace}/warehouses/{of.name}", _interval(stamp))
                        for of in seeds
                    ),
                    at_once=AT_ONCE,
                    content_type="application/merge-patch+json",
                ),
            }
            for name, work in works.items():
                began = time.perf_counter()
                await work()
                measured[name][with_policies].append(count / (time.perf_counter() - began))
    for name, (without, having) in measured.items():
        before, after = statistics.median(without), statistics.median(having)
        say(f"{name}: {before:.0f}/s without, {after:.0f}/s with the policies: {after / before:.2f}")


def _interval(value: str) -> object:
    return {"spec": {"interval": value}}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warehouses", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    async def work(plane: ControlPlane) -> None:
        token = plane.token(kargo.SERVICE_ACCOUNT, kargo.NAMESPACE)
        del token  # the administrator's: it may change spec too
        async with BareClient(plane.url, str(plane.ca), plane.admin_token) as client:
            await rounds(plane, client, options.warehouses, options.rounds)

    with ControlPlane(say=say) as plane:
        kargo.install(plane)
        seeding.create_namespaces(plane)
        run(work(plane))


if __name__ == "__main__":
    main()
