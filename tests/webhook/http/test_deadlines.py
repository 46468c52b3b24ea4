"""Deadlines: each to the moment, one phase at a time."""

from webhook.http.deadlines import Deadlines


class Site:
    """Deadlines of two phases, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.deadlines: Deadlines[str, str] = Deadlines({"short": 1.0, "long": 10.0}, lambda: self.now)

    def overdue_at(self, now: float) -> list[tuple[str, str]]:
        self.now = now
        return self.deadlines.overdue()


def test_each_is_due_to_the_moment_and_once() -> None:
    """What entered first is due first; what left never is."""
    site = Site()
    for key in ("a", "b"):
        site.deadlines.enter(key, "long")
    site.now = 1.0
    site.deadlines.enter("c", "long")
    site.deadlines.leave("b")
    site.deadlines.leave("unknown")
    assert site.overdue_at(9.99) == []
    assert site.overdue_at(10.0) == [("a", "long")]
    assert site.overdue_at(10.5) == []
    assert site.overdue_at(11.0) == [("c", "long")]
    assert len(site.deadlines) == 0


def test_another_phase_ends_the_one_before() -> None:
    """A connection that got its request is not idle any more."""
    site = Site()
    site.deadlines.enter("a", "short")
    site.deadlines.enter("a", "long")
    assert site.deadlines.oldest("short") is None
    assert site.overdue_at(9.0) == []
    assert site.overdue_at(10.0) == [("a", "long")]


def test_a_phase_that_is_entered_anew_begins_anew() -> None:
    """It has all of its time again, and goes to the back."""
    site = Site()
    site.deadlines.enter("a", "long")
    site.deadlines.enter("b", "long")
    site.now = 5.0
    site.deadlines.enter("a", "long")
    assert site.deadlines.oldest("long") == "b"
    assert site.overdue_at(10.0) == [("b", "long")]
    assert site.overdue_at(15.0) == [("a", "long")]
    assert site.deadlines.oldest("long") is None
