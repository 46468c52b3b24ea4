"""What the command lines of e2e share: an orderly end on signals, and errors as one line."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from e2e.controlplane.errors import ControlPlaneError


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def run_command(main: Callable[[], int]) -> int:
    """Run a command's body and return its exit code: errors are one line, signals end it with clean-up.

    SIGTERM and a closed terminal are treated as Ctrl-C is.
    """

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # cleaning up takes a moment; let nothing cut it short
        raise KeyboardInterrupt

    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, interrupt)
    try:
        return main()
    except ControlPlaneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
