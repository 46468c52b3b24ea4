"""``kargo-azure-receiver urls``: the receivers' URLs, read from the cluster, for an operator.

It computes what the running receiver computes, from the same objects, with the rights of whoever calls it.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controller.cli import settings
from controller.cli.table import table, write
from controller.kargo.objects import (
    CLUSTER_CONFIG_NAME,
    CLUSTER_CONFIGS,
    PROJECT_CONFIGS,
    SERVED_RECEIVERS,
    Config,
    decode_config,
)
from controller.receivers.live_secret import LiveSecrets
from controller.receivers.state import ReceiverState, SecretState, State, conflict, judge
from controller.receivers.url import digest_in, receiver_name, receiver_url
from controller.runtime.api.client import Client
from controller.runtime.api.configuration import load_configuration
from controller.runtime.api.errors import (
    UNDECODABLE,
    ApiError,
    ConfigurationError,
    Forbidden,
    NotFound,
)
from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import parse_page
from controller.runtime.clock import SystemClock

FOUND_PROBLEMS, FAILED = 1, 2
PAGE = 500
"""Configs asked for at a time."""


class Row(NamedTuple):
    """One receiver in the listing."""

    namespace: str
    receiver: str
    url: str
    problem: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``urls``."""
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="PROJECT",
        help="one Project's receivers (default: all, ClusterConfig's too)",
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")
    parser.add_argument(
        "--kubeconfig", dest="KUBECONFIG", metavar="FILE", help="default: as for kubectl [KUBECONFIG]"
    )
    parser.add_argument(
        "--base-url",
        dest="EXTERNAL_WEBHOOK_SERVER_BASE_URL",
        metavar="URL",
        help="public base URL; default: the one found in status [EXTERNAL_WEBHOOK_SERVER_BASE_URL]",
    )
    parser.add_argument(
        "--system-resources-namespace",
        dest="SYSTEM_RESOURCES_NAMESPACE",
        metavar="NAMESPACE",
        help="where the Secrets of ClusterConfig's receivers are "
        "[SYSTEM_RESOURCES_NAMESPACE; default kargo-system-resources]",
    )


async def run(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Print the listing; return 0, 1 if a receiver has a problem, or 2 if it could not be made."""
    try:
        base_url, system, kubeconfig = (
            settings.read_one(name, arguments, environ)
            for name in ("base_url", "system_namespace", "kubeconfig")
        )
        clock = SystemClock()
        client = Client(
            await load_configuration(kubeconfig, clock), clock=clock, user_agent="kargo-azure-receiver"
        )
    except (settings.SettingsError, ConfigurationError) as error:
        return _fail(str(error))
    try:
        rows = await listing(client, arguments.namespace, base_url or "", system)
    except Forbidden as error:
        where = f"in namespace {error.namespace}" if error.namespace else "in all namespaces"
        return _fail(f"you lack the right to {error.verb} {error.resource} {where}")
    except ApiError as error:
        return _fail(str(error))
    except UNDECODABLE as error:
        return _fail(f"the answer is not one of the Kubernetes API (a proxy's page?): {error}")
    finally:
        await client.close()
    if arguments.output == "json":
        write(json.dumps([row._asdict() for row in rows], indent=2) + "\n")
    else:
        write(
            table(("NAMESPACE", "RECEIVER", "URL", "PROBLEM"), rows) if rows else "no Azure receivers found\n"
        )
    return FOUND_PROBLEMS if any(row.problem for row in rows) else 0


async def listing(client: Client, namespace: str | None, base_url: str, system_namespace: str) -> list[Row]:
    """Read the configs and Secrets, and judge every Azure receiver.

    Raises ApiError, or what UNDECODABLE names for a list that is none.
    """
    configs = await _configs(client, PROJECT_CONFIGS, namespace)
    configs = [config for config in configs if config.name == config.namespace]
    if namespace is None:
        try:
            found = await _configs(client, CLUSTER_CONFIGS, None)
            configs += [config for config in found if config.name == CLUSTER_CONFIG_NAME]
        except NotFound:
            pass  # a cluster without that CRD has no such receivers
    judged = [(config, await _states(client, config, system_namespace)) for config in configs]
    users: dict[str, list[str]] = {}
    for config, states in judged:
        for state in states:
            if state.digest:
                users.setdefault(state.digest, []).append(receiver_name(config.namespace, state.name))
    rows = []
    for config, states in judged:
        rows += [_row(config, state, users, base_url) for state in states]
        if config.surplus:
            problem = f"only the first {SERVED_RECEIVERS} Azure receivers in spec are served"
            rows.append(Row(config.namespace or "cluster", f"({config.surplus} more)", "", problem))
    return rows


async def _configs(client: Client, resource: Resource, namespace: str | None) -> list[Config]:
    configs: list[Config] = []
    token = None
    while True:
        page = parse_page(
            await client.list_page(resource, namespace=namespace, limit=PAGE, continue_token=token)
        )
        configs += [decode_config(item, lambda _namespace, _name: None) for item in page.items or ()]
        token = page.token
        if not token:
            return configs


async def _states(client: Client, config: Config, system_namespace: str) -> list[ReceiverState]:
    namespace = config.namespace or system_namespace
    secrets = LiveSecrets(client, namespace, refused="you lack the right to get secrets there")
    states = []
    for spec in config.receivers:
        try:
            secret = await secrets.state(spec.secret)
        except (ApiError, *UNDECODABLE) as error:
            secret = SecretState(known=False, problem=str(error))
        states.append(judge(spec, config.namespace, namespace, secret)[0])
    return states


def _row(config: Config, state: ReceiverState, users: Mapping[str, Sequence[str]], base_url: str) -> Row:
    namespace = config.namespace or "cluster"
    if state.digest and len(users[state.digest]) > 1:
        state = conflict(state.name, list(users[state.digest]))
    published = next(
        (entry for entry in config.entries if entry.get("name") == state.name and entry.get("url")), {}
    )
    url, problem = str(published.get("url", "")), state.message
    if state.state is State.SERVED:
        stale = bool(url) and digest_in(published.get("path")) != state.digest
        if base_url:
            computed = receiver_url(base_url, state.digest)
            if url and url != computed:
                problem = problem or "status has another URL: is this the receiver's base URL?"
            url = computed
        elif not url or stale:
            url = ""
            problem = problem or "status has no current URL: is the receiver running? (or give --base-url)"
    elif state.state is State.FAULTY:
        url = ""
    return Row(namespace, state.name, url, problem)


def _fail(message: str) -> int:
    print(f"kargo-azure-receiver urls: {message}", file=sys.stderr)  # noqa: T201
    return FAILED
