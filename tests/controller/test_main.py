"""The command line's end."""

import subprocess
import sys

HUNG = """
import threading
from controller import __main__
from controller.process.manager import PartFailed

async def serve(options, version):
    threading.Thread(target=threading.Event().wait).start()
    raise PartFailed("clean-up of journal did not end within 5 s")

__main__.serve = serve
__main__.main(["run", "--publish-status=false"])
"""


def test_a_thread_that_hangs_does_not_hold_the_process() -> None:
    """After a part has failed the process ends with 1 and a message, whatever a disk does to a thread."""
    ended = subprocess.run(
        [sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert '"part_failed"' in ended.stderr
    assert "clean-up of journal" in ended.stderr
