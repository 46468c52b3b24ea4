"""``make run``: see the receiver at work."""

import argparse
import os
import sys

from e2e.controlplane.errors import ControlPlaneError
from e2e.controlplane.terminal import run_command, say
from e2e.demo import current, local


def main() -> int:
    """Run the command line; raises ControlPlaneError for what fails."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("--cluster", default="local", help="local (its own control plane) or current (yours)")
    parser.add_argument(
        "--once", action="store_true", help="end after the demonstration, as without a terminal"
    )
    parser.add_argument("--port", default=os.environ.get("PORT") or "8080", help="of the webhook [PORT]")
    parser.add_argument(
        "--admin-port",
        default=os.environ.get("ADMIN_PORT") or "9090",
        help="of metrics and health [ADMIN_PORT]",
    )
    arguments = parser.parse_args()
    demonstrations = {"local": local.demonstrate, "current": current.demonstrate}
    if arguments.cluster not in demonstrations:
        raise ControlPlaneError(f"CLUSTER must be local or current, not {arguments.cluster}")
    stay = not arguments.once and sys.stdin is not None and sys.stdin.isatty()
    demonstrate = demonstrations[arguments.cluster]
    try:
        demonstrate(_port("PORT", arguments.port), _port("ADMIN_PORT", arguments.admin_port), say, stay=stay)
    except KeyboardInterrupt:
        if not stay:
            raise
    say("Stopped; nothing of it goes on.")
    return 0


def _port(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ControlPlaneError(f"{name} must be a number from 1 to 65535, not {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
