"""Azure's client takes memory and time, so it is loaded only where a queue is set."""

import subprocess
import sys


def test_without_a_queue_azure_is_not_imported() -> None:
    """The whole program is loaded, and none of its modules is Azure's."""
    program = (
        "import sys, controller.__main__;"
        "print(sum(name.split('.')[0] in ('azure', 'msal') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
