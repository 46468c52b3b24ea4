"""The index from path to receiver: what is served, what is pending, what is faulty, and how it heals."""

import pytest

from controller.kargo.objects import Config
from controller.receivers.state import State
from controller.receivers.url import receiver_digest
from tests.support.receiving import SYSTEM, Receiving, config
from tests.support.secrets import LONG

P, CLUSTER = ("p", "p"), ("", "cluster")
OTHER = b"another-secret-of-some-length"


@pytest.mark.parametrize("secret_first", [True, False], ids=["Secret first", "config first"])
def test_served(secret_first: bool) -> None:
    """In whichever order config and Secret are seen, the receiver answers at its path."""
    site = Receiving()
    if secret_first:
        site.secrets.put(("p", "s"))
    site.put(config("p", ("az", "s")))
    if not secret_first:
        assert site.states(P) == {"az": State.PENDING}
        assert site.served("p", "az") is None
        site.secret(("p", "s"))
    assert site.served("p", "az") == "p/az"
    assert site.states(P) == {"az": State.SERVED}
    assert P in site.told


def test_only_referenced_secrets_are_followed() -> None:
    """A Secret is followed once while any receiver refers to it, and no longer."""
    site = Receiving()
    site.put(config("p", ("a", "s"), ("b", "s"), ("c", "t"), ("d", "")))
    site.put(config("", ("x", "u")))
    assert site.secrets.followed == {("p", "s"), ("p", "t"), (SYSTEM, "u")}
    site.put(config(SYSTEM, ("x", "u")))
    site.put(config("p", ("c", "t")))
    assert site.secrets.followed == {("p", "t"), (SYSTEM, "u")}
    site.index.deleted(config("p"))
    site.index.deleted(config(""))
    assert site.secrets.followed == {(SYSTEM, "u")}
    site.index.deleted(config(SYSTEM))
    assert site.secrets.followed == set()


def test_only_what_changed_is_evaluated_again() -> None:
    """One Secret of 200, or an entry in status: nobody else's state is asked for."""
    site = Receiving()
    receivers = [(f"r-{number}", f"s-{number}") for number in range(200)]
    site.put(config("p", *receivers))
    site.secrets.asked.clear()
    for number in range(200):
        site.secret(("p", f"s-{number}"))
    assert site.secrets.asked.total() == 200
    site.put(config("p", *receivers, published=(receiver_digest("p", "r-0", LONG),)))
    assert site.secrets.asked.total() == 200
    assert set(site.states(P).values()) == {State.SERVED}


def test_rotation() -> None:
    """The new path answers and the old one does not, as soon as the change is seen."""
    site = Receiving()
    site.put(config("p", ("az", "s")))
    site.secret(("p", "s"), LONG)
    site.secret(("p", "s"), OTHER)
    assert site.served("p", "az", LONG) is None
    assert site.served("p", "az", OTHER) == "p/az"


def test_a_secret_that_goes() -> None:
    """A deleted Secret, or one whose key is emptied, ends the service; its return begins it again."""
    site = Receiving()
    site.put(config("p", ("az", "s")))
    site.secret(("p", "s"))
    site.secrets.miss(("p", "s"))
    site.index.secret_changed(("p", "s"))
    assert site.served("p", "az") is None
    assert site.states(P) == {"az": State.FAULTY}
    site.secret(("p", "s"), b"")
    assert site.states(P) == {"az": State.FAULTY}
    assert site.served("p", "az", b"") is None
    site.secret(("p", "s"))
    assert site.served("p", "az") == "p/az"


def test_losing_the_right_to_read_does_not_stop_a_receiver() -> None:
    """What was read is served on, and its owner is told that changes will not be seen."""
    site = Receiving()
    site.put(config("p", ("az", "s")))
    site.secret(("p", "s"))
    site.secrets.refuse(("p", "s"))
    site.index.secret_changed(("p", "s"))
    assert site.served("p", "az") == "p/az"
    (state,) = site.index.states(P)
    assert state.reason


def test_neighbours() -> None:
    """A receiver with a fault takes nobody down, and one Secret may serve several, of several configs."""
    site = Receiving()
    site.put(config("p", ("bad", ""), ("a", "s"), ("b", "s"), ("gone", "t")))
    site.put(config("q", ("a", "s")))
    site.secrets.miss(("p", "t"))
    site.index.secret_changed(("p", "t"))
    site.secret(("p", "s"))
    site.secret(("q", "s"))
    assert site.served("p", "a") == "p/a"
    assert site.served("p", "b") == "p/b"
    assert site.served("q", "a") == "q/a"
    assert list(site.states(P).values()) == [State.FAULTY, State.SERVED, State.SERVED, State.FAULTY]


def test_a_secret_of_several_configs_is_told_to_each() -> None:
    """The system namespace may be a Project's too: both configs refer to one Secret."""
    site = Receiving()
    site.put(config("", ("az", "s")))
    site.put(config(SYSTEM, ("az", "s")))
    site.told.clear()
    site.secret((SYSTEM, "s"))
    assert set(site.told) == {CLUSTER, (SYSTEM, SYSTEM)}
    assert site.served("", "az") == "cluster/az"
    assert site.served(SYSTEM, "az") == f"{SYSTEM}/az"


def test_a_deleted_config() -> None:
    """Its receivers are gone at once, and a later change of its Secret brings nothing back."""
    site = Receiving()
    site.put(config("p", ("az", "s")))
    site.secret(("p", "s"))
    site.index.deleted(config("p", ("az", "s")))
    assert site.served("p", "az") is None
    assert site.index.config(P) is None
    assert site.index.states(P) == []
    site.secret(("p", "s"), OTHER)
    assert site.served("p", "az", OTHER) is None
    site.index.deleted(config("p", ("az", "s")))


@pytest.mark.parametrize(
    "other", [config("p", ("az", "s"), name="other"), config("", ("az", "s"), name="other")]
)
def test_configs_of_other_names_are_none(other: Config) -> None:
    """Kargo's one ProjectConfig is named like its Project, and its one ClusterConfig ``cluster``."""
    site = Receiving()
    site.put(other)
    site.secret(("p", "s"))
    site.secret((SYSTEM, "s"))
    assert site.served("p", "az") is None
    assert site.served("", "az") is None
    site.index.deleted(other)


def test_a_project_called_cluster_is_no_cluster_config() -> None:
    """Its receivers must not be taken for those that reach every Project."""
    site = Receiving()
    site.put(config("cluster", ("az", "s")))
    site.put(config("", ("az", "s")))
    site.secret(("cluster", "s"))
    assert site.served("cluster", "az") not in (None, "cluster/az")
    assert site.served("", "az") is None
    site.secret((SYSTEM, "s"))
    assert site.served("", "az") == "cluster/az"
    site.index.deleted(config("cluster", ("az", "s")))
    assert site.served("", "az") == "cluster/az"


# --- a path that is published, but not known yet: 503, not 404 ---


def test_expected() -> None:
    """While a receiver's Secret was not read, the path in its status is expected, and no other."""
    digest, stranger = receiver_digest("p", "az", LONG), receiver_digest("p", "az", OTHER)
    site = Receiving()
    site.put(config("p", ("az", "s"), published=(digest,)))
    assert site.index.expected(digest) == "p/az"
    assert site.index.expected(stranger) is None
    site.secrets.refuse(("p", "s"))
    site.index.secret_changed(("p", "s"))
    assert site.index.expected(digest)
    site.secret(("p", "s"))
    assert not site.index.expected(digest)
    assert site.served("p", "az") == "p/az"


def test_nothing_is_expected_of_what_is_known() -> None:
    """A receiver that is faulty, served under another path, removed or deleted is not waited for."""
    digest = receiver_digest("p", "az", LONG)
    site = Receiving()
    site.put(config("p", ("az", "s"), published=(digest,)))
    site.secret(("p", "s"), OTHER)
    assert not site.index.expected(digest)
    site.secrets.miss(("p", "s"))
    site.index.secret_changed(("p", "s"))
    assert not site.index.expected(digest)
    del site.secrets.states["p", "s"]
    site.index.secret_changed(("p", "s"))
    assert site.index.expected(digest)
    site.put(config("p", ("az", "s")))
    assert not site.index.expected(digest)
    site.put(config("p", ("az", "s"), published=(digest,)))
    site.index.deleted(config("p"))
    assert not site.index.expected(digest)


def test_a_neighbour_that_is_not_known_makes_nothing_expected() -> None:
    """The path of a receiver that is known to be bad is 404, whatever its neighbour is waiting for."""
    digest = receiver_digest("p", "az", LONG)
    site = Receiving()
    site.put(config("p", ("az", "s"), ("neighbour", "t"), published=(digest,)))
    assert site.index.expected(digest)
    site.secrets.miss(("p", "s"))
    site.index.secret_changed(("p", "s"))
    assert site.states(P) == {"az": State.FAULTY, "neighbour": State.PENDING}
    assert not site.index.expected(digest)


def test_a_path_published_by_two_is_expected_of_either() -> None:
    """One of them being known says nothing about the other."""
    digest = receiver_digest("p", "az", LONG)
    site = Receiving()
    site.put(config("p", ("az", "s"), published=(digest,)))
    site.put(config("q", ("az", "s"), published=(digest,)))
    site.secret(("q", "s"), OTHER)
    assert site.index.expected(digest)
    site.index.deleted(config("p"))
    assert not site.index.expected(digest)


def test_second_factor() -> None:
    """It comes from the Secret, and changes with it at once."""
    site = Receiving()
    site.put(config("p", ("az", "s")))
    site.secret(("p", "s"), authorization=b"Bearer one")
    found = site.index.find(receiver_digest("p", "az", LONG))
    assert found is not None
    assert found.authorized(["Bearer one"])
    assert not found.authorized([])
    site.secret(("p", "s"), authorization=b"Bearer two")
    found = site.index.find(receiver_digest("p", "az", LONG))
    assert found is not None
    assert not found.authorized(["Bearer one"])
    assert found.authorized(["Bearer two"])
    site.secret(("p", "s"), username=b"me")
    assert site.served("p", "az") is None
