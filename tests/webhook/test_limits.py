"""Limits: how they fit together, and the deadlines that keep some of them."""

import resource

import pytest

from webhook.http.deadlines import Deadlines
from webhook.limits import MIB, Limits, share


def test_defaults_fit_together() -> None:
    """The limits allow what they are meant to allow."""
    limits = Limits()
    assert limits.body == 2 * MIB
    assert share(share(limits.held_bytes)) >= 16 * limits.body, "a handful of the longest bodies fit at once"
    assert limits.held_bytes - share(limits.held_bytes) >= 8 * limits.body, "a Project leaves room for others"
    assert limits.requests < limits.connections, "a 503 comes before a closed door"
    assert limits.discard > limits.body


def test_connections_leave_file_descriptors_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may open few files still has half of them for watches and patches."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert Limits().open_connections == 512
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert Limits().open_connections == Limits().connections


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
