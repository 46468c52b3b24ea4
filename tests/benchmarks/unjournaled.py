"""The receiver with its journal taken out: what the journal costs is the difference. Never use it."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from controller import __main__
from controller.application import application
from webhook.arrival import Arrival


class NoJournal:
    """Keeps nothing, and says that it does."""

    pending = finished = failures = moved_aside = 0
    failing = on_disk = False
    identity = ""
    last_error: str | None = None

    def record(self, arrival: Arrival, matched: int, names: Sequence[str] = ()) -> "asyncio.Future[bool]":
        """Say that it is committed."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.set_result(True)
        return future

    def finish(self, delivery: str, **outcome: object) -> None:
        """Do nothing."""

    def note(self, arrival: Arrival, **more: object) -> None:
        """Do nothing."""

    def supersede(self, delivery: str, by: Sequence[str], remarks: object = None) -> None:
        """Do nothing."""

    def sign_of_life(self, seconds: float) -> None:
        """Do nothing."""

    async def run(self) -> None:
        """Do nothing, for ever."""
        await asyncio.Event().wait()

    async def to_resume(self, window: float) -> AsyncIterator[tuple[Arrival, bool]]:
        """Yield nothing."""
        nothing: tuple[tuple[Arrival, bool], ...] = ()
        for each in nothing:
            yield each

    async def read(self, query: Callable[[sqlite3.Connection], object]) -> object:
        """Find no history."""
        raise sqlite3.OperationalError("there is no journal")

    async def close(self) -> None:
        """Do nothing."""


class Opener:
    """Stands where the class of the journal stands."""

    @staticmethod
    async def open(folder: Path | None) -> NoJournal:
        """Open nothing."""
        return NoJournal()


if __name__ == "__main__":
    vars(application)["Journal"] = Opener
    sys.exit(__main__.main())
