"""The bare client's fan-out, as a process that can be paused. Run as a program by the suite."""

import os
import signal

from tests.benchmarks.bare import BareClient, run
from tests.benchmarks.data import seed
from tests.benchmarks.program import read_options


async def fan_out(client: BareClient, count: int, at_once: int) -> None:
    """Open the connections, stop (whoever measures lets it go on), and patch so many Warehouses."""
    seeds = [seed(number) for number in range(count)]
    async with client:
        await client.patch_all(seeds[:at_once], at_once)
        os.kill(os.getpid(), signal.SIGSTOP)
        await client.patch_all(seeds, at_once)


def main() -> None:
    """Read the command line."""
    options = read_options("count", "at-once")
    client = BareClient(options.server, options.ca, options.token)
    run(fan_out(client, int(options.count), int(options.at_once)))


if __name__ == "__main__":
    main()
