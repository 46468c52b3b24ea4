"""The accounting of one delivery: every target once, one end, told to all who wait for it."""

from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.objects import Target
from controller.refreshing.batch import Batch, Part, Settled


def targets(count: int) -> list[Target]:
    return [Target("Warehouse", "p", f"w{number}") for number in range(count)]


def batch(*counts: int, delivery: str = "d") -> Batch:
    """Return a batch with a part for each count of targets."""
    made = Batch(0.0, delivery, lambda _: None)
    for number, count in enumerate(counts):
        made.add(targets(count), (f"flow {number}",))
    return made


@given(st.lists(st.sampled_from(Settled), max_size=20))
def test_counts(settled: list[Settled]) -> None:
    """Persisted and rejected are counted, the gone are not: they were never matched, so to say."""
    refresh = batch(len(settled))
    ends: list[bool] = []
    refresh.on_done(lambda: ends.append(refresh.done))
    for number, how in enumerate(settled):
        assert not refresh.done
        assert refresh.outstanding == len(settled) - number
        refresh.parts[0].settle(how)
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
    refresh.parts[0].settle(Settled.PERSISTED)
    refresh.parts[0].settle(Settled.PERSISTED)
    refresh.on_done(lambda: told.append("late"))
    assert told == ["early", "late"]
    assert refresh.persisted == 1


def test_a_superseded_batch_is_done() -> None:
    """It names who carries on, keeps its counts, and no later result changes it."""
    old, new = batch(3, delivery="old"), batch(3, delivery="new")
    told: list[str] = []
    old.on_done(lambda: told.append("done"))
    (part,) = old.parts
    part.settle(Settled.PERSISTED)
    part.supersede(new)
    part.settle(Settled.REJECTED)
    assert (old.done, old.superseded_by, told) == (True, ("new",), ["done"])
    assert (old.matched, old.persisted, old.rejected) == (3, 1, 0)


def test_detaching_is_told_once_of_each_part() -> None:
    """That nobody waits any more is news only once; each part may then be superseded in its own flow."""
    told: list[Part] = []
    refresh = Batch(0.0, "d", told.append)
    parts = [refresh.add(targets(1), (flow,)) for flow in ("a", "b")]
    refresh.detach()
    refresh.detach()
    assert told == parts
    assert refresh.detached


def test_several_parts_add_up() -> None:
    """The parts of one delivery are counted together, and it ends when the last of them does."""
    whole = batch(1, 2, 0, 1)
    told: list[bool] = []
    whole.on_done(lambda: told.append(whole.done))
    assert (whole.matched, whole.done, whole.failing) == (4, False, False)
    whole.parts[3].settle(Settled.PERSISTED)
    whole.parts[1].settle(Settled.GONE)
    whole.parts[1].settle(Settled.REJECTED)
    assert not whole.done
    assert not told
    whole.parts[0].supersede(batch(1, delivery="later"))
    assert told == [True]
    assert (whole.matched, whole.persisted, whole.rejected) == (3, 1, 1)
    assert whole.superseded_by == ("later",)
    whole.on_done(lambda: told.append(True))
    assert told == [True, True]


def test_who_carries_on_is_named_once() -> None:
    """Two parts superseded by one delivery name it once."""
    whole = batch(1, 1, 1)
    for part, by in zip(whole.parts, "aba", strict=True):
        part.supersede(batch(1, delivery=by))
    assert whole.superseded_by == ("a", "b")
    assert batch().done
