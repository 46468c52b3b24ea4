"""Whatever one sender or one Project does, another's push is answered within a second and refreshed."""

import pytest

from tests.attacks.conftest import Attack


@pytest.mark.parametrize("name", ["unread", "refused", "long_headers"])
def test_without_a_url(attack: Attack, name: str) -> None:
    """More connections than are kept open, from somebody who knows no URL."""
    attack(name, files=1024)


@pytest.mark.parametrize("name", ["batches", "escapes", "slots", "slow_bodies"])
def test_with_a_projects_urls(attack: Attack, name: str) -> None:
    """Somebody who has two URLs of one Project uses up that Project's share, and no more."""
    attack(name)


def test_with_batches_on_a_slow_disk(attack: Attack) -> None:
    """What waits for the journal is counted too: a disk that takes its time does not fill the memory."""
    attack("batches", slow_disk=True)


@pytest.mark.parametrize(("name", "warehouses"), [("repositories", 1_500), ("pushes", 1_000)])
def test_with_many_warehouses(attack: Attack, name: str, warehouses: int) -> None:
    """Refreshes take turns by Project: those of somebody else do not wait for all that one has asked for."""
    attack(name, warehouses=warehouses)
