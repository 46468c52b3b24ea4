# ruff: noqa: RUF009  ``_option`` describes a field and makes no default
"""Typed settings of ``run``, from flags and environment variables (Kargo's names where Kargo has one)."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from controller.cli import setting_values
from controller.cli.command import WRONG_USE, CommandError, redacted
from controller.observability import logs

DEFAULT_CONCURRENCY = 64
"""Patches in flight. More gain nothing, and delay an event beside a fan-out: docs/performance.md."""


class SettingsError(CommandError):
    """A setting that can't be used; the message is one line that says which and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, WRONG_USE)


class _Option(NamedTuple):
    flag: str
    variable: str
    read: Callable[[str], Any]
    default: str | None
    metavar: str
    help: str


def _option(*option: Any) -> Any:
    return field(metadata={"option": _Option(*option)})


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``run`` goes by, each with its flag, variable, reader, default and help. Times are in seconds."""

    kubeconfig: str | None = _option(
        "--kubeconfig",
        "KUBECONFIG",
        setting_values.text,
        None,
        "FILE",
        "cluster to work on (default: the one this Pod runs in, else the usual kubeconfig)",
    )
    bind_address: str = _option(
        "--bind-address",
        "BIND_ADDRESS",
        setting_values.address,
        "0.0.0.0",  # noqa: S104  a server in a Pod
        "ADDRESS",
        "address of both ports",
    )
    port: int = _option(
        "--port", "PORT", setting_values.port, "8080", "PORT", "public port: the webhook, and /healthz"
    )
    admin_port: int = _option(
        "--admin-port",
        "ADMIN_PORT",
        setting_values.port,
        "9090",
        "PORT",
        "the page, /metrics, /livez and /readyz: never expose it outside the cluster",
    )
    queues: tuple[setting_values.QueueSource, ...] = _option(
        "--queue",
        "AZURE_QUEUES",
        setting_values.queues,
        "",
        "URL[;project=NAMESPACE]",
        "Azure Storage Queue to read events from, for one Project or all; may be given several times, the"
        " variable holds them separated by white space",
    )
    peers: tuple[str, int] | None = _option(
        "--peers",
        "PEERS",
        setting_values.host_and_port,
        None,
        "HOST:PORT",
        "admin ports of all replicas, such as a headless Service's, to be shown on one page",
    )
    base_url: str = _option(  # empty only where ``publish_status`` is off
        "--base-url",
        "EXTERNAL_WEBHOOK_SERVER_BASE_URL",
        setting_values.base_url,
        None,
        "URL",
        "public URL under which Azure reaches the public port; required unless --publish-status=false",
    )
    system_namespace: str = _option(
        "--system-resources-namespace",
        "SYSTEM_RESOURCES_NAMESPACE",
        setting_values.namespace,
        "kargo-system-resources",
        "NAMESPACE",
        "where the Secrets of ClusterConfig's receivers are",
    )
    tls_cert: Path | None = _option(
        "--tls-cert",
        "TLS_CERT_PATH",
        setting_values.path,
        None,
        "FILE",
        "certificate chain (PEM); read again when it changes. Needs --tls-key",
    )
    tls_key: Path | None = _option(
        "--tls-key", "TLS_KEY_PATH", setting_values.path, None, "FILE", "private key (PEM)"
    )
    publish_status: bool = _option(
        "--publish-status",
        "PUBLISH_STATUS",
        setting_values.boolean,
        "true",
        "BOOL",
        "write the receivers' URLs into ProjectConfig and ClusterConfig status",
    )
    reply_timeout: float = _option(
        "--reply-timeout",
        "REPLY_TIMEOUT",
        setting_values.positive_duration,
        "4s",
        "DURATION",
        "answer 202 when refreshing takes longer; ACR gives up after 5s",
    )
    refresh_concurrency: int = _option(
        "--refresh-concurrency",
        "REFRESH_CONCURRENCY",
        setting_values.concurrency,
        str(DEFAULT_CONCURRENCY),
        "N",
        "patches in flight",
    )
    data_dir: Path | None = _option(
        "--data-dir",
        "DATA_DIR",
        setting_values.path,
        None,
        "FOLDER",
        "where accepted deliveries survive a crash; without it they live in memory only",
    )
    catch_up: bool = _option(
        "--catch-up",
        "CATCH_UP",
        setting_values.boolean,
        "on",
        "on|off",
        "after an outage, refresh what may have missed a push; keeps Leases in the Pod's namespace",
    )
    catch_up_rate: float = _option(
        "--catch-up-rate",
        "CATCH_UP_RATE",
        setting_values.rate,
        "20",
        "N",
        "Warehouses a second that a catch-up refreshes at most",
    )
    pod_name: str | None = _option(
        "--pod-name",
        "POD_NAME",
        setting_values.pod,
        None,
        "POD",
        "name of this replica's Lease; without it there is no catch-up",
    )
    pod_namespace: str | None = _option(
        "--pod-namespace",
        "POD_NAMESPACE",
        setting_values.namespace,
        None,
        "NAMESPACE",
        "where the Leases are",
    )
    shutdown_timeout: float = _option(
        "--shutdown-timeout",
        "GRACEFUL_SHUTDOWN_TIMEOUT",
        setting_values.duration,
        "30s",
        "DURATION",
        "how long accepted work may take after SIGTERM",
    )
    log_level: str = _option(
        "--log-level",
        "LOG_LEVEL",
        logs.read_level,
        "info",
        "LEVEL",
        "trace, debug, info, warn, error or discard",
    )
    log_format: str = _option(
        "--log-format",
        "LOG_FORMAT",
        logs.read_format,
        None,
        "FORMAT",
        "json or console (default: console on a terminal, else json)",
    )


_QUERY = re.compile(r"(?<=//)[^/\s]*@|[?&#]\S*")
"""What may hold a credential in a URL: user information; a query, also where its ``?`` is missing."""

_OPTIONS: dict[str, _Option] = {field.name: field.metadata["option"] for field in fields(Settings)}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line: logs of a Pod that does not start are read in a hurry."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with 2."""
        line = redacted(" ".join(message.split()))  # argparse repeats what it does not know
        self.exit(2, f"{self.prog}: {line if len(line) <= 200 else line[:199] + '…'}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``run``."""
    for name in _OPTIONS:
        add_flag(parser, name)


def add_flag(parser: argparse.ArgumentParser, name: str, help_text: str = "") -> None:
    """Add the flag of one field of Settings, for ``read_one``; ``help_text`` takes the place of its own."""
    option = _OPTIONS[name]
    default = f"; default {option.default}" if option.default else ""
    parser.add_argument(
        option.flag,
        dest=option.variable,
        metavar=option.metavar,
        action="append" if option.flag == "--queue" else "store",
        help=f"{help_text or option.help} [{option.variable}{default}]".replace("%", "%%"),
    )


def read(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Turn parsed flags and the environment into settings; a flag goes before its variable.

    An empty environment variable counts as not set. Raises SettingsError.
    """
    found = {name: _value(option, arguments, environ) for name, option in _OPTIONS.items()}
    if found["publish_status"] and not found["base_url"]:
        raise SettingsError(
            "--base-url (EXTERNAL_WEBHOOK_SERVER_BASE_URL) is required, except with --publish-status=false"
        )
    if found["port"] == found["admin_port"] != 0:
        raise SettingsError("--port (PORT) and --admin-port (ADMIN_PORT) must differ")
    found["base_url"] = found["base_url"] or ""
    found["log_format"] = found["log_format"] or ("console" if sys.stderr.isatty() else "json")
    if not _uses_tls(found["tls_cert"], found["tls_key"], environ):
        found["tls_cert"] = found["tls_key"] = None
    return Settings(**found)


def read_one(name: str, arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Any:
    """Read one field of Settings as ``read`` does; ``arguments`` need only its flag. Raises SettingsError."""
    return _value(_OPTIONS[name], arguments, environ)


def data_folder(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    """Return the running receiver's data folder, for the commands that need it. Raises SettingsError."""
    folder: Path | None = read_one("data_dir", arguments, environ)
    if folder is None:
        raise SettingsError("say where the receiver's data folder is: --data-dir FOLDER, or DATA_DIR")
    return folder


def _value(option: _Option, arguments: argparse.Namespace, environ: Mapping[str, str]) -> Any:
    given, source = getattr(arguments, option.variable), option.flag
    if given is None:
        given, source = environ.get(option.variable) or option.default, option.variable
    if isinstance(given, list):
        given = " ".join(given)
    return None if given is None else _read(option.read, given, source)


def _read(read: Callable[[str], Any], given: str, source: str) -> Any:
    try:
        return read(given)
    except ValueError as error:
        quoted = ascii(_QUERY.sub("…", given))  # one line, and not too long
        shown = quoted if len(quoted) <= 80 else f"{quoted[:76]}…'"
        raise SettingsError(f"{source}: {shown} {error}") from error


def _uses_tls(cert: Path | None, key: Path | None, environ: Mapping[str, str]) -> bool:
    """TLS is on with ``TLS_ENABLED`` as in Kargo, or when both files are given; ``false`` turns it off."""
    switch = environ.get("TLS_ENABLED") or None
    enabled = bool(cert or key) if switch is None else _read(setting_values.boolean, switch, "TLS_ENABLED")
    if enabled and not (cert and key):
        missing = "--tls-key (TLS_KEY_PATH)" if cert else "--tls-cert (TLS_CERT_PATH)"
        raise SettingsError(f"{missing} is required for TLS")
    return bool(enabled)
