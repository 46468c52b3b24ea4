"""``kargo-azure-receiver urls``: the receivers' URLs, read from the cluster, for an operator.

It computes what the running receiver computes, from the same objects, with the rights of whoever calls it.
What was delivered last is in the histories of the running replicas, which are asked where they are known.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from controller.cli import cluster
from controller.cli.command import FAILED
from controller.cli.last_deliveries import LastDeliveries, last_deliveries
from controller.cli.last_deliveries import add_arguments as add_peers
from controller.cli.receivers import Receiver, read_configs, read_receivers
from controller.cli.table import table, write, write_json
from controller.kargo.objects import SERVED_RECEIVERS
from controller.receivers.state import State
from controller.runtime.api.client import Client
from webhook.admin.text import ago
from webhook.journal.history import Summary
from webhook.journal.reading import when

HEADER = ("NAMESPACE", "RECEIVER", "URL", "LAST DELIVERY", "PROBLEM")


class Row(NamedTuple):
    """One receiver in the listing."""

    namespace: str
    receiver: str
    url: str
    problem: str
    name: str = ""
    """As in log, history and page; empty for a row about several."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``urls``."""
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="PROJECT",
        type=cluster.project,
        help="one Project's receivers (default: all, ClusterConfig's too)",
    )
    cluster.add_arguments(parser)
    cluster.add_base_url(parser)
    add_peers(parser)


async def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the listing; return 0, or 1 if a receiver has a problem. Raises CommandError."""
    base_url, system = (
        cluster.setting(name, arguments, environ) for name in ("base_url", "system_namespace")
    )
    known = await last_deliveries(arguments, environ)
    async with cluster.connected(arguments, environ) as client:
        rows = await listing(client, arguments.namespace, base_url, system)
    if arguments.output == "json":
        write_json([_as_json(row, known) for row in rows])
    else:
        now = datetime.now(UTC)
        cells = [(row.namespace, row.receiver, row.url, _last(row, known, now), row.problem) for row in rows]
        write(table(HEADER, cells) if rows else "no Azure receivers found\n")
    for note in known.notes:
        print(note, file=sys.stderr)  # noqa: T201
    return FAILED if any(row.problem for row in rows) else 0


def _as_json(row: Row, known: LastDeliveries) -> dict[str, object]:
    last = known.receivers.get(row.name, Summary())
    moment = last.last_delivery
    return {
        "namespace": row.namespace,
        "receiver": row.receiver,
        "url": row.url,
        "problem": row.problem,
        "lastDelivery": None
        if moment is None
        else {"time": when(moment.timestamp()), "code": last.last_code or None, "outcome": last.last_outcome},
        "lastDeliveryKnownBy": [*known.replicas],
    }


def _last(row: Row, known: LastDeliveries, now: datetime) -> str:
    """Return the last delivery and its answer in a few words."""
    if not row.name:
        return ""
    if not known.replicas:
        return "not known"
    last = known.receivers.get(row.name, Summary())
    if last.last_delivery is None:
        return "none kept"
    return f"{ago(last.last_delivery, now)}: {last.last_code or last.last_outcome}"


async def listing(client: Client, namespace: str | None, base_url: str, system_namespace: str) -> list[Row]:
    """Read the configs and Secrets, and judge every Azure receiver.

    Raises ApiError, or what UNDECODABLE names for a list that is none.
    """
    configs = await read_configs(client, namespace)
    receivers = await read_receivers(client, configs, system_namespace)
    rows = []
    for config in configs:
        rows += [_row(each, base_url) for each in receivers if each.config is config]
        if config.surplus:
            problem = f"only the first {SERVED_RECEIVERS} Azure receivers in spec are served"
            rows.append(Row(config.namespace or "cluster", f"({config.surplus} more)", "", problem))
    return rows


def _row(receiver: Receiver, base_url: str) -> Row:
    state, published = receiver.state, receiver.published()
    url, problem = receiver.url(base_url), state.message
    if state.state is State.SERVED:
        if base_url and published and url != published:
            problem = problem or "status has another URL: is this the receiver's base URL?"
        elif not url:
            problem = problem or "status has no current URL: is the receiver running? (or give --base-url)"
    elif state.state is State.PENDING:
        url = published
    return Row(receiver.config.namespace or "cluster", state.name, url, problem, receiver.name)
