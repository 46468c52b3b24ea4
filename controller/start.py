"""Where the installed program starts: Ctrl-C ends it silently, also in the second that the imports take."""

import signal


def main() -> int:
    """Run the command line; return the exit code. ``run`` replaces the handler once it serves."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from controller import __main__ as program

    return program.main()
