"""Computes what the status of a config should say from its receivers' states, without any I/O.

Only what is ours is planned: entries whose name is an Azure receiver in spec, or whose path is that of one;
and the condition ``AzureReceiversReady``. Everything else is passed through as it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from controller.kargo.objects import CONDITION, SERVED_RECEIVERS, Config, field
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
    condition: tuple[str, str, str, int] | None
    """(status, reason, message, observedGeneration) of our condition; None: it should not be there."""
    keep_condition: bool
    """True: nothing can be said yet, leave the condition as it is."""

    def differs_from(self, config: Config) -> bool:
        """Return whether the status of ``config`` is not as planned."""
        return entries_differ(config, self) or condition_differs(config, self)


def plan(config: Config, states: Sequence[ReceiverState], base_url: str) -> Plan:
    """Plan the status of a config whose Azure receivers stand as in ``states``."""
    existing = entries_by_name(config)
    planned: dict[str, dict[str, Any]] = {}
    for state in states:
        before = existing.get(state.name)
        if before is not None and (state.state is State.PENDING or is_published(before, state, base_url)):
            planned[state.name] = before
        elif state.state is State.SERVED:
            planned[state.name] = _entry(state, base_url)
    azure = {state.name for state in states}
    foreign = [
        entry
        for entry in config.entries
        if _name(entry) not in azure and digest_in(entry.get("path")) is None
    ]
    entries = _in_order(config.order, planned, foreign)
    ours = tuple((e["name"], str(e.get("path")), str(e.get("url"))) for e in planned.values())
    condition, keep = _condition(states, config.surplus)
    observed = None if condition is None else (*condition, config.generation)
    return Plan(entries, ours, observed, keep)


def entries_by_name(config: Config) -> dict[str | None, dict[str, Any]]:
    """Return the entries of ``status.webhookReceivers``; the first of a name counts."""
    return {_name(entry): entry for entry in reversed(config.entries)}


def is_published(entry: dict[str, Any], state: ReceiverState, base_url: str) -> bool:
    """Return whether a receiver is served, and this entry in status says where."""
    return state.state is State.SERVED and entry | _entry(state, base_url) == entry


def _entry(state: ReceiverState, base_url: str) -> dict[str, str]:
    return {
        "name": state.name,
        "path": receiver_path(base_url, state.digest),
        "url": receiver_url(base_url, state.digest),
    }


def entries_differ(config: Config, planned: Plan) -> bool:
    """Return whether our entries in the status are not as planned."""
    return list(config.entries) != planned.entries


def condition_differs(config: Config, planned: Plan) -> bool:
    """Return whether our condition in the status is not as planned."""
    if planned.keep_condition:
        return False
    if config.condition is None or planned.condition is None:
        return (config.condition is None) != (planned.condition is None)
    found = tuple(config.condition.get(name) for name in ("status", "reason", "message"))
    return (*found, config.condition.get("observedGeneration", 0)) != planned.condition


def conditions_with(config: Config, planned: Plan, now: str) -> list[Any]:
    """Return the whole list of conditions with ours as planned; ``now`` is an RFC 3339 time.

    ``lastTransitionTime`` moves only when the condition's status does (the Kubernetes API conventions).
    """
    others = [item for item in config.conditions if field(item, "type") != CONDITION]
    if planned.condition is None:
        return others
    status, reason, message, generation = planned.condition
    since = now
    if config.condition is not None and config.condition.get("status") == status:
        since = config.condition.get("lastTransitionTime") or now
    ours: dict[str, Any] = {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }
    if generation:
        ours["observedGeneration"] = generation
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


def _condition(states: Sequence[ReceiverState], surplus: int) -> tuple[tuple[str, str, str] | None, bool]:
    if not states:
        return None, False
    faults = [
        (state.reason, f'receiver "{state.name}": {state.message}')
        for state in states
        if state.reason and state.reason != PENDING_REASON
    ]
    if surplus:
        first = (
            f"only the first {SERVED_RECEIVERS} Azure receivers in spec are served, {surplus} more are not"
        )
        faults.insert(0, ("TooManyReceivers", first))
    if faults:
        reasons = {reason for reason, _ in faults}
        reason = reasons.pop() if len(reasons) == 1 else "ReceiversFaulty"
        return ("False", reason, _bounded("; ".join(message for _, message in faults))), False
    if any(state.reason == PENDING_REASON for state in states):
        return None, True
    return ("True", "ReceiversServed", _bounded("; ".join(_served(state) for state in states))), False


def _served(state: ReceiverState) -> str:
    demands = f" and demands {state.factors}" if state.factors else ""
    warning = f" (warning: {state.message})" if state.message else ""
    return f'receiver "{state.name}" is served{demands}{warning}'


def _bounded(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
