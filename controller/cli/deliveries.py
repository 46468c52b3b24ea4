"""``kargo-azure-receiver deliveries``: lists what came in and what became of it, from a data folder.

Reads only: beside a running receiver, after a crash, and from a folder that can't be written. A file that is
no journal, or a hostile one, is one line of error.
"""

import argparse
import functools
import re
import time
from collections.abc import Mapping
from pathlib import Path

from controller.cli import settings
from controller.cli.command import NOTHING_MATCHED, WRONG_USE, CommandError
from controller.cli.table import add_output, table, write, write_json
from webhook.arrival import CATCH_UP, HTTP, UNKNOWN
from webhook.journal.history import Entry, Query, as_json, entries
from webhook.journal.reading import HistoryError, ask, when
from webhook.outcome import Outcome

DEFAULT_LIMIT = 50
REPOSITORY_WIDTH = 50
"""Characters of a repository in the table; ``-o json`` has all of them."""
REF_WIDTH = 30
REASON_WIDTH = 60
HEADER = (
    "ID",
    "RECEIVED",
    "RECEIVER",
    "EVENT",
    "REPOSITORY",
    "MATCHED",
    "REFRESHED",
    "TOOK",
    "CODE",
    "OUTCOME",
)
SINCE = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of the units of ``--since``."""


def read(folder: Path, query: Query) -> list[Entry]:
    """Return the latest of what came in, the newest first. Raises HistoryError."""
    return ask(folder, functools.partial(entries, query=query))


def _cells(entry: Entry) -> tuple[str, ...]:
    pushed = entry.outcome not in (Outcome.ANSWERED, Outcome.REFUSED)
    event = f"{entry.source}/{entry.event}" if entry.source != UNKNOWN else "-"
    return (
        entry.id,
        when(entry.received),
        entry.receiver or "-",
        event if entry.via in (HTTP, CATCH_UP) else f"{event} ({entry.via})",
        _repository(entry),
        str(entry.matched) if pushed else "",
        str(entry.refreshed) if pushed else "",
        "" if entry.seconds is None else _took(entry.seconds),
        "" if entry.code is None else str(entry.code),
        _outcome(entry),
    )


def _outcome(entry: Entry) -> str:
    """Return the outcome, and in brief why it is so where it does not explain itself."""
    why = entry.reason if entry.outcome is Outcome.REFUSED or entry.via == CATCH_UP else None
    near = entry.near_misses
    if near is not None:
        found = ", ".join(miss.warehouse for miss in near.found)
        why = f"nearly {found}" if found else near.note
    return f"{entry.outcome.value}: {_cut(why, REASON_WIDTH)}" if why else entry.outcome.value


def _took(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 120:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60}m" if minutes >= 60 else f"{minutes}m{rest}s"


def _repository(entry: Entry) -> str:
    """Return the first repository, with the first tag, digest or ref if there is one repository only."""
    if not entry.subjects:
        return ""
    subject = entry.subjects[0]
    if len(entry.subjects) > 1:
        return f"{_cut(subject.url, REPOSITORY_WIDTH)} and {len(entry.subjects) - 1} more"
    if not entry.refs:
        return _cut(subject.url, REPOSITORY_WIDTH)
    ref = _cut(entry.refs[0], REF_WIDTH)
    mark = "@" if subject.kind == "image" and ":" in ref else ":" if subject.kind == "image" else " "
    more = f" and {len(entry.refs) - 1} more" if len(entry.refs) > 1 else ""
    return f"{_cut(subject.url, REPOSITORY_WIDTH)}{mark}{ref.removeprefix('refs/heads/')}{more}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``deliveries``."""
    settings.add_flag(parser, "data_dir", "the receiver's data folder")
    parser.add_argument(
        "--receiver", metavar="NAME", help="only of this receiver: namespace/name, cluster/name"
    )
    parser.add_argument("--repository", metavar="TEXT", help="only for repositories whose URL contains this")
    parser.add_argument("--source", metavar="SOURCE", help="only from acr, azure-devops or event-grid, say")
    parser.add_argument("--event", metavar="TYPE", help="only events of this type: push, git.push, ping, …")
    parser.add_argument("--text", metavar="TEXT", help="only with this in repositories, tags, names, reasons")
    parser.add_argument("--since", metavar="TIME", type=age, help="only of so long ago or later: 90s, 1h, 7d")
    parser.add_argument("--outcome", choices=[each.value for each in Outcome], help="only with this outcome")
    parser.add_argument(
        "-n",
        "--limit",
        metavar="N",
        type=_limit,
        default=DEFAULT_LIMIT,
        help=f"at most so many, the newest; 0: all (default: {DEFAULT_LIMIT})",
    )
    add_output(parser)


async def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List deliveries; return 0, or 3 if none matches. Raises CommandError."""
    folder = settings.data_folder(arguments, environ)
    query = Query(
        receiver=arguments.receiver,
        source=arguments.source,
        event=arguments.event,
        outcome=arguments.outcome,
        repository=arguments.repository,
        text=arguments.text,
        since=None if arguments.since is None else time.time() - arguments.since,
        limit=arguments.limit,
    )
    try:
        found = read(folder, query)
    except HistoryError as error:
        raise CommandError(str(error), WRONG_USE) from error
    if arguments.output == "json":
        write_json([as_json(entry) for entry in found])
    elif found:
        write(table(HEADER, map(_cells, found)))
    else:
        write("no delivery matches\n" if query.filtered else "no deliveries yet\n")
    return 0 if found or not query.filtered else NOTHING_MATCHED


def _limit(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no number of deliveries")
    return int(text)


def age(text: str) -> float:
    """Return the seconds of a time such as ``90s``, ``1h`` or ``7d``, for argparse."""
    number, unit = text[:-1], text[-1:]
    if unit not in SINCE or len(number) > 9 or not (number.isascii() and number.isdigit()):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no time such as 90s, 15m, 1h or 7d")
    return float(number) * SINCE[unit]
