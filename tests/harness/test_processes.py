"""The processes that tests start: their ports, their end, and the end of what started them."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.ports import free_ports, require_free
from e2e.controlplane.process import Process, stat_fields


def test_a_busy_port_is_one_clear_line() -> None:
    """A port that somebody listens on is named, with its purpose and what to do."""
    (port,) = free_ports(1)
    require_free(port, "the receiver", "set PORT")
    message = rf"^port {port} for the receiver is not free .*: set PORT$"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ControlPlaneError, match=message):
        require_free(port, "the receiver", "set PORT")


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    """After kill -9 of the parent nothing that it started goes on."""
    program = (
        "import sys, pathlib\nfrom e2e.controlplane.process import Process\n"
        "p = Process('sleeper', ['sleep', '60'], log=pathlib.Path(sys.argv[1]) / 'log')\n"
        "p.start(); print(p.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert gone(child)


@pytest.mark.parametrize(
    ("on_term", "exit_code"),
    [
        pytest.param("exit 7", 7, id="in-order"),
        pytest.param("", -9, id="ignores-sigterm"),
    ],
)
def test_a_paused_process_is_stopped(tmp_path: Path, on_term: str, exit_code: int) -> None:
    """Stopping a frozen process, which says that it is one, lets it end in order, or kills it."""
    program = f"trap '{on_term}' TERM; echo up; while :; do sleep 0.1; done"
    process = Process("frozen", ["sh", "-c", program], log=tmp_path / "log")
    process.start()
    deadline = time.monotonic() + 10
    while "up" not in process.output():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.pause()
    while not process.paused:
        assert time.monotonic() < deadline
    assert process.stop(2.0) == exit_code
    assert not process.running
    assert not process.paused


def test_ctrl_c_at_any_moment_leaves_a_process_that_can_be_ended(tmp_path: Path) -> None:
    """However often looking at a process is interrupted, it can still be killed afterwards."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    process = Process("sleeper", ["sleep", "60"], log=tmp_path / "log")
    process.start()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(2000):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + turn * 1e-8)
                while process.running:
                    pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert process.kill() == -9


def test_a_missing_program_is_one_clear_line(tmp_path: Path) -> None:
    """What can't be started is named."""
    process = Process("etcd", [str(tmp_path / "nothing")], log=tmp_path / "log")
    with pytest.raises(ControlPlaneError, match=r"^cannot start etcd: .*No such file"):
        process.start()


def gone(pid: int) -> bool:
    """Whether the process ends within ten seconds (a zombie has ended)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state, *_ = stat_fields(pid)
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
