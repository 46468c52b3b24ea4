"""One child process with a log file, which never outlives its parent.

The kernel kills the child when the thread that started it ends (PR_SET_PDEATHSIG), so also after ``kill -9``
of the parent: start processes from a thread that stays, such as the main one. It runs in a session of its
own, so Ctrl-C in a terminal reaches only the parent, which then stops things in their order.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from e2e.controlplane.errors import ControlPlaneError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_POLL = 0.01  # seconds between two looks at a process that is to end
_KILL_LIMIT = 30.0  # seconds; a killed process ends at once, unless the kernel is in trouble
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be loaded between fork and exec


def die_with_parent() -> Callable[[], None]:
    """Return a ``preexec_fn`` after which the child is killed when its parent is gone."""
    parent = os.getpid()

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return in_child


class Process:
    """A program started with a fixed command line; it can be started again after it ended.

    ``name`` is what people call it. Output of all starts is appended to the file ``log``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._env = env
        self._cwd = cwd
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program; raises ControlPlaneError if it can't be run or is running already."""
        if self.running:
            raise ControlPlaneError(f"{self.name} is running already")
        try:
            with self.log.open("ab") as log:
                self._child = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._env,
                    cwd=self._cwd,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
        except OSError as error:
            raise ControlPlaneError(f"cannot start {self.name}: {error}") from error

    @property
    def pid(self) -> int:
        """The process id of the running program; raises ControlPlaneError before the first start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended (a paused one is running)."""
        return self._child is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last run, negative for a signal; None while running or never started."""
        child = self._child
        if child is not None and child.returncode is None:
            # Not Popen.poll: interrupted by Ctrl-C at the wrong moment it keeps its lock, and every later
            # wait for the process hangs.
            try:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:  # such an interruption lost the exit code
                child.returncode = 0
            else:
                if pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
        return None if child is None else child.returncode

    def wait(self, seconds: float) -> int:
        """Wait for its end and return its exit code; raises ControlPlaneError if it takes longer."""
        self._started()
        deadline = time.monotonic() + seconds
        while (code := self.exit_code) is None:
            if time.monotonic() >= deadline:
                raise ControlPlaneError(f"{self.name} did not end within {seconds:g} s")
            time.sleep(_POLL)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it is still running."""
        if self.running:
            os.kill(self.pid, number)

    def stop(self, seconds: float = 10.0) -> int:
        """End it with SIGTERM, after ``seconds`` with SIGKILL; return its exit code (0 if never started)."""
        if self._child is None:
            return 0
        self.resume()
        self.terminate()
        try:
            return self.wait(seconds)
        except ControlPlaneError:
            return self.kill()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM), without waiting."""
        self.send(signal.SIGTERM)

    def kill(self) -> int:
        """End it and its children with SIGKILL, paused or not; return its exit code (0 if never started)."""
        if self._child is None:
            return 0
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)  # it leads a session, and so a group
        return self.wait(_KILL_LIMIT)

    @property
    def paused(self) -> bool:
        """Whether it stands still (SIGSTOP), whoever stopped it; False if it does not run."""
        return self.running and stat_fields(self.pid)[0] == "T"

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and nobody answers."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self.send(signal.SIGCONT)

    def output(self) -> str:
        """Everything that it printed since its first start."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def last_lines(self, count: int = 8) -> str:
        """The last lines that it printed, indented, for an error message."""
        lines = self.output().splitlines()[-count:]
        return "".join(f"\n  {line[:300]}" for line in lines)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ControlPlaneError(f"{self.name} was not started")
        return self._child


def stat_fields(pid: int) -> list[str]:
    """What is known of a process after its name (proc(5)): the state's letter first. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
