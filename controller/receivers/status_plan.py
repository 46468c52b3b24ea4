"""What the status of a config should say, worked out from its receivers: a pure function.

Only what is ours is planned: entries whose name is an Azure receiver in spec, or whose path is that of one;
and the condition ``AzureReceiversReady``. Everything else is passed through as it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from controller.kargo.objects import CONDITION, Config, field
from controller.receivers.state import PENDING_REASON, ReceiverState, State
from controller.receivers.url import digest_in, receiver_path, receiver_url

MESSAGE_LIMIT = 32_768
"""Characters: metav1.Condition's limit of a message."""


class Plan(NamedTuple):
    """A config's status as it should be."""

    entries: list[dict[str, Any]]
    """The whole of ``status.webhookReceivers``."""
    ours: tuple[tuple[str, str, str], ...]
    """(name, path, url) of our entries: what a dispute with another writer would be about."""
    condition: tuple[str, str, str] | None
    """(status, reason, message) of our condition; None: it should not be there."""
    keep_condition: bool
    """True: nothing can be said yet, leave the condition as it is."""


def plan(config: Config, states: Sequence[ReceiverState], base_url: str) -> Plan:
    """Plan the status of a config whose Azure receivers stand as in ``states``."""
    existing = {_name(entry): entry for entry in reversed(config.entries)}
    planned: dict[str, dict[str, Any]] = {}
    for state in states:
        before = existing.get(state.name)
        if state.state is State.SERVED:
            wanted = {
                "name": state.name,
                "path": receiver_path(base_url, state.digest),
                "url": receiver_url(base_url, state.digest),
            }
            same = before is not None and all(before.get(key) == value for key, value in wanted.items())
            planned[state.name] = before if same and before is not None else wanted
        elif state.state is State.PENDING and before is not None:
            planned[state.name] = before
    azure = {state.name for state in states}
    foreign = [
        entry
        for entry in config.entries
        if _name(entry) not in azure and digest_in(entry.get("path")) is None
    ]
    entries = _in_order(config.order, planned, foreign)
    ours = tuple((e["name"], str(e.get("path")), str(e.get("url"))) for e in planned.values())
    condition, keep = _condition(states)
    return Plan(entries, ours, condition, keep)


def entries_differ(config: Config, planned: Plan) -> bool:
    """Whether our entries in the status are not as planned."""
    return list(config.entries) != planned.entries


def condition_differs(config: Config, planned: Plan) -> bool:
    """Whether our condition in the status is not as planned."""
    if planned.keep_condition:
        return False
    if config.condition is None or planned.condition is None:
        return (config.condition is None) != (planned.condition is None)
    found = tuple(field(config.condition, name) for name in ("status", "reason", "message"))
    return found != planned.condition


def conditions_with(config: Config, planned: Plan, now: str) -> list[Any]:
    """Return the whole list of conditions with ours as planned; ``now`` is an RFC 3339 time.

    ``lastTransitionTime`` moves only when the condition's status does (the Kubernetes API conventions).
    """
    others = [item for item in config.conditions if field(item, "type") != CONDITION]
    if planned.condition is None:
        return others
    status, reason, message = planned.condition
    since = now
    if config.condition is not None and config.condition.get("status") == status:
        since = config.condition.get("lastTransitionTime") or now
    ours = {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }
    return [*others, ours]


def _in_order(
    order: Sequence[str], planned: dict[str, dict[str, Any]], foreign: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Spec's order; what spec does not name keeps its place among its like, at the end."""
    place = {name: number for number, name in reversed(list(enumerate(order)))}
    entries = [*planned.values(), *foreign]
    return sorted(entries, key=lambda entry: place.get(str(entry.get("name")), len(place)))


def _name(entry: dict[str, Any]) -> str | None:
    name = entry.get("name")
    return name if isinstance(name, str) else None


def _condition(states: Sequence[ReceiverState]) -> tuple[tuple[str, str, str] | None, bool]:
    if not states:
        return None, False
    faults = [state for state in states if state.reason and state.reason != PENDING_REASON]
    if faults:
        reasons = {state.reason for state in faults}
        reason = reasons.pop() if len(reasons) == 1 else "ReceiversFaulty"
        message = "; ".join(f'receiver "{state.name}": {state.message}' for state in faults)
        return ("False", reason, _bounded(message)), False
    if any(state.reason == PENDING_REASON for state in states):
        return None, True
    return ("True", "ReceiversServed", _bounded("; ".join(_served(state) for state in states))), False


def _served(state: ReceiverState) -> str:
    demands = f" and demands {state.factors}" if state.factors else ""
    warning = f" (warning: {state.message})" if state.message else ""
    return f'receiver "{state.name}" is served{demands}{warning}'


def _bounded(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
