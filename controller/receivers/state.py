"""What one receiver comes to, from its spec and its Secret: served, pending or faulty, and why."""

from enum import Enum
from typing import NamedTuple

from controller.kargo.objects import ReceiverSpec, Secret
from controller.receivers.second_factor import FactorError, SecondFactor
from controller.receivers.url import receiver_digest

SHORT_SECRET = 16
"""Bytes: a shorter secret makes a URL that can be guessed by trying; it is served, with a warning."""


UNREADABLE = "the receiver may not read it (RBAC)"
"""The problem of a Secret that the API server refuses to show: the same words from a watch and a GET."""

UNREADABLE_REASON = "SecretUnreadable"
PENDING_REASON = "SecretPending"
"""Nothing is wrong: the Secret was not read yet."""


class SecretState(NamedTuple):
    """What is known of a Secret."""

    known: bool
    """Whether it was ever read; if so, ``secret`` is current, None if it does not exist."""
    secret: Secret | None = None
    problem: str = ""
    """Why it can't be read just now; empty if it can."""


class State(Enum):
    """Whether a receiver answers; the values are those of the metric's label."""

    SERVED = "served"
    PENDING = "pending"
    FAULTY = "faulty"


class ReceiverState(NamedTuple):
    """One receiver as it stands: what status and metrics say of it."""

    name: str
    """As in spec."""
    state: State
    digest: str = ""
    """Set while served."""
    reason: str = ""
    """CamelCase word for a condition; empty if nothing is wrong."""
    message: str = ""
    """What to mend, naming Secret and key; or a warning about a served receiver."""
    factors: str = ""
    """Which second factors it demands, for people; empty for none."""


def conflict(name: str, claimants: list[str]) -> ReceiverState:
    """Return the state of a receiver whose path others come to as well."""
    others = ", ".join(sorted(claimants))
    return ReceiverState(
        name,
        State.FAULTY,
        reason="PathConflict",
        message=f"receivers {others} come to one path: give one of them another secret",
    )


def judge(
    spec: ReceiverSpec, project: str, namespace: str, secret_state: SecretState
) -> tuple[ReceiverState, SecondFactor | None]:
    """Work out a receiver's state; the second factor comes with a served one only.

    ``project`` is empty for ClusterConfig's receivers; ``namespace`` is where the Secret is.
    """

    def faulty(reason: str, message: str) -> tuple[ReceiverState, None]:
        return ReceiverState(spec.name, State.FAULTY, reason=reason, message=message), None

    if not spec.secret:
        return faulty("SecretMissing", "azure.secretRef.name is missing in spec")
    where = f'Secret "{spec.secret}" in namespace "{namespace}"'
    known, secret, problem = secret_state
    if not known:
        reason = UNREADABLE_REASON if problem else PENDING_REASON
        message = f"{where} can't be read: {problem}" if problem else f"{where} was not read yet"
        return ReceiverState(spec.name, State.PENDING, reason=reason, message=message), None
    if secret is None:
        return faulty("SecretMissing", f"{where} does not exist")
    if not secret.secret:
        return faulty("SecretEmpty", f'{where}: key "secret" is missing or empty')
    try:
        factor = SecondFactor(secret)
    except FactorError as error:
        return faulty("SecretInvalid", f"{where}: {error}")
    digest = receiver_digest(project, spec.name, secret.secret)
    reason = message = ""
    if problem:
        reason, message = UNREADABLE_REASON, f"{where} can't be read: {problem}"
    elif len(secret.secret) < SHORT_SECRET:
        message = f'{where}: key "secret" is shorter than {SHORT_SECRET} bytes: its URL can be guessed'
    state = ReceiverState(spec.name, State.SERVED, digest, reason, message, factor.description)
    return state, factor
