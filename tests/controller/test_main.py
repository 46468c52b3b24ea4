"""The command line's end."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from controller.__main__ import main
from webhook.journal.schema import FILE_NAME, migrate

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

KUBECONFIG = """
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: it, user: {}}]
"""

WAITING = """
import sys
from controller import start, __main__

__main__.main = lambda: print("started", flush=True) or sys.stdin.read()
start.main()
"""


def test_tls_files_that_are_missing_are_one_line(tmp_path: Path) -> None:
    """What was opened before them would be reported as left open."""
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(KUBECONFIG)
    flags = [f"--kubeconfig={kubeconfig}", "--publish-status=false", "--tls-cert=/none", "--tls-key=/none"]
    command = [sys.executable, "-m", "controller", "run", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "/none" in line


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


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["urls", f"--kubeconfig=http://h/azure/{'a' * 64}"], id="URL for a file"),
        pytest.param(["urls", "-n", "../x"], id="dots for a Project"),
        pytest.param(["urls", "-n", ""], id="no Project"),
        pytest.param(["explain", "x.azurecr.io/app", f"--receiver=http://h/azure/{'a' * 64}"], id="receiver"),
        pytest.param(["explain", f"http://h/azure/{'a' * 64}"], id="a receiver's URL for a repository's"),
        pytest.param(["deliveries", "--data-dir=/tmp", f"--limit={10**20}"], id="limit"),
    ],
)
def test_nonsense_is_one_line_without_a_receivers_path(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2, whoever refuses it."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2, line
    assert "a" * 64 not in line


@pytest.mark.parametrize(
    ("redirection", "says"),
    [
        pytest.param(">&-", "standard output is closed", id="output"),
        pytest.param("<&-", "standard input is closed", id="input"),
        pytest.param("2>&-", "", id="errors"),
    ],
)
def test_a_closed_stream_is_one_line(redirection: str, says: str, tmp_path: Path) -> None:
    """A service manager or a script may start a program without one."""
    arguments = ["explain", "-"] if redirection == "<&-" else ["deliveries", f"--data-dir={tmp_path}"]
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        migrate(database)
    command = f"{sys.executable} -m controller {' '.join(arguments)} {redirection}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    assert len(ended.stderr.splitlines()) == bool(says)
    assert says in ended.stderr


def test_ctrl_c_is_no_traceback() -> None:
    """As of any program that is not written in Python."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors == b""
