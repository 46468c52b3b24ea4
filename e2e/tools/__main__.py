"""``python -m e2e.tools``: fetch what the tests need besides the control plane, and say where it is."""

import sys

from e2e.controlplane.terminal import run_command, say
from e2e.tools import crds, helm, prometheus


def main() -> int:
    """Fetch or build all of it."""
    found = prometheus.ensure(say)
    say(f"promtool    {found.promtool}")
    for file in crds.ensure(say):
        say(f"CRD         {file}")
    say(f"helm        {helm.ensure(say)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
