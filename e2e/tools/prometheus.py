"""Prometheus and promtool: those on PATH, else Debian's package, unpacked into the cache, not installed.

Installing it would need root and start a server on the machine; the package's programs run from anywhere.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say, cache_root

_PROGRAMS = ("prometheus", "promtool")
_LIMIT = 300.0  # seconds for one apt-get


@dataclass(frozen=True)
class Prometheus:
    """The two programs."""

    prometheus: Path
    promtool: Path


def ensure(say: Say) -> Prometheus:
    """Find the programs or fetch them; raises ControlPlaneError in one line."""
    on_path = [shutil.which(program) for program in _PROGRAMS]
    if all(on_path):
        return Prometheus(*(Path(str(each)) for each in on_path))
    folder = cache_root().parent / "prometheus"
    if not folder.is_dir():
        say("Fetching Prometheus, once: Debian's package, unpacked only (100 MB)")
        _fetch(folder)
    return Prometheus(*(folder / program for program in _PROGRAMS))


def _fetch(target: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ControlPlaneError("no prometheus and promtool on PATH: install Prometheus (no apt-get here)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prometheus-", dir=target.parent) as name:
        work = Path(name)
        if not _download(work) and os.geteuid() == 0:
            _run(["apt-get", "update", "-qq"], work)
            _download(work)
        packages = list(work.glob("prometheus_*.deb"))
        if not packages:
            raise ControlPlaneError(
                "no prometheus and promtool on PATH, and apt-get cannot download the package prometheus:"
                " install it, or run apt-get update"
            )
        _run(["dpkg-deb", "-x", str(packages[0]), str(work / "all")], work)
        made = work / "made"
        made.mkdir()
        for program in _PROGRAMS:
            (work / "all" / "usr" / "bin" / program).rename(made / program)
        if not target.is_dir():
            made.rename(target)


def _download(work: Path) -> bool:
    return _run(["apt-get", "download", "-qq", "prometheus"], work)


def _run(command: list[str], work: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, timeout=_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
