"""One tenant's huge objects: the start stays within the container's memory, and others are served."""

import time
from collections.abc import Callable

import pytest

from e2e.kargo.project import Project, git, image
from tests.support.azure import image_push
from tests.support.process_stats import MIB, peak_memory
from tests.support.receiver_process import ReceiverFactory

COUNT, SIZE = 150, 1_200_000
"""Warehouses in the attacker's namespace, and bytes of each: 180 MB, just below what etcd takes of one."""
MEMORY = 512 * MIB
"""Of the container in the manifests; half of it must do."""


@pytest.mark.limit(180)
def test_150_warehouses_of_1_2_megabytes(
    new_project: Callable[..., Project],
    start_receiver: ReceiverFactory,
    announce: Callable[[str], None],
) -> None:
    """Pages are bounded by bytes, so what is in memory at once is, whatever the objects are."""
    attacker, other = new_project().create(), new_project().create()
    filler = "x" * SIZE
    names = [f"big-{number:03d}" for number in range(COUNT)]
    try:
        for name in names:
            attacker.add_warehouse(name, {**git("https://example.com/big"), "filler": filler})
        other.add_warehouse("app", image("contoso.azurecr.io/app"))
        began = time.monotonic()
        receiver = start_receiver(wait=False)
        receiver.wait_ready(limit=90.0)
        ready = time.monotonic() - began
        answer = receiver.post(other.path, image_push("app"))
        peak = peak_memory(receiver.process.pid)
        announce(
            f"{COUNT} Warehouses of {SIZE / 1e6:g} MB: ready in {ready:.1f} s, peak {peak / MIB:.0f} MiB"
        )
        assert (answer.status, answer.json) == (200, {"msg": "refreshed 1 warehouse(s)"})
        assert answer.seconds < 1.0
        assert receiver.metric("kargo_azure_receiver_cache_objects", kind="Warehouse") >= COUNT + 1
        assert peak < MEMORY / 2
    finally:
        for name in names:
            attacker.delete_warehouse(name)
