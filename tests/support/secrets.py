"""A stand-in for the watched Secrets: tells what a test says is known of each."""

from collections.abc import Callable

from controller.kargo.objects import Secret
from controller.receivers.index import ConfigKey, SecretRef
from controller.receivers.state import UNREADABLE, SecretState

LONG = b"a-secret-of-some-length"


def secret(ref: SecretRef, value: bytes = LONG, **factors: bytes | None) -> Secret:
    """Build a Secret."""
    given = {"username": None, "password": None, "authorization": None, **factors}
    return Secret(ref[0], ref[1], "uid", "1", value, **given)


class FakeSecrets:
    """Holds a state for each Secret; what was never told of was not read yet."""

    def __init__(self) -> None:
        self.states: dict[SecretRef, SecretState] = {}
        self.wanted: dict[ConfigKey, frozenset[SecretRef]] = {}
        self.unsettled: set[SecretRef] = set()

    def want(self, owner: ConfigKey, refs: frozenset[SecretRef]) -> None:
        self.wanted[owner] = refs

    def settling(self, ref: SecretRef) -> bool:
        return ref in self.unsettled

    def state(self, ref: SecretRef) -> SecretState:
        return self.states.get(ref, SecretState(known=False))

    def report_later(self, callback: Callable[[], None]) -> None:
        callback()

    def put(self, ref: SecretRef, value: bytes = LONG, **factors: bytes | None) -> None:
        """Have a Secret read."""
        self.states[ref] = SecretState(known=True, secret=secret(ref, value, **factors))

    def miss(self, ref: SecretRef) -> None:
        """Have a Secret found not to exist."""
        self.states[ref] = SecretState(known=True)

    def refuse(self, ref: SecretRef) -> None:
        """Have a Secret refused; what was read before is remembered."""
        before = self.state(ref)
        self.states[ref] = before._replace(problem=UNREADABLE)
