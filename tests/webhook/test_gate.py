"""The gate: what Projects share, each bound at its limit and one past it."""

import asyncio

import pytest

from webhook.arrival import Subject
from webhook.gate import Gate, Quota, Turns, bytes_of
from webhook.limits import UNQUEUED_SECONDS, USE_WINDOW_SECONDS, Limits

A, B, C = "one/a", "one/b", "two/a"


@pytest.mark.parametrize(
    ("before", "receiver", "count", "fits"),
    [
        pytest.param({}, A, 9, True, id="a receiver's share: 9 of 16"),
        pytest.param({}, A, 10, False, id="past a receiver's share"),
        pytest.param({A: 9}, B, 3, True, id="a Project's share: 12 of 16"),
        pytest.param({A: 9}, B, 4, False, id="past a Project's share"),
        pytest.param({A: 9, B: 3}, C, 4, True, id="the last quarter is another's"),
        pytest.param({A: 9, B: 3}, C, 5, False, id="past all"),
        pytest.param({A: 9, C: 7}, "three/a", 1, False, id="nothing left"),
    ],
)
def test_quota_is_shared_by_project_then_by_receiver(
    before: dict[str, int], receiver: str, count: int, fits: bool
) -> None:
    """Whoever uses up a share leaves the others theirs, and a refusal counts nothing."""
    quota = Quota(16)
    assert all(quota.take(name, used) for name, used in before.items())
    total = quota.total
    assert quota.take(receiver, count) is fits
    assert quota.total == total + count * fits


def test_quota_is_given_back() -> None:
    """What was given back may be taken again, to the last unit."""
    quota = Quota(16)
    assert quota.take(A, 9)
    assert not quota.take(A, 1)
    quota.give(A, 1)
    assert quota.take(A, 1)
    quota.give(A, 9)
    assert quota.total == 0
    assert quota.take(B, 9)


def test_requests_and_bytes_are_counted_apart() -> None:
    """A Project that may send no more requests may still receive the bodies of those it has begun."""
    gate = Gate(Limits(requests=1, body_bytes=16, delivery_bytes=16))
    assert gate.enter(A)
    assert not gate.enter(C)
    assert gate.bodies.take(A, 9)
    assert gate.deliveries.take(A, 9)
    assert (gate.requests, gate.bytes) == (1, 18)


def test_bytes_of_a_delivery_grow_with_its_text_as_python_holds_it() -> None:
    """One character outside of the first plane makes a text four times as long in memory."""
    plain, wide = Subject("image", "r/" + "a" * 4000), Subject("image", "r/" + "a" * 3999 + "\U0001f600")
    assert bytes_of([wide]) > 3 * bytes_of([plain])
    assert bytes_of([plain, plain]) == 2 * bytes_of([plain])


async def test_closed_gate_lets_out_but_not_in() -> None:
    """At shutdown what is inside is waited for, and nothing new comes in."""
    gate = Gate(Limits())
    assert gate.enter(A)
    gate.closed = True
    assert not gate.enter(A)
    assert not await gate.wait_empty(0.01)
    waiting = asyncio.ensure_future(gate.wait_empty(5))
    await asyncio.sleep(0)
    gate.leave(A)
    assert await waiting
    assert gate.requests == 0


class Work:
    """Turns on a clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = Turns(lambda: self.now)
        self.done: list[str] = []

    def ask(self, receiver: str, seconds: float, *, fault: bool = False) -> None:
        def work() -> None:
            self.now += seconds
            self.done.append(receiver)
            if fault:
                raise ValueError("a fault of ours")

        self.turns.run(receiver, work)

    async def settle(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)


async def test_little_work_is_done_at_once() -> None:
    """Up to its free seconds a Project waits for nothing; then it does, and others don't."""
    work = Work()
    work.ask(A, UNQUEUED_SECONDS)
    assert work.turns.waits(B)
    assert not work.turns.waits(C)
    work.ask(B, 0.01)
    assert work.done == [A], "B is of the same Project"
    work.ask(C, 0.01)
    assert work.done == [A, C]
    await work.settle()
    assert work.done == [A, C, B]


async def test_who_used_least_is_next() -> None:
    """By Project first, then by receiver, however many wait of the one that has used most."""
    work = Work()
    work.ask(A, 0.3)
    work.ask(C, 0.2)
    for _ in range(3):
        work.ask(A, 0.02)
    work.ask(B, 0.02)
    work.ask(C, 0.02)
    assert work.done == [A, C]
    await work.settle()
    assert work.done[2:] == [C, B, A, A, A]


async def test_waiting_work_leaves_the_event_loop_to_others() -> None:
    """Each turn of the event loop does a few milliseconds of what waits."""
    work = Work()
    work.ask(A, 0.5)
    for _ in range(4):
        work.ask(A, 0.02)
    await asyncio.sleep(0)
    assert len(work.done) == 2
    await work.settle()
    assert len(work.done) == 5


async def test_use_is_forgotten_after_a_while() -> None:
    """A Project that was busy is served at once again."""
    work = Work()
    work.ask(A, 0.5)
    work.now += USE_WINDOW_SECONDS
    work.ask(A, 0.01)
    assert work.done == [A, A]


async def test_a_fault_in_one_is_not_the_others() -> None:
    """What waits behind work that raises is done all the same."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    work = Work()
    work.ask(A, 0.5)
    work.ask(A, 0.01, fault=True)
    work.ask(B, 0.01)
    await work.settle()
    assert sorted(work.done) == [A, A, B]
    assert len(faults) == 1


async def test_what_waits_can_be_dropped() -> None:
    """At the end nothing that was not answered is begun."""
    work = Work()
    work.ask(A, 0.5)
    work.ask(A, 0.01)
    work.turns.clear()
    await work.settle()
    assert work.done == [A]
