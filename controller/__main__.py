"""The command line."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import os
import resource
import sys
from collections.abc import Sequence

import prometheus_client
import structlog
import uvloop

from controller.application.application import serve
from controller.cli import again as again_command
from controller.cli import deliveries as history
from controller.cli import doctor as doctor_command
from controller.cli import explain as explain_command
from controller.cli import send as send_command
from controller.cli import settings
from controller.cli import urls as urls_command
from controller.cli.settings import SettingsError
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

PROGRAM = "kargo-azure-receiver"

log = structlog.get_logger()


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal; return the exit code: 0, 1 for a failure, 2 for a wrong setting."""
    try:
        options = settings.read(arguments)
    except SettingsError as error:
        return _fail(str(error), 2)
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
        return _fail(str(error), 2)
    except ServerError as error:
        return _fail(str(error), 1)
    except PartFailed as error:
        log.critical("part_failed", part=str(error), exc_info=error.__cause__ or error)
        sys.stderr.flush()
        os._exit(1)  # a thread that hangs, in the journal's disk say, would hold the process
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


def _fail(message: str, code: int) -> int:
    print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


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
    listing = commands.add_parser(
        "urls",
        help="list the URLs to register with Azure",
        description="List every Azure receiver's URL, read from the cluster, and what is wrong with it.",
    )
    urls_command.add_arguments(listing)
    explaining = commands.add_parser(
        "explain",
        help="explain what a push would refresh, or why nothing",
        description="Explain what an event would refresh, read from the cluster; exit code 3 if nothing.",
    )
    explain_command.add_arguments(explaining)
    sending = commands.add_parser(
        "send",
        help="send what Azure would send, to test the whole way",
        description="Send an event to a receiver; exit code 0 for a 2xx, 1 for any other answer or none.",
    )
    send_command.add_arguments(sending)
    looking = commands.add_parser(
        "doctor",
        help="look at an installation before Azure calls it",
        description="Look at Kargo, rights, route, receivers, Warehouses; exit code 1 if there are errors.",
    )
    doctor_command.add_arguments(looking)
    past = commands.add_parser(
        "deliveries",
        help="list what came in, from a data folder",
        description="List deliveries and their outcome; works beside a running receiver.",
    )
    history.add_arguments(past)
    repeating = commands.add_parser(
        "again",
        help="dispatch stored deliveries anew, in the running receiver",
        description="Dispatch deliveries anew, in the receiver that runs on the data folder; exit code 0 if"
        " all were dispatched, 1 if not, 3 if no delivery matches.",
    )
    again_command.add_arguments(repeating)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = parser().parse_args(argv)
    if arguments.command == "run":
        return run(arguments)
    if arguments.command == "urls":
        return asyncio.run(urls_command.run(arguments))
    if arguments.command == "send":
        return asyncio.run(send_command.run(arguments))
    if arguments.command == "doctor":
        return asyncio.run(doctor_command.run(arguments))
    if arguments.command == "explain":
        return asyncio.run(explain_command.run(arguments))
    if arguments.command == "again":
        return asyncio.run(again_command.run(arguments))
    return history.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
