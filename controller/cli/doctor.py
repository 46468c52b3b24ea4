"""``kargo-azure-receiver doctor``: looks at an installation before Azure calls it, and says what to do.

Reads with the rights of whoever calls it. What can't be read is a finding of its own; no URL of a receiver
and nothing of a Secret is printed.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controller.cli import calling, cluster, setting_values, settings
from controller.cli.calling import trust
from controller.cli.checks import kargo, receivers, rights, route, warehouses
from controller.cli.checks.findings import Finding, Level, counted, skipped, unread, warning
from controller.cli.cluster import every
from controller.cli.command import FAILED, WRONG_USE, CommandError, redacted
from controller.cli.explanation import read_warehouses
from controller.cli.receivers import Receiver, read_configs, read_receivers
from controller.cli.table import table, write, write_json
from controller.kargo.objects import WAREHOUSES, Config
from controller.kargo.warehouse import decode_warehouse
from controller.runtime.api.client import Client

LONGEST = 300
"""Characters that are shown of a finding: a URL in a Warehouse may have thousands."""


class _Options(NamedTuple):
    base_url: str
    """Empty: as the ConfigMap or status has it."""
    system_namespace: str
    """Empty: as the ConfigMap has it."""
    account: rights.Account
    ca_file: str | None
    seconds: float
    data_dir: str

    @property
    def namespace(self) -> str:
        """Where Kargo and the receiver are."""
        return self.account.namespace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``doctor``."""
    parser.add_argument(
        "--in-cluster",
        action="store_true",
        help="as the receiver's ServiceAccount, in its Pod: looks at its own rights only",
    )
    parser.add_argument(
        "--kargo-namespace",
        metavar="NAMESPACE",
        help="where Kargo and the receiver are [POD_NAMESPACE; default kargo]",
    )
    parser.add_argument(
        "--service-account",
        default="kargo-external-webhooks-server",
        metavar="NAME",
        help="the receiver's; default kargo-external-webhooks-server",
    )
    calling.add_arguments(parser)
    settings.add_flag(parser, "data_dir", "a replica's history")
    settings.add_flag(parser, "base_url", "default: as ConfigMap or status has it")
    cluster.add_arguments(parser)


async def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the findings; return 0, or 1 if there are errors. Raises CommandError."""
    options = _options(arguments, environ)
    context = trust(options.ca_file, verify=True)
    async with cluster.connected(arguments, environ) as client:
        found, base_url = await _cluster(client, options)
    if base_url:
        found += await route.check(
            base_url, context=context, seconds=options.seconds, from_pod=options.account.itself
        )
    elif base_url is not None:
        found.append(warning("route", "not checked: no base URL is known", "name it with --base-url"))
    _write(found, arguments.output)
    return FAILED if any(each.level is Level.ERROR for each in found) else 0


def _options(arguments: argparse.Namespace, environ: Mapping[str, str]) -> _Options:
    """Read flags and environment. Raises CommandError."""
    namespace = arguments.kargo_namespace or environ.get("POD_NAMESPACE") or "kargo"
    try:
        namespace = setting_values.namespace(namespace)
    except ValueError as fault:
        raise CommandError(f"--kargo-namespace: {namespace!a} {fault}", WRONG_USE) from None
    given = arguments.SYSTEM_RESOURCES_NAMESPACE or environ.get("SYSTEM_RESOURCES_NAMESPACE")
    return _Options(
        cluster.setting("base_url", arguments, environ),
        cluster.setting("system_namespace", arguments, environ) if given else "",
        rights.Account(namespace, arguments.service_account, arguments.in_cluster),
        arguments.ca_file,
        calling.timeout(arguments),
        cluster.setting("data_dir", arguments, environ),
    )


async def _cluster(client: Client, options: _Options) -> tuple[list[Finding], str | None]:
    """Return what is found in the cluster, and the base URL; None where there is no Kargo to call."""
    found, usable = await kargo.crds(client)
    base_url, system = options.base_url, options.system_namespace
    if options.account.itself:
        text = "Kargo's version, the Pods and the ConfigMap: this account may not read them"
        found.append(skipped("installation", text, "run doctor outside of the Pod as well"))
    else:
        found += await kargo.deployments(client, options.namespace)
        found += await kargo.replicas(client, options.namespace)
        said, setting = await kargo.settings(client, options.namespace)
        found += said
        system = system or setting.system_namespace
        base_url = base_url or setting.base_url
    system = system or "kargo-system-resources"
    if not usable:
        return found, None
    configs, served = await _receivers(client, system, found)
    base_url = base_url or _published_base(served or [])
    secrets = dict.fromkeys(each.config.namespace or system for each in served or ())
    needed = rights.needed(options.namespace, secrets, system)
    found += await rights.check(client, options.account, needed)
    if served is not None:
        found += receivers.judge(configs, served, base_url)
        found += receivers.last_deliveries(served, options.data_dir) if served else []
    with unread(found, "Warehouses", kargo.RUN_AS_ADMINISTRATOR, Level.ERROR):
        raw = await every(client, WAREHOUSES)
        if served is not None:
            found += warehouses.judge(read_warehouses(raw)[0], *receivers.covered(served, configs))
        read = (decode_warehouse(each, lambda *_: None) for each in raw)
        found += warehouses.judge_refreshes(read, time.time(), options.namespace)
    return found, base_url


async def _receivers(
    client: Client, system: str, found: list[Finding]
) -> tuple[list[Config], list[Receiver] | None]:
    """Read configs and receivers; None where they can't be read, which is then a finding."""
    configs: list[Config] = []
    served: list[Receiver] | None = None
    with unread(found, "receivers", kargo.RUN_AS_ADMINISTRATOR, Level.ERROR):
        configs = await read_configs(client)
        served = await read_receivers(client, configs, system)
    return configs, served


def _published_base(served: Sequence[Receiver]) -> str:
    """Return the base URL of the first receiver whose URL in status is current; empty if there is none."""
    url = next((each.published() for each in served if each.is_current()), "")
    return url.rpartition("/azure/")[0]


def _presentable(text: str) -> str:
    """Return a text without a receiver's path, and not too long."""
    text = redacted(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _as_json(each: Finding) -> dict[str, object]:
    texts = {key: _presentable(getattr(each, key)) for key in ("subject", "text", "do")}
    return {"level": each.level.value, **texts, "names": [_presentable(name) for name in each.names]}


def _write(found: Sequence[Finding], output: str) -> None:
    counts = {level: sum(each.level is level for each in found) for level in Level}
    if output == "json":
        report = {
            "errors": counts[Level.ERROR],
            "warnings": counts[Level.WARNING],
            "findings": [_as_json(each) for each in found],
        }
        write_json(report)
        return
    rows = []
    for each in found:
        rows.append((each.level.value, _presentable(each.subject), _presentable(each.line())))
        if each.do:
            rows.append(("", "", f"  do: {_presentable(each.do)}"))
    end = f"\n{counted(counts[Level.ERROR], 'error')}, {counted(counts[Level.WARNING], 'warning')}\n"
    write(table(("LEVEL", "SUBJECT", "FINDING"), rows) + end)
