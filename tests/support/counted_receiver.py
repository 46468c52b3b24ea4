"""The receiver, run as ``python -m controller`` is, with one more task that writes how many tasks there are.

Nothing outside a process can count its asyncio tasks. The file is named by COUNT_TASKS_IN; a new count is
written each second.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from controller import __main__ as command

VARIABLE = "COUNT_TASKS_IN"
INTERVAL = 1.0


async def _write(path: Path) -> None:
    fresh = path.with_suffix(".new")
    while True:
        fresh.write_text(str(len(asyncio.all_tasks())))
        fresh.rename(path)
        await asyncio.sleep(INTERVAL)


def main() -> int:
    """Run the receiver's command line."""
    run = uvloop.run

    async def counted(work: Coroutine[Any, Any, Any]) -> Any:
        writing = asyncio.ensure_future(_write(Path(os.environ[VARIABLE])))
        try:
            return await work
        finally:
            writing.cancel()

    uvloop.run = lambda work, **options: run(counted(work), **options)
    return command.main()


if __name__ == "__main__":
    sys.exit(main())
