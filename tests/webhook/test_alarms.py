"""Times at which something is due: each once, late by no more than a grain, and none that was discarded."""

import asyncio

import pytest

from webhook.alarms import GRAIN, Alarms


async def test_what_is_due_is_told_once_in_order() -> None:
    """Each key comes when its time has come, whatever the order in which they were added."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    came: dict[str, float] = {}

    def due(key: str) -> None:
        came[key] = loop.time() - began

    alarms: Alarms[str] = Alarms(due)
    alarms.add("late", 0.09)
    alarms.add("now", -1.0)
    alarms.add("soon", 0.03)
    assert len(alarms) == 3
    await asyncio.sleep(0)
    assert not came, "never before add has returned"
    await asyncio.sleep(0.2)
    assert [*came] == ["now", "soon", "late"]
    assert came["soon"] >= 0.03
    assert came["late"] >= 0.09
    assert len(alarms) == 0


async def test_what_was_discarded_is_not_told() -> None:
    """Nearly all end before their time; also one that the alarm of another ends."""
    came: list[str] = []

    def due(key: str) -> None:
        came.append(key)
        alarms.discard("ended by the first")
        alarms.discard("never added")

    alarms: Alarms[str] = Alarms(due)
    alarms.add("ended before", 0.0)
    alarms.add("first", 0.0)
    alarms.add("ended by the first", 0.0)
    alarms.discard("ended before")
    await asyncio.sleep(5 * GRAIN)
    assert came == ["first"]


async def test_all_can_be_forgotten() -> None:
    """At shutdown nothing rings any more."""
    came: list[str] = []
    alarms: Alarms[str] = Alarms(came.append)
    alarms.add("one", 0.0)
    alarms.add("two", 3600.0)
    assert alarms.clear() == ["one", "two"]
    await asyncio.sleep(3 * GRAIN)
    assert (came, len(alarms)) == ([], 0)


async def test_one_fault_does_not_silence_the_others() -> None:
    """A fault in what one alarm sets off is the event loop's to report; the others ring nevertheless."""
    came: list[int] = []
    faults: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))

    def due(key: int) -> None:
        if key == 1:
            raise RuntimeError("broken")
        came.append(key)

    alarms: Alarms[int] = Alarms(due)
    for key in range(3):
        alarms.add(key, 0.0)
    await asyncio.sleep(3 * GRAIN)
    assert came == [0, 2]
    assert [str(fault) for fault in faults] == ["broken"]


@pytest.mark.parametrize("count", [1, 1000])
async def test_what_is_due_together_shares_a_timer(count: int) -> None:
    """A burst of a thousand deliveries costs a few timers."""
    loop = asyncio.get_running_loop()
    timers = []
    call_at = loop.call_at
    loop.call_at = lambda *args: timers.append(call_at(*args))  # type: ignore[method-assign, assignment]
    alarms: Alarms[int] = Alarms(lambda _: None)
    for key in range(count):
        alarms.add(key, 0.05)
    assert 1 <= len(timers) <= 3
