"""From an answer to the end of a delivery in the journal."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.support.deliveries import IMAGE, World, arrival
from tests.support.fakes import FakeRefresh
from webhook.arrival import Subject
from webhook.outcome import NearMiss, NearMisses


async def test_the_rest_follows_and_is_logged_and_finished() -> None:
    """After a 202 the outcome is in the journal and in the log, under the same id."""
    refresh = FakeRefresh(2, failing=True)
    world = World(refresh)
    with capture_logs() as lines:
        await world.answer()
        assert world.journal.calls == [("record", "d1")]
        await world.clock.advance(30)
        refresh.persist(2)
        await world.clock.settle()
    assert world.journal.calls == [("record", "d1"), ("finish", "d1")]
    answered, completed = lines
    assert answered == {
        "event": "delivery",
        "log_level": "info",
        "receiver": "kargo-demo/az",
        "source": "acr",
        "event_type": "push",
        "repository": "registry.azurecr.io/app",
        "matched": 2,
        "refreshed": 0,
        "rejected": 0,
        "seconds": 0.0,
        "id": "d1",
        "sender_id": "sender's d1",
        "code": 202,
    }
    assert completed["event"] == "delivery_completed"
    assert (completed["id"], completed["refreshed"], completed["seconds"]) == ("d1", 2, 30.0)


# --- one delivery takes another's place ---


async def test_superseded_row_goes_once_the_newer_is_committed() -> None:
    """The older row stands until the one that carries its work is on disk."""
    old, new = FakeRefresh(1, failing=True), FakeRefresh(1, failing=True)
    world = World(old, new)
    await world.answer("old")
    world.journal.holding = True
    # As the dispatcher does it: while the newer one is being dispatched, before its row is queued.
    world.dispatcher.on_dispatch = lambda: old.supersede("new")
    reply = world.send("new")
    await world.clock.settle()
    assert world.journal.calls == [("record", "old"), ("record", "new")]
    world.journal.commit()
    await world.clock.settle()
    assert reply.result().code == 202
    assert world.journal.calls[2:] == [("supersede", "old", "new")]
    assert len(world.deliveries) == 1


async def test_superseded_row_stays_if_the_newer_can_not_be_written() -> None:
    """On a disk that is full by now, the old row answers for both until the work is done."""
    old, new = FakeRefresh(1, failing=True), FakeRefresh(1, failing=True)
    world = World(old, new)
    await world.answer("old")
    world.journal.working = False
    world.dispatcher.on_dispatch = lambda: old.supersede("new")
    assert (await world.answer("new")).code == 503
    await world.clock.settle()
    assert not [call for call in world.journal.calls if call[0] == "supersede"]
    new.persist()
    await world.clock.settle()
    assert world.journal.calls[-1] == ("finish", "old")
    assert len(world.deliveries) == 0


async def test_a_chain_of_superseded_rows_ends_with_the_last() -> None:
    """If the newer one without a row is superseded in turn, the oldest waits for the one after it."""
    first, second, third = (FakeRefresh(1, failing=True) for _ in range(3))
    world = World(first, second, third)
    await world.answer("1")
    world.journal.working = False
    world.dispatcher.on_dispatch = lambda: first.supersede("2")
    await world.answer("2")
    world.dispatcher.on_dispatch = lambda: second.supersede("3")
    await world.answer("3")
    await world.clock.settle()
    assert not [call for call in world.journal.calls if call[0] == "supersede"]
    third.persist()
    await world.clock.settle()
    assert world.journal.calls[-1] == ("finish", "1")
    assert len(world.deliveries) == 0


async def test_superseded_by_several_waits_for_all_of_them() -> None:
    """A batch's row stands for each of its repositories."""
    batch, one, two = (FakeRefresh(1, failing=True) for _ in range(3))
    world = World(batch, one, two)
    await world.answer("batch", IMAGE, Subject("image", "registry.azurecr.io/other"))
    await world.answer("one")
    world.journal.holding = True
    world.dispatcher.on_dispatch = lambda: batch.supersede("one", "two")
    reply = world.send("two")
    await world.clock.settle()
    assert world.journal.calls[-1] == ("record", "two")
    world.journal.commit()
    await world.clock.settle()
    assert reply.result().code == 202
    assert world.journal.calls[-2:] == [("record", "two"), ("supersede", "batch", "one", "two")]


@pytest.mark.parametrize(
    ("full_from", "still_open"),
    [
        pytest.param(None, ["199"], id="working-disk"),
        pytest.param(0, ["199"], id="full-disk"),
        pytest.param(1, ["0", "199"], id="disk-fills"),
    ],
)
async def test_an_outage_holds_no_more_than_the_newest_of_a_flow(
    full_from: int | None, still_open: list[str]
) -> None:
    """What waits while the API server is down is Warehouses, not deliveries, whatever the disk can take.

    With a disk that fills meanwhile, the last one that has a row stays beside it: it answers for the newest.
    """
    refreshes = [FakeRefresh(1, failing=True) for _ in range(200)]
    world = World(*refreshes)
    for number, previous in enumerate([None, *refreshes[:-1]]):
        world.journal.working = full_from is None or number < full_from
        if previous is not None:
            world.dispatcher.on_dispatch = lambda p=previous, n=number: p.supersede(f"{n}")  # type: ignore[misc]
        assert (await world.answer(str(number))).code == (202 if world.journal.working else 503)
    await world.clock.settle()
    assert [open_.arrival.id for open_ in world.deliveries.open_among(map(str, range(200)))] == still_open
    assert len(world.deliveries) == len(still_open) == len(asyncio.all_tasks()) - 1
    refreshes[-1].persist()
    await world.clock.settle()
    assert len(world.deliveries) == 0
    rows = [call for call in world.journal.calls if call[0] == "finish"]
    assert rows == [] if full_from == 0 else [("finish", still_open[0])]


# --- start ---


async def test_unfinished_deliveries_are_taken_up_at_start() -> None:
    """What a dead process owed is refreshed, and then finished in the journal."""
    refresh = FakeRefresh(2)
    world = World(refresh)
    world.deliveries.resume(arrival("from-before"), owed=True)
    assert world.dispatcher.dispatched[0][3] == "from-before"
    await world.clock.settle()
    assert refresh.detached
    assert world.journal.calls == []
    refresh.persist(2)
    await world.clock.settle()
    assert world.journal.calls == [("finish", "from-before")]


async def test_finished_delivery_is_resumed_for_late_warehouses_only() -> None:
    """It is no delivery in progress: it stands for no other, and its row stays as it is."""
    world = World()
    finished = arrival("finished")
    world.deliveries.resume(finished, owed=False)
    await world.clock.settle()
    assert world.dispatcher.dispatched == []
    assert world.dispatcher.remembered == [("kargo-demo/az", (IMAGE,), finished.received)]
    assert world.journal.calls == []
    assert len(world.deliveries) == 0


async def test_resumed_delivery_took_its_time_since_it_came() -> None:
    """The journal and the log count from the sender's request, not from the restart."""
    refresh = FakeRefresh(1)
    world = World(refresh)
    world.deliveries.resume(arrival("old", received=world.clock.time() - 23.0), owed=True)
    with capture_logs() as lines:
        refresh.persist()
        await world.clock.settle()
    assert lines[0]["event"] == "delivery_completed"
    assert lines[0]["seconds"] == world.journal.seconds["old"] == 23.0


# --- what matches nothing ---


class SlowFinder:
    """Finds one near miss, once it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = asyncio.Event()

    async def find(self, receiver: str, subjects: Sequence[Subject]) -> NearMisses:
        self.asked.append(receiver)
        await self.may.wait()
        return NearMisses((NearMiss("kargo-other/app", "key", "another Project"),), "not to the end")


async def test_near_misses_follow_the_answer() -> None:
    """The answer waits for no search and says nothing of it; log and history have what it found."""
    finder = SlowFinder()
    world = World(FakeRefresh(0), near_misses=finder)
    with capture_logs() as lines:
        answer = await world.answer()
        assert finder.asked == ["kargo-demo/az"]
        assert (lines, world.journal.calls) == ([], [("record", "d1")])
        await world.clock.advance(1)
        finder.may.set()
        await world.clock.settle()
    assert (answer.code, b"app" in answer.body) == (200, False)
    (line,) = lines
    assert line["near_misses"] == ["kargo-other/app: another Project"]
    assert line["near_misses_note"] == "not to the end"
    assert line["seconds"] == world.journal.seconds["d1"] == 0.0, "the search is no part of the delivery"
    near = world.journal.remarks["d1"].near_misses
    assert near == await finder.find("", ())


async def test_no_search_for_what_matches() -> None:
    """A delivery that refreshes something needs no explanation."""
    finder = SlowFinder()
    refresh = FakeRefresh(1)
    refresh.persist()
    world = World(refresh, near_misses=finder)
    await world.answer()
    assert finder.asked == []
    assert world.journal.calls[-1] == ("finish", "d1")


# --- faults, and the end ---


async def test_fault_while_beginning_leaves_nothing_open() -> None:
    """A fault of ours is the caller's to report, and holds no memory."""
    world = World()

    def broken() -> None:
        raise RuntimeError("broken")

    world.dispatcher.on_dispatch = broken
    with pytest.raises(RuntimeError):
        world.begin()
    assert len(world.deliveries) == 0


async def test_fault_in_a_delivery_is_logged_and_holds_nothing() -> None:
    """A fault in one is reported without what it quotes, ends nobody else's, and leaves nothing open."""
    world = World(FakeRefresh(0), FakeRefresh(1))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("https://user:token@example.com")

    world.journal.finish = broken  # type: ignore[method-assign]
    with capture_logs() as lines:
        assert (await world.answer("odd")).code == 200
        other = world.send("other")
        await world.clock.settle()
    assert [line["event"] for line in lines] == ["delivery", "request_failed"]
    assert lines[1]["error"] == "RuntimeError"
    assert "token" not in repr(lines)
    assert not other.done()
    assert len(world.deliveries) == 1


async def test_close_stops_waiting() -> None:
    """At shutdown nothing of a delivery is left behind but its row."""
    old, new = FakeRefresh(1, failing=True), FakeRefresh(1, failing=True)
    world = World(old, new)
    await world.answer("old")
    world.journal.working = False
    world.dispatcher.on_dispatch = lambda: old.supersede("new")
    await world.answer("new")
    await world.clock.settle()
    waiting = world.send("unanswered")
    await world.deliveries.close()
    assert not waiting.done()
    assert world.clock.pending == []
    assert len(asyncio.all_tasks()) == 1
    assert not [call for call in world.journal.calls if call[0] == "supersede"]
