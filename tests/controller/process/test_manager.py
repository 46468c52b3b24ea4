"""Supervision: a part that ends on its own ends the process, and nothing holds its end up."""

import asyncio

import pytest

from controller.process import manager as supervision
from controller.process.manager import Manager, PartFailed, done_before


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ZeroDivisionError


async def end() -> None:
    """End at once, which a part must not."""


@pytest.mark.parametrize(
    ("part", "message"),
    [
        pytest.param(fail, "informer failed", id="raises"),
        pytest.param(end, "informer ended", id="ends"),
    ],
)
async def test_a_part_that_ends_on_its_own_ends_the_process(part: object, message: str) -> None:
    """The error names the part, and holds what it raised."""
    manager = Manager()
    manager.start("informer", part())  # type: ignore[operator]
    with pytest.raises(PartFailed, match=message) as caught:
        await manager.run(forever())
    assert isinstance(caught.value.__cause__, ZeroDivisionError) == (part is fail)


async def test_a_part_that_is_cancelled_without_being_asked_to_end_ends_the_process() -> None:
    """An informer that somebody cancels is dead: the process must not live on with healthy probes."""
    manager = Manager()
    task = manager.start("informer", forever())
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(PartFailed, match="informer was cancelled"):
        await asyncio.wait_for(manager.run(forever()), 5.0)


async def test_a_part_may_end_or_be_cancelled_once_that_is_expected() -> None:
    """What is wound down in order is no failure."""
    manager = Manager()
    parts = [manager.start("a", forever()), manager.start("b", forever())]

    async def main() -> None:
        for part in parts:
            manager.may_end(part)
            part.cancel()
        await asyncio.wait(parts)

    await manager.run(main())


async def test_clean_ups_run_last_first_and_whatever_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that raises or hangs keeps no other from running; one that hangs is reported by name."""
    monkeypatch.setattr(supervision, "CLEAN_UP_SECONDS", 0.01)
    manager = Manager()
    done: list[str] = []

    async def note() -> None:
        done.append("first")

    manager.at_end("first", note)
    manager.at_end("broken", fail)
    manager.at_end("disk", forever)
    with pytest.raises(PartFailed, match=r"clean-up of disk did not end within 0\.01 s"):
        await manager.run(end())
    assert done == ["first"]


async def test_waiting_ends_with_the_event_or_with_what_is_waited_for() -> None:
    """Which of the two it was is returned; what was given up is cancelled."""
    event = asyncio.Event()
    assert await done_before(event, asyncio.sleep(0))
    waiting = asyncio.ensure_future(forever())
    asyncio.get_running_loop().call_soon(event.set)
    assert not await done_before(event, waiting)
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_an_error_of_what_is_waited_for_is_raised() -> None:
    """A failure must not look like an orderly end."""
    with pytest.raises(ZeroDivisionError):
        await done_before(asyncio.Event(), fail())


async def test_asked_twice_to_stop_means_at_once() -> None:
    """The first signal begins an orderly stop, the second ends all waiting."""
    manager = Manager()
    manager.ask_to_stop()
    assert manager.stopping.is_set()
    assert not manager.hurry.is_set()
    manager.ask_to_stop()
    assert manager.hurry.is_set()
