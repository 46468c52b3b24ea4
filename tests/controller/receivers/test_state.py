"""What one receiver comes to, from its spec and its Secret, and what its owner is told."""

import pytest

from controller.kargo.objects import ReceiverSpec
from controller.receivers.state import UNREADABLE, SecretState, State, conflict, judge
from controller.receivers.url import receiver_digest
from tests.support.secrets import LONG, secret

REF = ("p", "s")
SPEC = ReceiverSpec("az", "s")
WHERE = 'Secret "s" in namespace "p"'


def known(value: bytes = LONG, problem: str = "", **factors: bytes | None) -> SecretState:
    return SecretState(True, secret(REF, value, **factors), problem)


@pytest.mark.parametrize(
    ("secret_state", "state", "reason", "message"),
    [
        pytest.param(known(), State.SERVED, "", "", id="all is well"),
        pytest.param(SecretState(False), State.PENDING, "SecretPending", f"{WHERE} was not", id="not read"),
        pytest.param(
            SecretState(False, problem=UNREADABLE), State.PENDING, "", f"{WHERE} can't be read", id="no right"
        ),
        pytest.param(
            SecretState(True), State.FAULTY, "SecretMissing", f"{WHERE} does not exist", id="missing"
        ),
        pytest.param(known(b""), State.FAULTY, "SecretEmpty", f'{WHERE}: key "secret" is', id="empty"),
        pytest.param(known(b"x" * 15), State.SERVED, "", f'{WHERE}: key "secret" is shorter', id="short"),
        pytest.param(known(b"x" * 16), State.SERVED, "", "", id="just long enough"),
        pytest.param(
            known(username=b"me"),
            State.FAULTY,
            "SecretInvalid",
            f'{WHERE}: key "receiver-password"',
            id="half",
        ),
        pytest.param(known(problem=UNREADABLE), State.SERVED, "", f"{WHERE} can't be read", id="right lost"),
    ],
)
def test_states(secret_state: SecretState, state: State, reason: str, message: str) -> None:
    """Each state comes with what to mend, naming the Secret and the key."""
    found, factor = judge(SPEC, "p", "p", secret_state)
    assert found.state is state
    assert found.message.startswith(message)
    assert bool(found.message) == bool(message)
    if reason:
        assert found.reason == reason
    assert (factor is not None) == (state is State.SERVED)
    assert found.digest == (
        receiver_digest("p", "az", secret_state.secret.secret) if factor and secret_state.secret else ""
    )


def test_a_reference_that_is_missing() -> None:
    """Says where to put it."""
    found, _ = judge(ReceiverSpec("az", ""), "p", "p", SecretState(True))
    assert (found.state, found.reason) == (State.FAULTY, "SecretMissing")
    assert "azure.secretRef.name" in found.message


def test_a_reference_that_is_no_name() -> None:
    """Says what it holds, harmless on a terminal, and nothing is asked of the API server."""
    found, _ = judge(ReceiverSpec("az", "", wrong_name="a,b\x1b"), "p", "p", SecretState(True))
    assert (found.state, found.reason) == (State.FAULTY, "SecretNameInvalid")
    assert "azure.secretRef.name 'a,b\\x1b' in spec is no name of a Secret" in found.message


def test_a_cluster_receivers_secret_is_elsewhere() -> None:
    """Its digest has no Project, its message names the system namespace."""
    found, _ = judge(SPEC, "", "kargo-system-resources", known())
    assert found.digest == receiver_digest("", "az", LONG)
    missing, _ = judge(SPEC, "", "kargo-system-resources", SecretState(True))
    assert 'namespace "kargo-system-resources"' in missing.message


def test_factors_are_described() -> None:
    """Status says what a receiver demands, and nothing of what would satisfy it."""
    found, _ = judge(SPEC, "p", "p", known(authorization=b"Bearer t0ken"))
    assert found.factors == "Authorization header"
    assert "t0ken" not in repr(found)


def test_conflict() -> None:
    """All who come to one path are named, so that either owner can act."""
    found = conflict("az", ["q/az", "p/az"])
    assert (found.state, found.reason, found.digest) == (State.FAULTY, "PathConflict", "")
    assert "p/az, q/az" in found.message
    assert conflict("az", [f"p/{number:03}" for number in range(200)]).message.count("p/") == 10
