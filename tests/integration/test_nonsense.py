"""Warehouses with nonsense in them, on a real API server: served as far as possible, harmless to others."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, chart, git, image
from tests.support.azure import REGISTRY, image_push
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

GOOD = f"{REGISTRY}/good"
DEPTH = 2_000
MEGABYTE = 1024 * 1024


def _nested(depth: int) -> Any:
    value: Any = image(GOOD)
    for _ in range(depth):
        value = {"deeper": [value]}
    return value


NONSENSE = [
    pytest.param(None, 0, id="null"),
    pytest.param("text", 0, id="a string"),
    pytest.param(7, 0, id="a number"),
    pytest.param({"image": {"repoURL": GOOD}}, 0, id="an object"),
    pytest.param([None, 1, "x", [], {}, image(GOOD)], 1, id="items of other types"),
    pytest.param([{"image": None}, {"git": 5}, {"chart": []}, image(GOOD)], 1, id="parts of other types"),
    pytest.param([image(5), git(None), chart([GOOD]), image({}), image(GOOD)], 1, id="URLs of other types"),
    pytest.param([git(":// %zz\n"), image("\u0000"), chart("::::"), image(GOOD)], 1, id="URLs that are none"),
    pytest.param([image(f"{REGISTRY}/x-{n}") for n in range(9_999)] + [image(GOOD)], 1, id="10,000"),
    pytest.param([git("https://e.example/" + "a" * MEGABYTE), image(GOOD)], 1, id="a URL of 1 MB"),
    pytest.param([_nested(DEPTH // 2), image(GOOD)], 1, id="2,000 levels"),
    pytest.param([{"image": {"repoURL": GOOD, "git": 1}, "git": {"repoURL": 5}}], 1, id="two in one"),
]


@pytest.fixture(scope="module")
def receiver(
    receiver_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReceiverProcess]:
    """One receiver that lives through all of it."""
    with ReceiverFactory(receiver_kubeconfig, tmp_path_factory.mktemp("receiver")) as factory:
        yield factory()


@pytest.fixture(autouse=True)
def deep() -> Iterator[None]:
    """Let this process's own json module encode and decode deep values."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(("subscriptions", "matches"), NONSENSE)
def test_nonsense_stops_nobody(
    project: Project, receiver: ReceiverProcess, subscriptions: Any, matches: int
) -> None:
    """A Warehouse that becomes nonsense while the receiver runs costs only what can't be understood in it."""
    project.add_warehouse("good", image(GOOD))
    project.add_warehouse("odd", image(GOOD))
    eventually(lambda: _refreshed(receiver, project) == 2)
    project.set_subscriptions("odd", subscriptions)
    eventually(lambda: _refreshed(receiver, project) == 1 + matches, limit=5.0)
    before = project.refresh("good")
    assert _refreshed(receiver, project) == 1 + matches
    assert project.refresh("good") != before
    # What comes after it in the same watch is seen as ever, and it heals.
    project.add_warehouse("later", image(GOOD))
    eventually(lambda: _refreshed(receiver, project) == 2 + matches)
    project.set_subscriptions("odd", [image(GOOD)])
    eventually(lambda: _refreshed(receiver, project) == 3)
    assert receiver.process.running


def test_a_receiver_starts_among_nonsense(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory, control_plane: ControlPlane
) -> None:
    """All of it at once in the first list, and nonsense in a ProjectConfig's receivers besides."""
    project = new_project().create()
    odd = 0
    for number, parameter in enumerate(NONSENSE):
        subscriptions, matches = parameter.values
        project.add_warehouse(f"odd-{number}")
        project.set_subscriptions(f"odd-{number}", subscriptions)
        assert isinstance(matches, int)
        odd += matches
    project.add_warehouse("good", image(GOOD))
    azure = {"name": project.receiver, "azure": {"secretRef": {"name": project.secret_name}}}
    odd_receivers: list[Any] = [
        None,
        5,
        "x",
        {"name": 7, "azure": {}},
        {"azure": {"secretRef": {"name": "x"}}},
    ]
    odd_receivers += [{"name": "odd", "azure": None}, {"name": "odder", "azure": {"secretRef": "x"}}]
    project.put_receivers([*odd_receivers, azure])
    receiver = start_receiver()
    assert _refreshed(receiver, project) == 1 + odd
    other = new_project().create()
    receivers: Any
    for receivers in ("nonsense", {"name": "nonsense"}, None, odd_receivers):
        other.put_receivers(receivers)
    project.put_secret({"secret": f"{project.secret}-2"})  # seen after all that
    eventually(lambda: receiver.post(project.path, b"").status == 404)
    project.secret = f"{project.secret}-2"
    assert _refreshed(receiver, project) == 1 + odd
    control_plane.api.delete(f"{kargo.API}/namespaces/{project.name}/warehouses")


def _refreshed(receiver: ReceiverProcess, project: Project) -> int:
    """Push to the good repository, and return how many Warehouses were refreshed or refused."""
    answer = receiver.post(project.path, image_push("good"))
    assert answer.status in (200, 202, 404), answer
    if answer.status == 404:
        return -1
    return int(json.loads(answer.text)["msg"].split()[1])
