"""Warehouses are created, changed, deleted and made anew while events arrive."""

import random
from typing import Any

from tests.faults.field import subscription
from tests.faults.stage import Stage
from tests.support.azure import image_push
from tests.support.sender import Event

NAMES = 12
REPOSITORIES = 4


class Churn:
    """Warehouses by name, each with its UID and repository; several changes are made between two events."""

    def __init__(self, project: Any, rng: random.Random) -> None:
        self._project = project
        self._rng = rng
        self.alive: dict[str, tuple[str, str]] = {}
        self.gone: set[str] = set()

    def change(self) -> None:
        """Create, resubscribe or delete one at random."""
        name = f"churn-{self._rng.randrange(NAMES)}"
        repository = f"repo-{self._rng.randrange(REPOSITORIES)}"
        if name not in self.alive:
            self._project.add_warehouse(name, subscription(repository))
            uid = self._project.warehouse(name)["metadata"]["uid"]
            self.alive[name] = (uid, repository)
        elif self._rng.random() < 0.4:
            self._project.delete_warehouse(name)
            self.gone.add(self.alive.pop(name)[0])
        else:
            self._project.set_subscriptions(name, [subscription(repository)])
            self.alive[name] = (self.alive[name][0], repository)

    def push(self) -> Event:
        """A push to a repository, owed to the Warehouses subscribed at this moment."""
        wanted = f"repo-{self._rng.randrange(REPOSITORIES)}"
        owed = tuple(uid for uid, repository in self.alive.values() if repository == wanted)
        return Event(image_push(f"team/{wanted}"), owed)


def test_warehouses_come_and_go(stage: Stage) -> None:
    """A Warehouse that lives on is refreshed after each event that concerned it, whenever it came to be."""
    project = stage.new_project().create()
    churn = Churn(project, stage.rng)
    field = stage.field(repositories=1)
    field.project = project
    receiver = stage.receiver()
    with stage.sender(field, receiver) as sender:
        for _ in range(stage.scale(100, 2000)):
            churn.change()
            sender.send(churn.push())
        for entry in sender.ledger.entries:
            entry.owed -= churn.gone
        account = stage.settle(sender)
        stage.judge(account, late=True)  # a busy watch is read in strides
        assert account.owed > 0
        assert account.statuses[0] == 0
