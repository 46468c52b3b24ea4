"""Receivers that come to one path: neither is served until one gives way."""

import pytest

from controller.receivers.state import State
from tests.support.receiving import Receiving, config

P = ("p", "p")
OTHER = b"another-secret-of-some-length"


def test_one_path_for_two_serves_neither() -> None:
    """Plain concatenation lets two receivers come to one path; both are faulty, and both heal."""
    site = Receiving()
    site.put(config("ab", ("c", "s")))
    site.put(config("a", ("bc", "s")))
    site.secret(("ab", "s"))
    assert site.served("ab", "c") == "ab/c"
    site.told.clear()
    site.secret(("a", "s"))
    assert site.served("ab", "c") is None
    for key, name in ((("ab", "ab"), "c"), (("a", "a"), "bc")):
        assert key in site.told
        (state,) = site.index.states(key)
        assert (state.name, state.state, state.reason) == (name, State.FAULTY, "PathConflict")
        assert "a/bc" in state.message
        assert "ab/c" in state.message
    site.told.clear()
    site.secret(("a", "s"), OTHER)
    assert site.served("ab", "c") == "ab/c"
    assert site.served("a", "bc", OTHER) == "a/bc"
    assert ("ab", "ab") in site.told


@pytest.mark.parametrize("how", ["config deleted", "receiver removed", "secret deleted"])
def test_a_conflict_ends_when_one_goes(how: str) -> None:
    """Whichever way one of the two goes, the other is served."""
    site = Receiving()
    site.put(config("ab", ("c", "s")))
    site.put(config("a", ("bc", "s")))
    site.secret(("ab", "s"))
    site.secret(("a", "s"))
    assert site.served("ab", "c") is None
    site.told.clear()
    if how == "config deleted":
        site.index.deleted(config("a", ("bc", "s")))
    elif how == "receiver removed":
        site.put(config("a"))
    else:
        site.secrets.miss(("a", "s"))
        site.index.secret_changed(("a", "s"))
    assert site.served("ab", "c") == "ab/c"
    assert site.states(("ab", "ab")) == {"c": State.SERVED}
    assert ("ab", "ab") in site.told


def test_one_path_twice_in_one_config() -> None:
    """Two receivers of one name are one path too: nobody could say which was called."""
    site = Receiving()
    site.put(config("p", ("az", "s"), ("az", "s")))
    site.secret(("p", "s"))
    assert site.served("p", "az") is None
    assert [state.reason for state in site.index.states(P)] == ["PathConflict"] * 2
    site.put(config("p", ("az", "s")))
    assert site.served("p", "az") == "p/az"
