"""A receiver's history and socket in a folder, over fakes; and the command that calls it."""

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from controller.cli import again
from controller.cli.command import exit_code
from controller.runtime.clock import Clock
from tests.support.fakes import FakeDispatcher, FakeLookup, FakeRefresh, FakeWebhookMetrics
from tests.support.journal import opened, until
from webhook.admin.deliveries import Delivery
from webhook.again.messages import SOCKET_NAME
from webhook.again.server import AgainServer
from webhook.arrival import Arrival
from webhook.delivery import Deliveries
from webhook.endpoint import Endpoint
from webhook.journal.history import Entry, Query, entries
from webhook.journal.journal import Journal
from webhook.outcome import Outcome


class Called(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class History:
    """What the running receiver consists of here."""

    def __init__(
        self, folder: Path, journal: Journal, refreshes: tuple[FakeRefresh, ...], budget: float
    ) -> None:
        self.folder = folder
        self.journal = journal
        self.dispatcher = FakeDispatcher(*refreshes)
        clock = Clock()
        metrics = FakeWebhookMetrics()
        self.deliveries = Deliveries(self.dispatcher, journal, metrics, clock=clock, reply_seconds=budget)
        self.endpoint = Endpoint(FakeLookup(), self.deliveries, metrics, clock=clock)
        self.elsewhere: dict[str, Delivery] = {}
        self.server = AgainServer(folder, self.endpoint, self._ask_peers)

    async def add(self, *arrivals: Arrival, matched: int = 1) -> None:
        """Have the history hold deliveries that are done."""
        for each in arrivals:
            assert await self.journal.record(each, matched)
            self.journal.finish(each.id, matched=matched, persisted=matched, rejected=0, seconds=0.1)
        await asyncio.sleep(0.3)

    async def note(self, arrival: Arrival) -> None:
        """Have the history hold something that asked for no refresh."""
        self.journal.note(arrival, outcome=Outcome.ANSWERED, code=200)
        await self.add(Arrival("barrier", "w/w", received=arrival.received))

    async def repeats(self) -> list[Entry]:
        """The rows of what was dispatched anew, once it is done, the newest first."""
        await until(lambda: not len(self.deliveries))
        await asyncio.sleep(0.3)
        found = await self.journal.read(lambda database: entries(database, Query(limit=0)))
        return [each for each in found if each.via == "again"]

    @property
    def dispatched(self) -> list[str]:
        """The first URL of each dispatched delivery, in order."""
        return [subjects[0].url for _, subjects, _, _ in self.dispatcher.dispatched]

    async def _ask_peers(self, id_: str) -> tuple[Delivery | None, object]:
        return self.elsewhere.get(id_), ()


@contextlib.asynccontextmanager
async def remembering(folder: Path, *refreshes: FakeRefresh, budget: float = 4.0) -> AsyncIterator[History]:
    """A receiver with a history in this folder; at the end nothing of it is left running."""
    tasks = asyncio.all_tasks()
    async with opened(folder, clock=Clock()) as journal:
        history = History(folder, journal, refreshes, budget)
        await history.server.start()
        try:
            yield history
        finally:
            await history.server.close()
            await history.deliveries.close()
    assert not (folder / SOCKET_NAME).exists()
    await asyncio.sleep(0.01)
    assert history.endpoint.gate.bytes == 0
    assert asyncio.all_tasks() <= tasks | {asyncio.current_task()}


async def call(capsys: pytest.CaptureFixture[str], folder: Path | None, *flags: str) -> Called:
    """Run the command on a folder."""
    parser = argparse.ArgumentParser()
    again.add_arguments(parser)
    capsys.readouterr()
    with capture_logs():  # the receiver would log to standard output, too
        environ = {} if folder is None else {"DATA_DIR": str(folder)}
        code = await exit_code("again", again.run(parser.parse_args(flags), environ))
    return Called(code, *capsys.readouterr())
