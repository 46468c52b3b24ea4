"""The command line."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import os
import resource
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import prometheus_client
import structlog
import uvloop

from controller.application.application import serve
from controller.cli import again, deliveries, doctor, explain, send, settings, urls
from controller.cli.command import FAILED, PROGRAM, WRONG_USE, CommandError, exit_code, fail
from controller.observability import logs
from controller.process import memory
from controller.process.event_loop import Loop
from controller.process.manager import PartFailed
from controller.runtime.api.errors import ConfigurationError
from webhook.http.listener import ServerError
from webhook.http.tls import CertificateError
from webhook.journal.journal import JournalError
from webhook.limits import ACR_SECONDS
from webhook.queues.ports import QueueSettingError


class _Command(NamedTuple):
    module: ModuleType
    """It has ``add_arguments`` and ``run``."""
    help: str
    description: str


COMMANDS = {
    "urls": _Command(
        urls,
        "list the URLs to register with Azure",
        "List every Azure receiver's URL, read from the cluster, and what is wrong with it;"
        " exit code 1 if anything is.",
    ),
    "explain": _Command(
        explain,
        "explain what a push would refresh, or why nothing",
        "Explain what an event would refresh, read from the cluster; exit code 3 if nothing.",
    ),
    "send": _Command(
        send,
        "send what Azure would send, to test the whole way",
        "Send an event to a receiver; exit code 0 for a 2xx, 1 for any other answer or none.",
    ),
    "doctor": _Command(
        doctor,
        "look at an installation before Azure calls it",
        "Look at Kargo, rights, route, receivers, Warehouses; exit code 1 if there are errors.",
    ),
    "deliveries": _Command(
        deliveries,
        "list what came in, from a data folder",
        "List deliveries and their outcome; works beside a running receiver. Exit code 3 if none matches.",
    ),
    "again": _Command(
        again,
        "dispatch stored deliveries anew, in the running receiver",
        "Dispatch deliveries anew, in the receiver that runs on the data folder; exit code 0 if"
        " all were dispatched, 1 if not, 3 if no delivery matches.",
    ),
}

log = structlog.get_logger()


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal; return the exit code: 0, or 1 if a part has failed. Raises CommandError."""
    options = settings.read(arguments)
    logs.configure(options.log_level, options.log_format)
    if options.reply_timeout >= ACR_SECONDS:
        log.warning("reply_timeout_too_long", seconds=options.reply_timeout, registry_waits=ACR_SECONDS)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    _raise_file_limit()
    _use_batch_scheduling()
    memory.begin()
    try:
        uvloop.run(serve(options, version()), loop_factory=Loop)
    except (ConfigurationError, JournalError, CertificateError, QueueSettingError) as error:
        raise CommandError(str(error), WRONG_USE) from error
    except ServerError as error:
        raise CommandError(str(error)) from error
    except PartFailed as error:
        log.critical("part_failed", part=str(error), exc_info=error.__cause__ or error)
        sys.stderr.flush()
        os._exit(FAILED)  # a thread that hangs, in the journal's disk say, would hold the process
    return 0


def _raise_file_limit() -> None:
    """Raise the limit of open files as far as allowed: each watch and each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _use_batch_scheduling() -> None:
    """Ask Linux to schedule this process as a batch job, which does not preempt others when it wakes up.

    On a busy machine several events are then handled in a row, some milliseconds later: with 64 senders on
    two cores that is a sixth less processor time for each. On a machine with a free core nothing changes.
    """
    with contextlib.suppress(AttributeError, OSError):  # another system or a sandbox may not know it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def version() -> str:
    """Return the installed version."""
    try:
        return importlib.metadata.version(PROGRAM)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = settings.OneLineParser(
        prog=PROGRAM,
        description="Refreshes Kargo Warehouses when Azure reports a pushed image, chart or commit.",
        epilog="Every flag of 'run' can be given by the environment variable in brackets.",
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {version()}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serving = commands.add_parser(
        "run", help="serve the webhook and refresh Warehouses", description="Serve until SIGTERM."
    )
    settings.add_arguments(serving)
    for name, (module, summary, description) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=summary, description=description))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = parser().parse_args(argv)
    if arguments.command == "run":
        try:
            return run(arguments)
        except CommandError as error:
            return fail("run", error)
    work = COMMANDS[arguments.command].module.run(arguments, os.environ)
    return asyncio.run(exit_code(arguments.command, work))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
