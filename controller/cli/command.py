"""How every command ends: with an exit code, and with one line on standard error for what went wrong."""

import re
import sys
from collections.abc import Awaitable

PROGRAM = "kargo-azure-receiver"
FAILED, WRONG_USE, NOTHING_MATCHED = 1, 2, 3
"""Exit codes beside 0."""
_RECEIVER_PATH = re.compile("azure/[0-9a-f]{64}")


class CommandError(Exception):
    """A command can't do what it was asked."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
        """What the process exits with."""


async def exit_code(name: str, work: Awaitable[int]) -> int:
    """Await a command's work; what it raises as CommandError is printed, and decides the exit code."""
    try:
        return await work
    except CommandError as error:
        return fail(name, error)
    except UnicodeEncodeError:  # where Python keeps bytes of the command line that are no text
        return fail(name, CommandError("an argument is not valid UTF-8", WRONG_USE))


def fail(name: str, error: CommandError) -> int:
    """Print one line, of which a terminal obeys nothing; return the exit code."""
    message = "".join(char if char.isprintable() else " " for char in redacted(str(error)))
    if sys.stderr is not None:  # it is None where it was closed
        print(f"{PROGRAM} {name}: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return error.code


def redacted(text: str) -> str:
    """Return a text without any receiver's path, which is a credential that people paste anywhere."""
    return _RECEIVER_PATH.sub("azure/…", text)
