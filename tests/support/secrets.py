"""A stand-in for the watched Secrets: returns what a test says is known of each."""

from collections import Counter

from controller.kargo.objects import Secret
from controller.receivers.secret_watches import SecretWatches
from controller.receivers.state import UNREADABLE, SecretRef, SecretState

LONG = b"a-secret-of-some-length"


def secret(ref: SecretRef, value: bytes = LONG, **factors: bytes | None) -> Secret:
    """Build a Secret."""
    given = {"username": None, "password": None, "authorization": None, **factors}
    return Secret(ref[0], ref[1], "uid", "1", value, **given)


class FakeSecrets(SecretWatches):
    """Holds a state for each Secret; one without was not read yet."""

    def __init__(self) -> None:
        self.states: dict[SecretRef, SecretState] = {}
        self.followed: set[SecretRef] = set()
        self.asked: Counter[SecretRef] = Counter()
        """How often the state of each was asked for."""

    def follow(self, ref: SecretRef) -> None:
        assert ref not in self.followed
        self.followed.add(ref)

    def forget(self, ref: SecretRef) -> None:
        self.followed.remove(ref)

    def state(self, ref: SecretRef) -> SecretState:
        assert ref in self.followed
        self.asked[ref] += 1
        return self.known(ref)

    def known(self, ref: SecretRef) -> SecretState:
        """Return what a test said of a Secret."""
        return self.states.get(ref, SecretState(known=False))

    def put(self, ref: SecretRef, value: bytes = LONG, **factors: bytes | None) -> None:
        """Have a Secret read."""
        self.states[ref] = SecretState(known=True, secret=secret(ref, value, **factors))

    def miss(self, ref: SecretRef) -> None:
        """Have a Secret found not to exist."""
        self.states[ref] = SecretState(known=True)

    def refuse(self, ref: SecretRef) -> None:
        """Have a Secret refused; what was read before is remembered."""
        before = self.known(ref)
        self.states[ref] = before._replace(problem=UNREADABLE)
