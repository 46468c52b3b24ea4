"""The start with many receivers: every Secret is read before the first of their watches costs a handshake."""

from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.support.api_faults import Delay, fault
from tests.support.azure import ping
from tests.support.fault_proxy import FaultProxy
from tests.support.receiver_process import ReceiverFactory

SECRETS = 25
LIST_SECONDS = 1.0
AT_ONCE = 2.0
GOOD = "a-secret-that-is-long-enough"


@pytest.mark.usefixtures("no_other_configs")
def test_secrets_are_listed_before_any_is_watched_and_a_rotation_in_between_is_seen(
    new_project: Callable[..., Project],
    proxy: FaultProxy,
    receiver_kubeconfig: Path,
    start_receiver: ReceiverFactory,
) -> None:
    """The watches come right after the start, from the versions of their lists."""
    projects = {
        project.name: project.create() for project in (new_project(secret=GOOD) for _ in range(SECRETS))
    }
    proxy.faults = [fault(Delay(LIST_SECONDS), "list", resources=("secrets",))]
    receiver = start_receiver(kubeconfig=proxy.kubeconfig(receiver_kubeconfig), wait=False)

    def answered() -> list[str]:
        lists = proxy.traffic.select("list", "secrets")
        return [seen.call.namespace for seen in lists if seen.status == 200]

    rotated = projects[eventually(answered)[0]]
    old = rotated.path
    rotated.secret = f"{GOOD}-2"
    rotated.put_secret({"secret": rotated.secret})
    assert len(answered()) < SECRETS, "the start was over before the rotation"
    receiver.wait_ready()
    eventually(lambda: receiver.post(rotated.path, ping()).status == 200, limit=AT_ONCE)
    assert receiver.post(old, ping()).status == 404
    eventually(lambda: proxy.open_watches("secrets") == SECRETS)
    lists, watches = (proxy.traffic.select(verb, "secrets") for verb in ("list", "watch"))
    assert (len(lists), len(watches)) == (SECRETS, SECRETS)
    assert max(seen.at for seen in lists) + LIST_SECONDS <= min(seen.at for seen in watches)
