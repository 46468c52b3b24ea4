"""A flood while the API server is down: what waits is Warehouses, not deliveries."""

import contextlib
import time
from collections.abc import Iterator

from tests.faults.field import Field
from tests.faults.stage import Stage
from tests.support.azure import image_push
from tests.support.process_stats import MIB, folder_bytes, memory, peak_memory
from tests.support.sender import Event

GROWTH = 160 * MIB
"""Bytes of memory that any number of deliveries may add."""
FOLDER = 256 * MIB


def _flood(field: Field, count: int) -> Iterator[Event]:
    """Pushes to all repositories in turn, each tenth to one nobody subscribes to."""
    names = list(field.names)
    for number in range(count):
        if number % 10:
            yield field.push(names[number % len(names)])
        else:
            yield Event(image_push(f"unknown/repository-{number}"), ())


def test_flood_while_the_api_server_is_down(stage: Stage) -> None:
    """Each delivery is accepted with 202, memory and disk stay bounded, and all is refreshed afterwards."""
    field = stage.field(repositories=50)
    receiver = stage.receiver("--log-level=warn")
    pid = receiver.process.pid
    count = stage.scale(3_000, 100_000)
    with stage.sender(field, receiver, at_once=64) as sender:
        sender.all_sent(sender.begin(field.pushes(200, stage.rng)), 60.0)
        before = memory(pid)
        stage.plane.kill_apiserver()
        with contextlib.ExitStack() as at_end:
            at_end.callback(stage.plane.api.close)
            at_end.callback(stage.plane.start_apiserver)
            began = time.monotonic()
            sender.all_sent(sender.begin(_flood(field, count)), 1200.0)
            took = time.monotonic() - began
            during, disk = memory(pid), folder_bytes(stage.data)
        account = stage.settle(sender, 90.0)
    stage.report(
        f"{count} deliveries in {took:.1f} s; memory {before / MIB:.0f} MiB before, {during / MIB:.0f} after,"
        f" peak {peak_memory(pid) / MIB:.0f}; folder {disk / MIB:.1f} MiB"
    )
    stage.judge(account)
    assert account.statuses[0] == 0
    assert account.statuses[202] > count * 0.8
    assert peak_memory(pid) - before < GROWTH
    assert disk < FOLDER
