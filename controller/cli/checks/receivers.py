"""Each Azure receiver: whether it is served, what it demands, whether status is right, what came last."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from controller.cli.checks.findings import Finding, error, ok, skipped, warning
from controller.cli.receivers import Receiver
from controller.kargo.objects import SERVED_RECEIVERS, Config
from controller.receivers.state import UNREADABLE_REASON, State
from controller.receivers.status_plan import (
    condition_differs,
    entries_by_name,
    entries_differ,
    is_published,
    plan,
)
from webhook.journal.history import Summary, summaries
from webhook.journal.reading import HistoryError, ask, when

_PUBLISHING = (
    "is the receiver running, with this base URL (--base-url) and the right to patch status? "
    "Kargo's own server writes the same entries"
)


def judge(configs: Sequence[Config], receivers: Sequence[Receiver], base_url: str) -> list[Finding]:
    """Judge all receivers; without ``base_url``, status is not compared."""
    found = [_judged(each, base_url) for each in receivers]
    for config in configs:
        name = config.namespace or "ClusterConfig"
        if config.surplus:
            text = (
                f"only the first {SERVED_RECEIVERS} Azure receivers are served, {config.surplus} more are not"
            )
            found.append(error(name, text, "use fewer: one is enough for all repositories of a Project"))
        own = [each for each in receivers if each.config is config]
        if base_url and own and all(each.state.state is State.SERVED for each in own):
            planned = plan(config, [each.state for each in own], base_url)
            if condition_differs(config, planned) and not entries_differ(config, planned):
                text = "its condition AzureReceiversReady is not as computed"
                found.append(warning(name, text, _PUBLISHING))
    if not found:
        text = (
            "no ProjectConfig or ClusterConfig has an Azure receiver: there is nothing that Azure could call"
        )
        found.append(warning("receivers", text, "make one: README, Make a URL"))
    return found


def _judged(receiver: Receiver, base_url: str) -> Finding:
    config, state = receiver.config, receiver.state
    if state.state is State.FAULTY:
        return error(receiver.name, f"not served: {state.message}", "correct what it names")
    if state.state is State.PENDING:
        do = "run doctor with the right to get this Secret to have it checked"
        return warning(receiver.name, f"not checked: {state.message}", do)
    factor = f"demands {state.factors}" if state.factors else "no second factor"
    if base_url:
        entry = entries_by_name(config).get(state.name)
        if entry is None:
            return warning(receiver.name, f"served, {factor}; status has no URL", _PUBLISHING)
        if not is_published(entry, state, base_url):
            what = "base URL" if receiver.is_current() else "Secret"
            text = f"served, {factor}; status has the URL of another {what}"
            return warning(receiver.name, text, _PUBLISHING)
    if state.message:
        do = "the Secret needs a longer value; the URL changes with it"
        if state.reason == UNREADABLE_REASON:
            do = "give the receiver the right to read it"
        return warning(receiver.name, f"served, {factor}; {state.message}", do)
    status = ", status is right" if base_url else ""
    return ok(receiver.name, f"served, {factor}{status}")


def last_deliveries(receivers: Sequence[Receiver], folder: str) -> list[Finding]:
    """Say what came last to each receiver, from the journal in ``folder``; without one, where to look."""
    if not folder:
        do = "see the page, or run doctor in the Pods, where DATA_DIR is set"
        return [skipped("last deliveries", "each replica's history is in its Pod", do)]
    now = time.time()
    try:
        came = ask(Path(folder), lambda database: summaries(database, now))
    except HistoryError as fault:
        return [warning("last deliveries", f"not checked: {fault}", "is it the receiver's data folder?")]
    return [judge_last(each.name, came) for each in receivers]


def judge_last(name: str, came: Mapping[str, Summary]) -> Finding:
    """Judge what came last to one receiver."""
    last = came.get(name)
    if last is None or last.last_delivery is None:
        return ok(name, "nothing came to this replica yet", "register its URL with Azure, or `send ping`")
    moment = when(last.last_delivery.timestamp())
    text = f"last delivery {moment}: {last.last_event or 'refused'}, {last.last_outcome}"
    answered = f", answered {last.last_code}" if last.last_code else ""
    return ok(name, text + answered)


def covered(receivers: Sequence[Receiver], configs: Sequence[Config]) -> tuple[bool, set[str]]:
    """Return whether a receiver covers all Projects, and the Projects that have one of their own."""
    owners = {each.config.namespace for each in receivers}
    owners |= {config.namespace for config in configs if config.surplus}
    return "" in owners, owners - {""}
