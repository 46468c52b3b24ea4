"""How every command ends: with an exit code, and with one line on standard error for what went wrong."""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

PROGRAM = "kargo-azure-receiver"
FAILED, WRONG_USE, NOTHING_MATCHED = 1, 2, 3
"""Exit codes beside 0."""


class CommandError(Exception):
    """A command can't do what it was asked."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
        """What the process exits with."""


Command = Callable[[argparse.Namespace, Mapping[str, str]], Coroutine[Any, Any, int]]


def command(name: str) -> Callable[[Command], Callable[..., Coroutine[Any, Any, int]]]:
    """Make a command of a function: what it raises as CommandError is printed, and decides the exit code."""

    def decorate(work: Command) -> Callable[..., Coroutine[Any, Any, int]]:
        @functools.wraps(work)
        async def run(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
            try:
                return await work(arguments, environ)
            except CommandError as error:
                return fail(name, error)

        return run

    return decorate


def fail(name: str, error: CommandError) -> int:
    """Print one line, of which a terminal obeys nothing; return the exit code."""
    message = "".join(char if char.isprintable() else " " for char in str(error))
    print(f"{PROGRAM} {name}: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return error.code
