"""Helm, for the tests of the chart."""

from collections.abc import Callable

import pytest

from e2e.controlplane import ControlPlaneError
from e2e.tools import helm as helm_tool
from tests.support.chart import Helm


@pytest.fixture(scope="session")
def helm(announce: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, without a cluster; where it can't be had tests fail with the reason."""
    try:
        return Helm(helm_tool.ensure(announce), tmp_path_factory.mktemp("helm"))
    except ControlPlaneError as error:
        pytest.fail(f"no Helm to test with: {error}", pytrace=False)
