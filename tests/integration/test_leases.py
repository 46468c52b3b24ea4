"""Leases on a real API server, as the receiver's ServiceAccount."""

import uuid

import pytest

from controller.cluster.leases import Lease, LeaseStore
from controller.runtime.api.client import Client, load_configuration
from controller.runtime.api.errors import Conflict, Forbidden
from controller.runtime.clock import Clock
from e2e.controlplane import ControlPlane
from e2e.kargo import SERVICE_ACCOUNT_NAMESPACE, receiver_kubeconfig

NOW = 1_800_000_000.25


async def test_compare_and_swap(control_plane: ControlPlane) -> None:
    """Created once, changed once for each version, removed once or more often; notes come and go."""
    clock = Clock()
    client = Client(await load_configuration(str(receiver_kubeconfig(control_plane)), clock), clock=clock)
    store = LeaseStore(client, clock, namespace=SERVICE_ACCOUNT_NAMESPACE, seconds=30)
    name = f"pod-{uuid.uuid4().hex[:8]}"

    async def read() -> Lease:
        (found,) = [lease for lease in await store.read() if lease.name == name]
        return found

    try:
        notes = {"kept": "1", "dropped": "2", "none": ""}
        new = Lease(name, holder=name, acquired=NOW, renewed=NOW + 1, notes=notes)
        await store.write(new)
        with pytest.raises(Conflict):
            await store.write(new)
        found = await read()
        assert found.notes == {"kept": "1", "dropped": "2"}
        assert (found.holder, found.acquired, found.renewed) == (name, NOW, NOW + 1)
        changed = Lease(name, found.version, "", NOW, NOW + 2, {"dropped": "", "new": "3"})
        await store.write(changed)
        with pytest.raises(Conflict):
            await store.write(changed)
        found = await read()
        assert found.notes == {"kept": "1", "new": "3"}
        assert (found.holder, found.renewed) == ("", NOW + 2)
        await store.remove(name)
        await store.remove(name)
        assert name not in [lease.name for lease in await store.read()]
        elsewhere = LeaseStore(client, clock, namespace="default", seconds=30)
        with pytest.raises(Forbidden):
            await elsewhere.read()
    finally:
        await client.close()
