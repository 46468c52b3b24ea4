"""A disk that is full: what can't be logged or kept ends nothing else."""

import asyncio
import os
import resource

import pytest

from e2e.kargo.project import Project
from tests.support.receiver_process import ReceiverFactory
from tests.support.wire import Wire, request
from webhook.limits import Limits


@pytest.mark.skipif(not os.environ.get("ATTACK_SECONDS"), reason="waits for time limits: see make attacks")
def test_time_limits_outlive_a_log_line_that_cannot_be_written(
    project: Project, start_receiver: ReceiverFactory
) -> None:
    """Two slow bodies, the second some time after the first: each gets its 408, though neither is logged."""
    receiver = start_receiver(environment={"LOG_LEVEL": "info", "PYTHONASYNCIODEBUG": ""})
    size = receiver.process.log.stat().st_size
    resource.prlimit(receiver.process.pid, resource.RLIMIT_FSIZE, (size, size))
    limit = Limits().body_seconds

    async def attack() -> None:
        wires = []
        for _ in range(2):
            wires.append(await Wire.open(receiver.port))
            await wires[-1].send(request("POST", project.path, Content_Length="100"))
            await asyncio.sleep(1.0)  # so that they are not overdue at the same time
        async with asyncio.timeout(limit + 5.0):
            for wire in wires:
                assert b" 408 " in await wire.reader.readline()
                await wire.close()

    asyncio.run(attack())
    assert receiver.process.log.stat().st_size == size
    assert receiver.process.running
