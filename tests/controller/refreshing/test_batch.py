"""The accounting of one delivery: every target once, one end, told to all who wait for it."""

from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.objects import Target
from controller.refreshing.batch import Batch, Batches, Settled


def targets(count: int) -> list[Target]:
    return [Target("Warehouse", "p", f"w{number}") for number in range(count)]


def batch(count: int, delivery: str = "d") -> Batch:
    return Batch(targets(count), ("flow",), 0.0, lambda _: None, delivery)


@given(st.lists(st.sampled_from(Settled), max_size=20))
def test_counts(settled: list[Settled]) -> None:
    """Persisted and rejected are counted, the gone are not: they were never matched, so to say."""
    refresh = batch(len(settled))
    ends: list[bool] = []
    refresh.on_done(lambda: ends.append(refresh.done))
    for number, how in enumerate(settled):
        assert not refresh.done
        assert refresh.outstanding == len(settled) - number
        refresh.settle(how)
    assert refresh.done
    assert ends == [True]
    assert refresh.persisted == settled.count(Settled.PERSISTED)
    assert refresh.rejected == settled.count(Settled.REJECTED)
    assert refresh.matched == refresh.persisted + refresh.rejected


def test_done_is_told_once_and_late_askers_at_once() -> None:
    """Everybody who asks to be told is told exactly once, also after the end."""
    refresh = batch(1)
    told: list[str] = []
    refresh.on_done(lambda: told.append("early"))
    refresh.settle(Settled.PERSISTED)
    refresh.settle(Settled.PERSISTED)
    refresh.on_done(lambda: told.append("late"))
    assert told == ["early", "late"]
    assert refresh.persisted == 1


def test_a_superseded_batch_is_done() -> None:
    """It names who carries on, keeps its counts, and no later result changes it."""
    old, new = batch(3, "old"), batch(3, "new")
    told: list[str] = []
    old.on_done(lambda: told.append("done"))
    old.settle(Settled.PERSISTED)
    old.supersede(new)
    old.settle(Settled.REJECTED)
    assert (old.done, old.superseded_by, told) == (True, ("new",), ["done"])
    assert (old.matched, old.persisted, old.rejected) == (3, 1, 0)


def test_detaching_is_told_once() -> None:
    """That nobody waits any more is news only once."""
    told: list[Batch] = []
    refresh = Batch(targets(1), ("flow",), 0.0, told.append)
    refresh.detach()
    refresh.detach()
    assert told == [refresh]
    assert refresh.detached


def test_several_are_seen_as_one() -> None:
    """The parts of one delivery add up, and end when the last of them does."""
    parts = [batch(1), batch(2), batch(0), batch(1)]
    whole = Batches(parts)
    told: list[bool] = []
    whole.on_done(lambda: told.append(whole.done))
    assert (whole.matched, whole.done, whole.failing) == (4, False, False)
    parts[3].settle(Settled.PERSISTED)
    parts[1].settle(Settled.GONE)
    parts[1].settle(Settled.REJECTED)
    assert not whole.done
    assert not told
    parts[0].supersede(batch(1, "later"))
    assert told == [True]
    assert (whole.matched, whole.persisted, whole.rejected) == (3, 1, 1)
    assert whole.superseded_by == ("later",)
    whole.on_done(lambda: told.append(True))
    assert told == [True, True]


def test_one_failing_part_makes_the_whole_failing() -> None:
    """No point in waiting for the rest of a delivery when a part of it is waiting for a retry."""
    parts = [batch(1), batch(1)]
    parts[1].failing = True
    assert Batches(parts).failing


def test_detaching_the_whole_detaches_each() -> None:
    """Each part may then be superseded by its own flow's next delivery."""
    parts = [batch(1), batch(1)]
    Batches(parts).detach()
    assert all(part.detached for part in parts)


def test_who_carries_on_is_named_once() -> None:
    """Two parts superseded by one delivery name it once."""
    parts, later = [batch(1), batch(1), batch(1)], [batch(1, "a"), batch(1, "b"), batch(1, "a")]
    for part, by in zip(parts, later, strict=True):
        part.supersede(by)
    assert Batches(parts).superseded_by == ("a", "b")
    assert Batches([]).done
