"""Fixtures for all tests: a real control plane, started once, and Projects and receivers on it."""

import contextlib
import inspect
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane, ControlPlaneError, terminal
from e2e.kargo.project import Project
from e2e.tools import azurite
from e2e.tools.azurite import Azurite
from tests.support.aio import TEST_LIMIT, run
from tests.support.event_queue import EventQueue
from tests.support.receiver_process import RECEIVER_PATH, ReceiverFactory

INTEGRATION = Path(__file__).parent / "integration"
UNIT = (Path(__file__).parent / "controller", Path(__file__).parent / "webhook")

_numbers = itertools.count(1)

# CI tries the same examples each time: what a random one finds there can't be looked into.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "search")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder: ``integration``, and ``unit`` for what starts no process and so runs in parallel."""
    for item in items:
        if item.path.is_relative_to(INTEGRATION):
            item.add_marker(pytest.mark.integration)
        if any(map(item.path.is_relative_to, UNIT)) and not item.get_closest_marker("process"):
            item.add_marker(pytest.mark.unit)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in an event loop of its own, for at most the seconds of its marker ``limit``."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    marker = pyfuncitem.get_closest_marker("limit")
    limit = float(marker.args[0]) if marker else TEST_LIMIT
    wanted = inspect.signature(test).parameters
    run(test(**{name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}), limit)
    return True


@pytest.fixture(scope="session")
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line past pytest's capture: a first build takes minutes, and people must see it go on."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            terminal.say(line)

    return say


@pytest.fixture(scope="session")
def control_plane(announce: Callable[[str], None]) -> Iterator[ControlPlane]:
    """A control plane with Kargo's CRDs, its ServiceAccount and our rights; tests fail if it can't be had."""
    try:
        plane = ControlPlane(say=announce).start()
    except ControlPlaneError as error:
        pytest.fail(f"no control plane to test on: {error}", pytrace=False)
    try:
        kargo.install(plane)
        yield plane
        events = json.dumps(plane.api.get("/api/v1/events")).encode()
        assert RECEIVER_PATH.search(events) is None, "an Event holds a receiver's path, which is a credential"
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def receiver_kubeconfig(control_plane: ControlPlane) -> Path:
    """A kubeconfig of the ServiceAccount that the receiver runs as in a cluster with Kargo."""
    return kargo.receiver_kubeconfig(control_plane)


@pytest.fixture
def new_project(control_plane: ControlPlane) -> Callable[..., Project]:
    """Make Projects of fresh names; what it is given goes to Project's constructor."""
    return lambda **options: Project(control_plane, f"project-{next(_numbers)}", **options)


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    """A fresh Project with its namespace, Secret, ProjectConfig and one Azure receiver; no Warehouses."""
    return new_project().create()


@pytest.fixture
def no_other_configs(control_plane: ControlPlane) -> Iterator[None]:
    """Without the ProjectConfigs of other tests, and afterwards without those of this one."""
    delete = ("delete", "projectconfigs", "--all", "--all-namespaces", "--wait=false")
    control_plane.kubectl(*delete)
    yield
    control_plane.kubectl(*delete)


@pytest.fixture(scope="session")
def storage(announce: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A running Azurite; tests are skipped where it can't be had."""
    try:
        command = azurite.ensure(announce)
    except ControlPlaneError as error:
        pytest.skip(f"no Azurite: {error}")
    running = Azurite(command, tmp_path_factory.mktemp("azurite"))
    running.start()
    yield running
    running.process.kill()


@pytest.fixture
def queue(storage: Azurite) -> Iterator[EventQueue]:
    """An empty queue."""
    with EventQueue(storage) as queue:
        yield queue


@pytest.fixture
def start_receiver(receiver_kubeconfig: Path, tmp_path: Path) -> Iterator[ReceiverFactory]:
    """Start receivers as real processes; what a test leaves running is ended after it."""
    with ReceiverFactory(receiver_kubeconfig, tmp_path) as factory:
        yield factory
