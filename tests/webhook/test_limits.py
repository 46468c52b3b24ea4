"""Limits: the gate and the deadlines that keep them, each at the limit and one past it."""

import asyncio
import resource

import pytest

from webhook.gate import Gate
from webhook.http.deadlines import Deadlines
from webhook.limits import MIB, Limits


def test_defaults_fit_together() -> None:
    """The limits allow what they are meant to allow."""
    limits = Limits()
    assert limits.body == 2 * MIB
    assert limits.body_bytes >= 16 * limits.body, "a handful of the longest bodies fit at once"
    assert limits.receiver_bytes + 4 * limits.body <= limits.body_bytes, "one receiver leaves room for others"
    assert limits.receiver_requests < limits.requests < limits.connections, "a 503 comes before a closed door"
    assert limits.discard > limits.body


def test_connections_leave_file_descriptors_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may open few files still has half of them for watches and patches."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert Limits().open_connections == 512
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert Limits().open_connections == Limits().connections


def test_requests_in_progress() -> None:
    """One request more than the limit is refused, until one is answered."""
    gate = Gate(Limits(requests=2, receiver_requests=2))
    assert gate.enter("a")
    assert gate.enter("b")
    assert not gate.enter("c")
    gate.leave("a")
    assert gate.enter("c")


def test_requests_of_one_receiver() -> None:
    """Whoever uses up one receiver's share leaves the others theirs."""
    gate = Gate(Limits(requests=3, receiver_requests=2))
    assert gate.enter("a")
    assert gate.enter("a")
    assert not gate.enter("a")
    assert gate.enter("b")
    gate.leave("a")
    assert gate.enter("a")


def test_bytes_of_bodies() -> None:
    """Bytes are counted to the last one, and given back."""
    gate = Gate(Limits(body_bytes=10, receiver_bytes=10))
    assert gate.take("a", 10)
    assert not gate.take("b", 1)
    gate.give("a", 1)
    assert gate.take("b", 1)
    gate.give("a", 9)
    gate.give("b", 1)
    assert gate.bytes == 0


def test_bytes_of_one_receiver() -> None:
    """Whoever sends large bodies to one receiver leaves the others room for theirs."""
    gate = Gate(Limits(body_bytes=10, receiver_bytes=7))
    assert gate.take("a", 7)
    assert not gate.take("a", 1)
    assert gate.take("b", 3)
    gate.give("a", 1)
    assert gate.take("a", 1)


async def test_closed_gate_lets_out_but_not_in() -> None:
    """At shutdown what is inside is waited for, and nothing new comes in."""
    gate = Gate(Limits())
    assert gate.enter("a")
    gate.closed = True
    assert not gate.enter("a")
    assert not await gate.wait_empty(0.01)
    waiting = asyncio.ensure_future(gate.wait_empty(5))
    await asyncio.sleep(0)
    gate.leave("a")
    assert await waiting
    assert gate.requests == 0


def test_deadlines_come_in_order() -> None:
    """What was added first is due first, to the moment; what was discarded never is."""
    deadlines: Deadlines[str] = Deadlines(10.0)
    deadlines.add("a", 0.0)
    deadlines.add("b", 1.0)
    deadlines.add("c", 1.0)
    deadlines.discard("b")
    deadlines.discard("unknown")
    assert deadlines.overdue(9.99) == []
    assert deadlines.overdue(10.0) == ["a"]
    assert deadlines.overdue(11.0) == ["c"]
    assert len(deadlines) == 0


def test_deadline_starts_anew() -> None:
    """A key that is added again has all of its time again, and goes to the back."""
    deadlines: Deadlines[str] = Deadlines(10.0)
    deadlines.add("a", 0.0)
    deadlines.add("b", 1.0)
    deadlines.add("a", 5.0)
    assert deadlines.oldest() == "b"
    assert deadlines.overdue(11.0) == ["b"]
    assert "a" in deadlines
    assert deadlines.overdue(15.0) == ["a"]
    assert deadlines.oldest() is None
