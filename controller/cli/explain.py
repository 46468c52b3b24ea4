"""``kargo-azure-receiver explain``: what an event would refresh, from the cluster and with the user's rights.

The event is a repository's URL or a whole payload. A Warehouse's name turns the question round: which events
reach it.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from controller.cli import setting_values
from controller.cli.explanation import (
    Holdings,
    QuestionError,
    explain,
    explain_warehouse,
    lines,
    read_question,
    read_warehouses,
)
from controller.cli.urls import listing
from controller.kargo.objects import PROMOTIONS, WAREHOUSES
from controller.kargo.promotion import decode_promotion
from controller.runtime.api.client import Client
from controller.runtime.api.configuration import load_configuration
from controller.runtime.api.errors import ApiError, ConfigurationError, Forbidden, NotFound
from controller.runtime.api.resource import Resource
from controller.runtime.clock import SystemClock

MATCHED, FAILED, WRONG_USE, NOTHING_MATCHED = 0, 1, 2, 3
PAGE = 500
"""Objects asked for at a time."""
LARGEST_PAYLOAD = 2 * 1024 * 1024
"""Bytes, as the receiver takes them."""
_ANY_BASE_URL = "https://base.invalid"
"""No URL is shown here; with a base URL, a receiver that has not published its URL yet is no problem."""


class _Page(msgspec.Struct):
    items: list[msgspec.Raw] = []
    metadata: dict[str, Any] = {}


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
    parser.add_argument("-n", "--namespace", metavar="PROJECT", help="one Project's receivers (default: all)")
    parser.add_argument(
        "--receiver", metavar="PROJECT/NAME", help="one receiver (ClusterConfig's: cluster/NAME)"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: as for kubectl [KUBECONFIG]")
    parser.add_argument(
        "--system-resources-namespace",
        metavar="NAMESPACE",
        help="where the Secrets of ClusterConfig's receivers are "
        "[SYSTEM_RESOURCES_NAMESPACE; default kargo-system-resources]",
    )


async def run(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Print the explanation.

    Returns 0 if something matches, 1 if the cluster can't be read, 2 for wrong use, 3 if nothing matches.
    """
    try:
        question = _question(arguments)
        system = setting_values.namespace(
            arguments.system_resources_namespace
            or environ.get("SYSTEM_RESOURCES_NAMESPACE")
            or "kargo-system-resources"
        )
        clock = SystemClock()
        client = Client(
            await load_configuration(arguments.kubeconfig or environ.get("KUBECONFIG") or None, clock),
            clock=clock,
            user_agent="kargo-azure-receiver",
        )
    except (QuestionError, ValueError, ConfigurationError) as error:
        return _fail(str(error), WRONG_USE)
    try:
        report = await _report(client, question, arguments.namespace, arguments.receiver, system)
    except QuestionError as error:
        return _fail(str(error), WRONG_USE)
    except NotFound as error:
        return _fail(f"the cluster has no {error.resource}: is Kargo installed in it?", FAILED)
    except Forbidden as error:
        where = f"in namespace {error.namespace}" if error.namespace else "in all namespaces"
        return _fail(f"you lack the right to {error.verb} {error.resource} {where}", FAILED)
    except ApiError as error:
        return _fail(str(error), FAILED)
    finally:
        await client.close()
    text = json.dumps(report, indent=2) if arguments.output == "json" else "\n".join(lines(report))
    print(text)  # noqa: T201
    return MATCHED if report["matches"] else NOTHING_MATCHED


def _question(arguments: argparse.Namespace) -> str | bytes:
    """Return what is asked about: text, or a payload that can be read. Raises QuestionError."""
    about, payload = arguments.about, arguments.payload
    if (about is None) == (payload is None):
        raise QuestionError("give a URL, a Warehouse, or a payload (--payload FILE, or - for standard input)")
    if payload is None and about != "-":
        return str(about)
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
    project = None if project == "cluster" else project
    rows = await listing(client, project, _ANY_BASE_URL, system)
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


async def _all_or_own(client: Client, resource: Resource, project: str | None) -> list[msgspec.Raw]:
    """List a kind in all Projects, for near misses; in the one asked about where the right ends there."""
    try:
        return await _list(client, resource, None)
    except Forbidden:
        if project is None:
            raise
        return await _list(client, resource, project)


async def _list(client: Client, resource: Resource, namespace: str | None) -> list[msgspec.Raw]:
    found: list[msgspec.Raw] = []
    token = None
    while True:
        raw = await client.list_page(resource, namespace=namespace, limit=PAGE, continue_token=token)
        page = msgspec.json.decode(raw, type=_Page)
        found += page.items
        token = page.metadata.get("continue")
        if not token:
            return found


def _fail(message: str, code: int) -> int:
    print(f"kargo-azure-receiver explain: {message}", file=sys.stderr)  # noqa: T201
    return code
