"""Options and fixtures of the end-to-end scenarios: ``pytest e2e``, or ``make e2e``.

``--cluster`` chooses where they run: ``kind``, or ``local``, a control plane on this machine with the
receiver's Pods as processes. Without it: kind where Docker works, else local, and a line that says so.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.clusters import Cluster
from e2e.clusters.kind import KindKubernetes, KindOptions, options, why_not
from e2e.clusters.local import LocalCluster
from e2e.clusters.user import User
from e2e.controlplane import ControlPlaneError, build, terminal

_numbers = itertools.count(1)
_CHOICE = pytest.StashKey[str]()
_REASON = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options beside those of pytest-kind (--kind-bin, --kind-image, --kind-kubectl-bin, …)."""
    group = parser.getgroup("end to end")
    group.addoption(
        "--cluster", choices=["local", "kind"], help="default: kind where Docker works, else local"
    )
    group.addoption("--receiver-image", help="an image that Docker has; default: built from the Dockerfile")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the kind of cluster."""
    given = config.getoption("--cluster")
    reason = None if given == "local" else why_not()
    config.stash[_REASON] = reason
    config.stash[_CHOICE] = given or ("local" if reason else "kind")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say on which cluster the scenarios ran, and why not on kind."""
    reason, choice = config.stash[_REASON], config.stash[_CHOICE]
    terminalreporter.write_line(f"end to end: --cluster={choice}")
    if reason:
        terminalreporter.write_line(f"end to end: kind was skipped: {reason}")


@pytest.fixture(scope="session")
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line past pytest's capture: building takes minutes, and people must see it go on."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            terminal.say(line)

    return say


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    announce: Callable[[str], None],
) -> Iterator[Cluster]:
    """A cluster with the receiver deployed beside a stand-in for Kargo."""
    config = request.config
    folder = tmp_path_factory.mktemp("cluster")
    made: Cluster
    if config.stash[_CHOICE] == "local":
        made = LocalCluster(folder, announce)
    elif config.stash[_REASON]:
        pytest.skip(f"kind: {config.stash[_REASON]}")
    else:
        made = KindKubernetes(_kind_options(config, announce), folder, announce)
    try:
        try:
            made.start()
            made.install()
        except (ControlPlaneError, AssertionError) as error:
            # Not pytest.fail, which would be repeated for each test.
            pytest.exit(f"no cluster to test on: {' '.join(str(error).split())}", returncode=1)
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def shown_when_failed(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the Pods' logs at the end of each test; pytest shows them only of one that failed."""
    yield
    with contextlib.suppress(ControlPlaneError):
        print(cluster.logs())


@pytest.fixture
def new_user(cluster: Cluster) -> Callable[[], User]:
    """Make users, each with a Project of a fresh name that nobody has created yet."""
    return lambda: User(cluster, f"project-{next(_numbers)}")


@pytest.fixture
def user(new_user: Callable[[], User]) -> User:
    """A user with a Project of a fresh name that nobody has created yet."""
    return new_user()


def _kind_options(config: pytest.Config, say: Callable[[str], None]) -> KindOptions:
    names = ("cluster_name", "keep_cluster", "kind_bin", "kind_image", "kind_kubectl_bin", "receiver_image")

    def own_kubectl() -> Path:
        return build.ensure(say).kubectl

    return options({name: config.getoption(name) for name in names}, own_kubectl)
