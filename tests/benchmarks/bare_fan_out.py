"""The bare client's fan-out, as a process that can be paused. Run as a program by the suite."""

import argparse
import os
import signal
from pathlib import Path

from tests.benchmarks.bare import BareClient, run
from tests.benchmarks.data import seed


async def fan_out(client: BareClient, count: int, at_once: int) -> None:
    """Open the connections, stop (whoever measures lets it go on), and patch so many Warehouses."""
    seeds = [seed(number) for number in range(count)]
    async with client:
        await client.patch_all(seeds[:at_once], at_once)
        os.kill(os.getpid(), signal.SIGSTOP)
        await client.patch_all(seeds, at_once)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    for name in ("server", "ca", "token-file", "count", "at-once"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    token = Path(options.token_file).read_text("ascii")
    run(fan_out(BareClient(options.server, options.ca, token), int(options.count), int(options.at_once)))


if __name__ == "__main__":
    main()
