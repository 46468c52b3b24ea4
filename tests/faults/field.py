"""A Project with many Warehouses, which events about its repositories must refresh."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import Api
from e2e.kargo.project import API_VERSION, Project, image
from tests.support.azure import REGISTRY, image_push
from tests.support.sender import Event

SMALL = 4
"""Warehouses of an ordinary repository."""


class Field:
    """Repositories ``app-0`` … of a few Warehouses each, and ``base``, to which ``fan_out`` subscribe."""

    def __init__(self, project: Project, *, repositories: int = 12, fan_out: int = 0) -> None:
        self.project = project
        self.names: dict[str, tuple[str, ...]] = {
            f"app-{number}": tuple(f"app-{number}-{each}" for each in range(SMALL))
            for number in range(repositories)
        }
        if fan_out:
            self.names["base"] = tuple(f"base-{number}" for number in range(fan_out))

    def create(self) -> "Field":
        """Create the Warehouses, several at a time."""
        names = [(name, repository) for repository, many in self.names.items() for name in many]
        parts = [names[start::4] for start in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create_some, parts))
        return self

    def add(self, name: str, repository: str) -> None:
        """Create one more Warehouse, subscribed to a repository."""
        self.project.add_warehouse(name, subscription(repository))
        self.names[repository] = (*self.names.get(repository, ()), name)

    def move(self, name: str, repository: str) -> None:
        """Subscribe a Warehouse to another repository instead."""
        self.project.set_subscriptions(name, [subscription(repository)])
        for each, names in self.names.items():
            self.names[each] = tuple(other for other in names if other != name)
        self.names[repository] = (*self.names.get(repository, ()), name)

    def push(self, repository: str) -> Event:
        """A push to a repository, which owes a refresh to each of its Warehouses."""
        owed = tuple(f"{self.project.name}/{name}" for name in self.names[repository])
        return Event(image_push(f"team/{repository}"), owed)

    def pushes(self, count: int, rng: random.Random) -> list[Event]:
        """Pushes to ordinary repositories at random."""
        ordinary = [name for name in self.names if name != "base"]
        return [self.push(rng.choice(ordinary)) for _ in range(count)]

    def endless(self, rng: random.Random, most: int = 100_000) -> Iterator[Event]:
        """Pushes until nobody takes more."""
        ordinary = [name for name in self.names if name != "base"]
        return islice(iter(lambda: self.push(rng.choice(ordinary)), None), most)

    def _create_some(self, part: Sequence[tuple[str, str]]) -> None:
        api = another_api(self.project.plane)
        path = f"{kargo.API}/namespaces/{self.project.name}/warehouses"
        for name, repository in part:
            spec = {"subscriptions": [subscription(repository)]}
            meta = {"name": name}
            api.create(path, {"apiVersion": API_VERSION, "kind": "Warehouse", "metadata": meta, "spec": spec})
        api.close()


def subscription(repository: str) -> dict[str, object]:
    """A Warehouse's subscription to a repository of ours."""
    return image(f"{REGISTRY}/team/{repository}")


def another_api(plane: ControlPlane) -> Api:
    """A connection of its own for another thread."""
    return Api(plane.port, plane.ca, plane._made.admin_token)
