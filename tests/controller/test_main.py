"""The command line's end."""

import subprocess
import sys

import pytest

from controller.__main__ import main

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


@pytest.mark.parametrize(
    ("timeout", "warns"), [pytest.param("4.9s", False, id="below"), pytest.param("5s", True, id="at")]
)
def test_a_reply_timeout_past_the_registrys_patience_is_a_warning(timeout: str, warns: bool) -> None:
    """Azure Container Registry waits 5 s and never tries again: an answer after that is none."""
    flags = ["--kubeconfig=/nonexistent", "--publish-status=false", f"--reply-timeout={timeout}"]
    command = [sys.executable, "-m", "controller", "run", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ("reply_timeout_too_long" in ended.stderr) is warns


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["run", "--base-url=kargo"], id="run"),
        pytest.param(["urls", "--kubeconfig=/nonexistent"], id="urls"),
        pytest.param(["explain", "x.azurecr.io/app", "--kubeconfig=/nonexistent"], id="explain"),
        pytest.param(["send", "ping"], id="send"),
        pytest.param(["doctor", "--kubeconfig=/nonexistent"], id="doctor"),
        pytest.param(["deliveries", "--data-dir=/nonexistent\n\x1b[31m"], id="deliveries"),
        pytest.param(["again", "d1", "--data-dir=/nonexistent\n\x1b[31m"], id="again"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every command, in the same form, and a terminal obeys nothing in it."""
    monkeypatch.delenv("RECEIVER_URL", raising=False)
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith(f"kargo-azure-receiver {arguments[0]}: ")
    assert streams.err.removesuffix("\n").isprintable()
