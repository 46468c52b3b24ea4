"""Recent deliveries: what late Warehouses find, and bounds that nobody can push others out of."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.refreshing import recent_deliveries as recent
from controller.refreshing.recent_deliveries import Recent, RecentDeliveries


def test_a_project_finds_its_own_and_the_clusters() -> None:
    """A Warehouse is found by its Project's deliveries and the ClusterConfig's, not by others'."""
    memory = RecentDeliveries()
    memory.remember("p", "key", "p/az", 100.0)
    memory.remember(None, "key", "cluster/az", 101.0)
    memory.remember("q", "key", "q/az", 102.0)
    memory.remember("p", "other", "p/az", 103.0)
    assert memory.find("key", "p", 0.0) == [("p", Recent(100.0, "p/az")), (None, Recent(101.0, "cluster/az"))]
    assert memory.find("key", "r", 0.0) == [(None, Recent(101.0, "cluster/az"))]
    assert memory.find("nothing", "p", 0.0) == []


def test_only_what_is_recent_is_found() -> None:
    """A delivery counts from the moment asked for, that moment included."""
    memory = RecentDeliveries()
    memory.remember("p", "key", "p/az", 100.0)
    assert memory.find("key", "p", 100.0)
    assert not memory.find("key", "p", 100.1)


def test_the_latest_delivery_counts() -> None:
    """A later delivery replaces the earlier; one that is told of late does not make the key older."""
    memory = RecentDeliveries()
    memory.remember("p", "key", "p/az", 100.0)
    memory.remember("p", "key", "p/b", 200.0)
    memory.remember("p", "key", "p/c", 150.0)
    ((_, found),) = memory.find("key", "p", 0.0)
    assert found.received == 200.0
    assert len(memory) == 1


def test_pruning_forgets_the_old_only() -> None:
    """What is too old goes, and with the last key of a scope all that was kept for it."""
    memory = RecentDeliveries()
    memory.remember("p", "old", "p/az", 100.0)
    memory.remember("p", "new", "p/az", 200.0)
    memory.remember("q", "old", "q/az", 100.0)
    memory.prune(150.0)
    assert len(memory) == 1
    assert memory.find("new", "p", 0.0)
    assert not memory.find("old", "p", 0.0)
    assert list(memory._scopes) == ["p"]


def test_one_project_cannot_push_out_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who invents repositories forgets his own only."""
    monkeypatch.setattr(recent, "PER_SCOPE", 10)
    memory = RecentDeliveries()
    memory.remember("q", "mine", "q/az", 1.0)
    for number in range(100):
        memory.remember("p", f"key-{number}", "p/az", 100.0 + number)
    assert len(memory) == 11
    assert memory.find("mine", "q", 0.0)
    assert not memory.find("key-89", "p", 0.0)
    assert memory.find("key-90", "p", 0.0)


def test_a_key_takes_as_much_memory_whatever_a_sender_wrote() -> None:
    """The bound in keys is one in bytes too: a URL of megabytes, or of four bytes a character, is one key."""

    def size(key: str) -> int:
        memory = RecentDeliveries()
        tracemalloc.start()
        for number in range(200):
            memory.remember("p", f"{key}{number}", "p/az", 1.0)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert memory.find(f"{key}199", "p", 1.0)
        return held // 200

    assert size("\U0001f980" * 10_000) == pytest.approx(size("a"), rel=0.1)
    assert size("a") < 350, "see PER_SCOPE"


def test_in_all_it_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many Projects, those who have most give way."""
    monkeypatch.setattr(recent, "PER_SCOPE", 10)
    monkeypatch.setattr(recent, "TOTAL", 20)
    memory = RecentDeliveries()
    for number in range(15):
        for project in ("p", "q"):
            memory.remember(project, f"key-{number}", "x", float(number))
    memory.remember("r", "only", "r/az", 1.0)
    assert len(memory) == 20
    assert memory.find("only", "r", 0.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "p", "q"]), st.sampled_from("abc"), st.integers(0, 50), st.booleans()
        )
    )
)
def test_it_counts_what_it_holds(steps: list[tuple[str | None, str, int, bool]]) -> None:
    """Whatever is remembered and pruned, in any order: the count is right, and the recent is there."""
    memory = RecentDeliveries()
    latest: dict[tuple[str | None, str], int] = {}
    for scope, key, when, prune in steps:
        if prune:
            memory.prune(float(when))
            latest = {each: at for each, at in latest.items() if at >= when}
        else:
            memory.remember(scope, key, "x", float(when))
            latest[scope, key] = max(when, latest.get((scope, key), 0))
        assert len(memory) == sum(len(keys) for keys in memory._scopes.values())
    for (scope, key), at in latest.items():
        assert scope in [found for found, _ in memory.find(key, scope or "p", float(at))]
