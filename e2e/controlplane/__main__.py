"""``python -m e2e.controlplane build`` builds the binaries; ``… up`` keeps a control plane running."""

import argparse
import sys
import time

from e2e.controlplane.build import ensure
from e2e.controlplane.errors import ControlPlaneError
from e2e.controlplane.plane import ControlPlane
from e2e.controlplane.terminal import run_command, say


def main() -> int:
    """Run the command line; raises ControlPlaneError for what fails."""
    parser = argparse.ArgumentParser(prog="python -m e2e.controlplane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="find or build the binaries, and say where they are")
    up = commands.add_parser("up", help="run a control plane until Ctrl-C")
    up.add_argument("--port", type=int, default=0, help="port of the API server (default: a free one)")
    arguments = parser.parse_args()
    if arguments.command == "build":
        found = ensure(say)
        say(f"etcd, kube-apiserver and kubectl: {found.etcd.parent} (from {found.origin})")
        return 0
    return _up(arguments.port)


def _up(port: int) -> int:
    with ControlPlane(port=port, say=say) as plane:
        say(f"API server  {plane.url}")
        say(f"kubeconfig  {plane.kubeconfig}")
        say(f"logs        {plane.folder}")
        say(f"try         {plane.binaries.kubectl} --kubeconfig {plane.kubeconfig} get namespaces")
        say("Ctrl-C stops it and removes its data")
        while plane.apiserver.running and plane.etcd.running:
            time.sleep(0.5)
        raise ControlPlaneError(f"it ended by itself:{plane.apiserver.last_lines()}{plane.etcd.last_lines()}")


if __name__ == "__main__":
    sys.exit(run_command(main))
