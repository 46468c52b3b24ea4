"""``kargo-azure-receiver again``: has the running receiver dispatch deliveries of its history anew.

Through a Unix socket in the data folder, which only the folder's user can open: in a Pod, whoever may
``kubectl exec``.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from controller.cli import settings
from controller.cli.command import FAILED, NOTHING_MATCHED, WRONG_USE, CommandError
from controller.cli.deliveries import age
from controller.cli.table import add_output, table, write, write_json
from webhook.again.messages import (
    ID_CHARACTERS,
    LINE_BYTES,
    MOST,
    SOCKET_NAME,
    VERSION,
    End,
    Repeated,
    Request,
)
from webhook.outcome import Outcome

CONNECT_SECONDS = 5.0
LINE_SECONDS = 30.0
"""Until the next line must have come: a search of the history and a reply budget are shorter."""
SHOWN_NAMES = 3
"""Names of matched objects in the table; ``-o json`` has the first hundred."""
HEADER = ("DELIVERY", "RECEIVER", "REPOSITORY", "MATCHED", "REFRESHED", "OUTCOME", "OBJECTS", "NEW ID")
DISPATCHED = [each.value for each in Outcome if each not in (Outcome.ANSWERED, Outcome.REFUSED)]
"""Outcomes of deliveries that asked for a refresh."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``again``."""
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="of a delivery: `deliveries` and the page show it"
    )
    settings.add_flag(parser, "data_dir", "the receiver's data folder")
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=age,
        help=f"instead of ids, all since then, at most {MOST}: 90s, 1h, 7d",
    )
    parser.add_argument(
        "--receiver", metavar="NAME", help="with --since: only of this receiver: namespace/name, cluster/name"
    )
    parser.add_argument(
        "--repository", metavar="TEXT", help="with --since: only for repositories whose URL contains this"
    )
    parser.add_argument("--outcome", choices=DISPATCHED, help="with --since: only with this outcome")
    add_output(parser)


async def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Repeat deliveries; return 0 if all were, 1 if not, 3 if no delivery matches. Raises CommandError."""
    request = _request(arguments)
    folder = settings.data_folder(arguments, environ)
    done: list[Repeated] = []
    end = End("the receiver ended before its answer did: `deliveries` shows what it dispatched")
    async for message in _call(folder, request):
        if isinstance(message, End):
            end = message
        else:
            done.append(message)
    if arguments.output == "json":
        write_json([_as_json(each) for each in done])
    elif done:
        write(table(HEADER, map(_cells, done)))
    elif not end.problem:
        write("no delivery matches\n")
    if end.problem:
        raise CommandError(end.problem, WRONG_USE if end.wrong_use else FAILED)
    if not any(each.known for each in done):
        return NOTHING_MATCHED
    return FAILED if any(each.problem for each in done) else 0


def _request(arguments: argparse.Namespace) -> Request:
    """Return what is asked for. Raises CommandError."""
    filters = (arguments.receiver, arguments.repository, arguments.outcome)
    if bool(arguments.ids) == (arguments.since is not None):
        raise CommandError("give either ids of deliveries or --since TIME", WRONG_USE)
    if arguments.ids and any(filters):
        raise CommandError("--receiver, --repository and --outcome go with --since, not with ids", WRONG_USE)
    if len(arguments.ids) > MOST:
        raise CommandError(f"at most {MOST} ids in one call", WRONG_USE)
    for each in arguments.ids:
        if not (each.isascii() and each.isalnum() and len(each) <= ID_CHARACTERS):
            raise CommandError(f"{each[:20]!a} is no id of a delivery: it has 16 hex digits", WRONG_USE)
    since = None if arguments.since is None else max(0.0, time.time() - arguments.since)
    return Request(VERSION, tuple(arguments.ids), since, *filters)


async def _call(folder: Path, request: Request) -> AsyncIterator[Repeated | End]:
    """Yield the receiver's answer, line by line. Raises CommandError."""
    path = folder / SOCKET_NAME
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise _nobody(folder) from None
    except ConnectionRefusedError:
        raise CommandError(f"no receiver runs on {folder}: the one that did has ended") from None
    except TimeoutError:
        raise CommandError(f"the receiver in {folder} takes no call within {CONNECT_SECONDS:g} s") from None
    except OSError as error:
        raise CommandError(f"cannot reach a receiver in {folder}: {error.strerror or error}") from error
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        while True:
            async with asyncio.timeout(LINE_SECONDS):
                line = await reader.readline()
            if not line:
                return
            yield msgspec.json.decode(line, type=Repeated | End)
    except TimeoutError:
        yield End(f"no answer within {LINE_SECONDS:g} s: `deliveries` shows what was dispatched")
    except (OSError, ValueError, RecursionError) as error:  # of msgspec and of a line that is too long, too
        if isinstance(error, OSError):
            return
        raise CommandError("the answer is not a receiver's: is it of another release?") from error
    finally:
        writer.close()


def _nobody(folder: Path) -> CommandError:
    if not folder.is_dir():
        return CommandError(f"{folder} is not a folder", WRONG_USE)
    return CommandError(f"no receiver of this release runs on {folder}")


def _cells(each: Repeated) -> tuple[str, ...]:
    names = ", ".join(each.names[:SHOWN_NAMES])
    if each.matched > SHOWN_NAMES:
        names += f" and {each.matched - SHOWN_NAMES} more"
    outcome = each.outcome or ("unknown" if not each.known else "not repeated")
    return (
        each.repeats,
        each.receiver or "-",
        each.repository or "-",
        str(each.matched) if each.id else "",
        str(each.refreshed) if each.id else "",
        f"{outcome}: {each.problem}" if each.problem else outcome,
        names or "-",
        each.id or "-",
    )


def _as_json(each: Repeated) -> dict[str, object]:
    """Return it under the names of the messages, without what only they need."""
    found: dict[str, object] = msgspec.to_builtins(each)
    del found["type"]
    return found
