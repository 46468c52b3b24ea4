"""Computes one receiver's state from its spec and Secret: served, pending or faulty, and why."""

from enum import Enum
from typing import NamedTuple

from controller.kargo.objects import ReceiverSpec, Secret
from controller.receivers.second_factor import FactorError, SecondFactor
from controller.receivers.url import receiver_digest

SHORT_SECRET = 16
"""Bytes: a shorter secret makes a URL that can be guessed by trying; it is served, with a warning."""
CLAIMANTS_NAMED = 10
"""Receivers that are named where more come to one path."""

UNREADABLE = "the receiver may not read it (RBAC)"
"""The problem of a Secret that the API server refuses to show: the same words from a watch and a GET."""

UNREADABLE_REASON = "SecretUnreadable"
PENDING_REASON = "SecretPending"
"""Nothing is wrong: the Secret was not read yet."""


SecretRef = tuple[str, str]
"""(namespace, name)"""


class SecretState(NamedTuple):
    """What is known of a Secret."""

    known: bool
    """Whether it was ever read; if so, ``secret`` is current, None if it does not exist."""
    secret: Secret | None = None
    problem: str = ""
    """Why it can't be read just now; empty if it can."""
    settling: bool = False
    """It may have changed since it was read: its watch is not open yet."""


class State(Enum):
    """Whether a receiver answers; the values are those of the metric's label."""

    SERVED = "served"
    PENDING = "pending"
    FAULTY = "faulty"


class ReceiverState(NamedTuple):
    """One receiver's state, as status and metrics show it."""

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
    named = sorted(claimants)[:CLAIMANTS_NAMED]
    others = ", ".join(named) + (", …" if len(claimants) > len(named) else "")
    return ReceiverState(
        name,
        State.FAULTY,
        reason="PathConflict",
        message=f"receivers {others} come to one path: give one of them another secret",
    )


def judge(
    spec: ReceiverSpec, project: str, namespace: str, secret_state: SecretState
) -> tuple[ReceiverState, SecondFactor | None]:
    """Return a receiver's state, and for a served one its second factor.

    ``project`` is empty for ClusterConfig's receivers; ``namespace`` is where the Secret is.
    """

    def faulty(reason: str, message: str) -> tuple[ReceiverState, None]:
        return ReceiverState(spec.name, State.FAULTY, reason=reason, message=message), None

    if spec.wrong_name:
        shown = ascii(spec.wrong_name)
        return faulty("SecretNameInvalid", f"azure.secretRef.name {shown} in spec is no name of a Secret")
    if not spec.secret:
        return faulty("SecretMissing", "azure.secretRef.name is missing in spec")
    where = f'Secret "{spec.secret}" in namespace "{namespace}"'
    known, secret, problem, _ = secret_state
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
