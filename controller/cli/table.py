"""What the commands print: aligned tables, of which every character is printable, or JSON."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence

from controller.cli.command import CommandError


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add ``--output``."""
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines with aligned columns for a terminal, which obeys nothing in them."""
    lines = [[_printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def write(text: str) -> None:
    """Write to standard output what its encoding has; a reader that has gone is no fault.

    Raises CommandError.
    """
    out = sys.stdout
    if out is None:  # its descriptor was closed
        raise CommandError("standard output is closed")
    encoding = out.encoding or "utf-8"
    try:
        out.write(text.encode(encoding, "replace").decode(encoding))
        out.flush()
    except BrokenPipeError:
        # The reader (``head``, say) has seen enough. Python must not fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    except OSError as error:
        raise CommandError(f"cannot write: {error.strerror}") from error


def write_json(value: object) -> None:
    """Write a value as JSON. Raises CommandError as ``write`` does."""
    write(json.dumps(value, indent=2) + "\n")


def _printable(text: str) -> str:
    """Replace what a terminal might obey, colours and text direction included."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
