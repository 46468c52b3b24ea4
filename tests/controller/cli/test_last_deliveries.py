"""The last deliveries that ``urls`` shows: from replicas that answer, that do not, and from none."""

import argparse
import re

import pytest

from controller.cli import last_deliveries as asked
from controller.cli.command import CommandError
from e2e.controlplane.ports import free_ports
from tests.support.admin import FakeHistory, FakeProgram, delivery, served
from webhook.admin.ports import ReceiverState

RECEIVER = "kargo-demo/azure"


async def known(*flags: str, **environ: str) -> asked.LastDeliveries:
    """Ask as the command does."""
    parser = argparse.ArgumentParser()
    asked.add_arguments(parser)
    return await asked.last_deliveries(parser.parse_args(flags), environ)


async def test_what_a_replica_knows() -> None:
    """Time, answer and outcome, and whose word it is."""
    newest = delivery(0, code=202, outcome="pending")
    async with served(FakeProgram(ReceiverState(RECEIVER, "served")), FakeHistory(newest)) as server:
        found = await known("--peers", f"127.0.0.1:{server.port}")
        assert (await known(PEERS=f"127.0.0.1:{server.port}")).receivers == found.receivers
    summary = found.receivers[RECEIVER]
    assert (summary.last_delivery, summary.last_code, summary.last_outcome) == (
        newest.received,
        202,
        "pending",
    )
    assert (len(found.replicas), found.notes) == (1, [])


async def test_what_cannot_be_known_is_a_line() -> None:
    """Nobody to ask, nobody who answers, a history that can't be read: never an error."""
    nowhere = await known()
    assert (nowhere.replicas, nowhere.receivers) == ((), {})
    (line,) = nowhere.notes
    assert "--peers HOST:PORT" in line
    (port,) = free_ports(1)
    nobody = await known("--peers", f"127.0.0.1:{port}")
    assert (nobody.replicas, nobody.receivers) == ([], {})
    (line,) = nobody.notes
    assert re.fullmatch(rf"last deliveries are not known of 127\.0\.0\.1:{port}: no connection: .+", line)
    broken = FakeHistory()
    broken.broken = "the disk\x1b[31m hangs"
    async with served(history=broken) as server:
        (line,) = (await known("--peers", f"127.0.0.1:{server.port}")).notes
    assert line.endswith(r": the disk\u{1b}[31m hangs")


async def test_a_wrong_setting_is_named() -> None:
    """As ``run`` names it."""
    with pytest.raises(CommandError, match=r"^--peers: 'nonsense' "):
        await known("--peers", "nonsense")
