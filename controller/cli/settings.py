"""Typed settings of ``run``, from flags and environment variables (Kargo's names where Kargo has one)."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from controller.cli import setting_values as values

DEFAULT_CONCURRENCY = 64
"""Patches in flight. More gain nothing, and delay an event beside a fan-out: docs/performance.md."""
ACR_PATIENCE = 5.0
"""Seconds that ACR waits for an answer."""


class SettingsError(ValueError):
    """A setting that can't be used; the message is one line that says which and why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``run`` goes by. Times are in seconds."""

    kubeconfig: str | None
    bind_address: str
    port: int
    admin_port: int
    base_url: str
    """Empty only where ``publish_status`` is off."""
    system_namespace: str
    tls_cert: Path | None
    tls_key: Path | None
    publish_status: bool
    reply_timeout: float
    refresh_concurrency: int
    data_dir: Path | None
    shutdown_timeout: float
    log_level: str
    log_format: str


class _Option(NamedTuple):
    flag: str
    env: str
    read: Callable[[str], Any]
    default: str | None
    metavar: str
    help: str


_OPTIONS = (
    _Option(
        "--kubeconfig",
        "KUBECONFIG",
        values.text,
        None,
        "FILE",
        "cluster to work on (default: the one this Pod runs in, else the usual kubeconfig)",
    ),
    _Option("--bind-address", "BIND_ADDRESS", values.text, "0.0.0.0", "ADDRESS", "address of both ports"),  # noqa: S104 - a server in a Pod
    _Option("--port", "PORT", values.port, "8080", "PORT", "public port: the webhook, and /healthz"),
    _Option(
        "--admin-port",
        "ADMIN_PORT",
        values.port,
        "9090",
        "PORT",
        "/metrics, /livez and /readyz: never expose it outside the cluster",
    ),
    _Option(
        "--base-url",
        "EXTERNAL_WEBHOOK_SERVER_BASE_URL",
        values.base_url,
        None,
        "URL",
        "public URL under which Azure reaches the public port; required unless --publish-status=false",
    ),
    _Option(
        "--system-resources-namespace",
        "SYSTEM_RESOURCES_NAMESPACE",
        values.namespace,
        "kargo-system-resources",
        "NAMESPACE",
        "where the Secrets of ClusterConfig's receivers are",
    ),
    _Option(
        "--tls-cert",
        "TLS_CERT_PATH",
        values.text,
        None,
        "FILE",
        "certificate chain (PEM); read again when it changes. Needs --tls-key",
    ),
    _Option("--tls-key", "TLS_KEY_PATH", values.text, None, "FILE", "private key (PEM)"),
    _Option(
        "--publish-status",
        "PUBLISH_STATUS",
        values.boolean,
        "true",
        "BOOL",
        "write the receivers' URLs into ProjectConfig and ClusterConfig status",
    ),
    _Option(
        "--reply-timeout",
        "REPLY_TIMEOUT",
        values.positive_duration,
        "4s",
        "DURATION",
        "answer 202 when refreshing takes longer; ACR gives up after 5s",
    ),
    _Option(
        "--refresh-concurrency",
        "REFRESH_CONCURRENCY",
        values.concurrency,
        str(DEFAULT_CONCURRENCY),
        "N",
        "patches in flight",
    ),
    _Option(
        "--data-dir",
        "DATA_DIR",
        values.text,
        None,
        "FOLDER",
        "where accepted deliveries survive a crash; without it they live in memory only",
    ),
    _Option(
        "--shutdown-timeout",
        "GRACEFUL_SHUTDOWN_TIMEOUT",
        values.duration,
        "30s",
        "DURATION",
        "how long accepted work may take after SIGTERM",
    ),
    _Option(
        "--log-level",
        "LOG_LEVEL",
        values.level,
        "info",
        "LEVEL",
        "trace, debug, info, warn, error or discard",
    ),
    _Option(
        "--log-format",
        "LOG_FORMAT",
        values.log_format,
        None,
        "FORMAT",
        "json or console (default: console on a terminal, else json)",
    ),
)


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line: logs of a Pod that does not start are read in a hurry."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and exit with 2."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: {line if len(line) <= 200 else line[:199] + '…'}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``run``."""
    for option in _OPTIONS:
        default = f"; default {option.default}" if option.default is not None else ""
        parser.add_argument(
            option.flag,
            dest=option.env,
            metavar=option.metavar,
            help=f"{option.help} [{option.env}{default}]".replace("%", "%%"),
        )


def read(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Turn parsed flags and the environment into settings; a flag goes before its variable.

    An empty environment variable counts as not set. Raises SettingsError.
    """
    found: dict[str, Any] = {}
    for option in _OPTIONS:
        given, source = getattr(arguments, option.env), option.flag
        if given is None:
            given, source = environ.get(option.env) or None, option.env
        if given is None:
            given, source = option.default, option.flag
        if given is None:
            found[option.flag] = None
            continue
        try:
            found[option.flag] = option.read(given)
        except ValueError as error:
            raise SettingsError(f"{source}: {_shown(given)} {error}") from error
    if found["--publish-status"] and not found["--base-url"]:
        raise SettingsError(
            "--base-url (EXTERNAL_WEBHOOK_SERVER_BASE_URL) is required, except with --publish-status=false"
        )
    cert, key = _tls(found["--tls-cert"], found["--tls-key"], environ)
    return Settings(
        kubeconfig=found["--kubeconfig"],
        bind_address=found["--bind-address"],
        port=found["--port"],
        admin_port=found["--admin-port"],
        base_url=found["--base-url"] or "",
        system_namespace=found["--system-resources-namespace"],
        tls_cert=cert,
        tls_key=key,
        publish_status=found["--publish-status"],
        reply_timeout=found["--reply-timeout"],
        refresh_concurrency=found["--refresh-concurrency"],
        data_dir=Path(found["--data-dir"]) if found["--data-dir"] else None,
        shutdown_timeout=found["--shutdown-timeout"],
        log_level=found["--log-level"],
        log_format=found["--log-format"] or ("console" if sys.stderr.isatty() else "json"),
    )


def parse(flags: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from a list of flags. Raises SettingsError; exits with 2 on an unknown flag."""
    parser = OneLineParser(prog="run")
    add_arguments(parser)
    return read(parser.parse_args(flags), environ)


def _tls(cert: str | None, key: str | None, environ: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """TLS is on with ``TLS_ENABLED`` as in Kargo, or when both files are given; ``false`` turns it off."""
    switch = environ.get("TLS_ENABLED") or None
    try:
        enabled = values.boolean(switch) if switch is not None else bool(cert or key)
    except ValueError as error:
        raise SettingsError(f"TLS_ENABLED: {_shown(str(switch))} {error}") from error
    if not enabled:
        return None, None
    if not cert or not key:
        missing = "--tls-key (TLS_KEY_PATH)" if cert else "--tls-cert (TLS_CERT_PATH)"
        raise SettingsError(f"{missing} is required for TLS")
    return Path(cert), Path(key)


def _shown(given: str) -> str:
    """Quote a value for a message: one line, and not too long."""
    quoted = ascii(given)
    return quoted if len(quoted) <= 80 else f"{quoted[:76]}…'"
