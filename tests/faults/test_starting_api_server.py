"""An API server that has just started: no roles read yet, so 403; no CRDs served yet, so 404."""

import time
from base64 import b64encode
from collections.abc import Iterator

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.kargo.project import API_VERSION, webhook_path
from tests.faults.stage import Stage
from tests.support.api_faults import Refuse, fault
from tests.support.fault_proxy import FaultProxy
from tests.support.sender import Sender


@pytest.fixture
def cluster_path(control_plane: ControlPlane) -> Iterator[str]:
    """The path of a receiver of the ClusterConfig, which exists while the test runs."""
    secret = {"metadata": {"name": "azure-secret"}, "data": {"secret": b64encode(b"s3cret").decode()}}
    secrets = f"/api/v1/namespaces/{kargo.SYSTEM_RESOURCES_NAMESPACE}/secrets"
    config = {
        "apiVersion": API_VERSION,
        "kind": "ClusterConfig",
        "metadata": {"name": "cluster"},
        "spec": {"webhookReceivers": [{"name": "all", "azure": {"secretRef": {"name": "azure-secret"}}}]},
    }
    control_plane.api.create(secrets, secret)
    control_plane.api.create(f"{kargo.API}/clusterconfigs", config)
    yield webhook_path("", "all", "s3cret")
    control_plane.api.delete(f"{kargo.API}/clusterconfigs/cluster")
    control_plane.api.delete(f"{secrets}/azure-secret")


@pytest.mark.parametrize("status", [403, 404])
def test_receivers_are_served_while_the_api_server_starts(
    stage: Stage, proxy: FaultProxy, cluster_path: str, status: int
) -> None:
    """No config or Secret is taken for deleted because a server that starts knows nothing yet."""
    field = stage.field()
    receiver = stage.receiver(proxy=proxy)
    url = receiver.base_url + cluster_path
    with stage.sender(field, receiver) as ours, Sender(lambda: url, stage.background) as everybody:
        senders = (ours, everybody)
        sending = [sender.begin(field.endless(stage.rng), rate=20) for sender in senders]
        with proxy.going_wrong(fault(Refuse(status))):
            proxy.break_watches()
            time.sleep(stage.scale(6, 15))
        time.sleep(1.0)
        for sender, task in zip(senders, sending, strict=True):
            sender.stopping = True
            sender.all_sent(task, 30.0)
            account = stage.settle(sender)
            stage.judge(account)
            assert account.statuses[0] == 0
