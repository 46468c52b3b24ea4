"""What several integration tests start from: a proxy that counts."""

from collections.abc import Iterator

import pytest

from e2e.controlplane import ControlPlane
from tests.support.background import Background
from tests.support.fault_proxy import FaultProxy


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """A proxy that counts the receiver's requests, and deals faults where a test says so."""
    with (
        Background() as background,
        FaultProxy(control_plane.url, control_plane.ca, background, seed=1) as running,
    ):
        yield running
