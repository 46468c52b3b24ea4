"""``kargo-azure-receiver explain``: what an event would refresh, from the cluster and with the user's rights.

The event is a repository's URL or a whole payload. A Warehouse's name turns the question round: which events
reach it.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from controller.cli import cluster
from controller.cli.command import NOTHING_MATCHED, redacted
from controller.cli.explanation import (
    Covering,
    Holdings,
    QuestionError,
    covering,
    explain,
    explain_warehouse,
    lines,
    read_question,
    read_warehouses,
)
from controller.cli.receivers import CLUSTER, read_configs, read_receivers
from controller.cli.table import write, write_json
from controller.kargo.objects import PROMOTIONS, SERVED_RECEIVERS, WAREHOUSES
from controller.kargo.promotion import decode_promotion
from controller.runtime.api.client import Client
from controller.runtime.api.errors import Forbidden
from controller.runtime.api.resource import Resource

LARGEST_PAYLOAD = 2 * 1024 * 1024
"""Bytes, as the receiver takes them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``explain``."""
    parser.add_argument(
        "about",
        nargs="?",
        metavar="URL | WAREHOUSE | -",
        help="a repository's or pull request's URL; a Warehouse (PROJECT/NAME, or NAME with -n); "
        "or - for a payload on standard input",
    )
    parser.add_argument("--payload", metavar="FILE", help="a payload as Azure sent it")
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="PROJECT",
        type=cluster.project,
        help="receivers of one Project and of ClusterConfig (default: all)",
    )
    parser.add_argument(
        "--receiver",
        metavar="PROJECT/NAME",
        type=cluster.receiver,
        help="one receiver (ClusterConfig's: cluster/NAME)",
    )
    cluster.add_arguments(parser)


async def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the explanation; return 0, or 3 if nothing matches. Raises CommandError."""
    question = _question(arguments)
    system = cluster.setting("system_namespace", arguments, environ)
    async with cluster.connected(arguments, environ) as client:
        report = await _report(client, question, arguments.namespace, arguments.receiver, system)
    if arguments.output == "json":
        write_json(report)
    else:
        write("\n".join(lines(report)) + "\n")
    return 0 if report["matches"] else NOTHING_MATCHED


def _question(arguments: argparse.Namespace) -> str | bytes:
    """Return what is asked about: text, or a payload that can be read. Raises QuestionError."""
    about, payload = arguments.about, arguments.payload
    if (about is None) == (payload is None):
        raise QuestionError("give a URL, a Warehouse, or a payload (--payload FILE, or - for standard input)")
    if payload is None and about != "-":
        if redacted(about) != about:
            raise QuestionError("this is a receiver's URL, a credential: ask about a repository's")
        return str(about)
    if payload in (None, "-") and sys.stdin is None:
        raise QuestionError("standard input is closed")
    try:
        with Path(payload).open("rb") if payload not in (None, "-") else sys.stdin.buffer as file:
            body = file.read(LARGEST_PAYLOAD + 1)
    except OSError as error:
        raise QuestionError(f"{payload}: {error.strerror}") from None
    if len(body) > LARGEST_PAYLOAD:
        raise QuestionError(f"the payload is larger than {LARGEST_PAYLOAD} bytes")
    read_question(body)
    return body


async def _report(
    client: Client, question: str | bytes, namespace: str | None, receiver: str | None, system: str
) -> dict[str, Any]:
    """Read what the question needs, and explain it. Raises QuestionError and ApiError."""
    project = receiver.partition("/")[0] if receiver else namespace
    project = None if project == CLUSTER else project
    rows = await _receivers(client, project, system)
    if receiver:
        rows = [row for row in rows if f"{row.namespace}/{row.receiver}" == receiver]
        if not rows:
            raise QuestionError(f"there is no Azure receiver {receiver}")
    held = Holdings(rows, *read_warehouses(await _all_or_own(client, WAREHOUSES, project)))
    if isinstance(question, str):
        warehouse = explain_warehouse(question, namespace, held)
        if warehouse is not None:
            return warehouse
    if any(subject.kind == "pull_request" for subject in read_question(question)[1]):
        waiting = [
            decode_promotion(raw, lambda *_: None) for raw in await _all_or_own(client, PROMOTIONS, project)
        ]
        held = held._replace(promotions=[promotion for promotion in waiting if promotion is not None])
    return explain(question, held)


async def _receivers(client: Client, project: str | None, system: str) -> list[Covering]:
    """Return the receivers of all Projects or of one, and of ClusterConfig."""
    configs = await read_configs(client, project)
    if project is not None:
        try:
            configs += await read_configs(client, CLUSTER)
        except Forbidden as error:  # usual for a Project's own users
            print(f"ClusterConfig's receivers are left out: {cluster.explained(error)}", file=sys.stderr)  # noqa: T201
    rows = [covering(each) for each in await read_receivers(client, configs, system)]
    for config in configs:
        if config.surplus:
            problem = f"only the first {SERVED_RECEIVERS} Azure receivers in spec are served"
            rows.append(Covering(config.namespace or CLUSTER, f"({config.surplus} more)", False, problem))
    return rows


async def _all_or_own(client: Client, resource: Resource, project: str | None) -> list[msgspec.Raw]:
    """List a kind in all Projects, for near misses; in the one asked about where the right ends there."""
    try:
        return await cluster.every(client, resource)
    except Forbidden:
        if project is None:
            raise
        return await cluster.every(client, resource, project)
