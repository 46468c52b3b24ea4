"""Helm: the one on PATH if it has the wanted major version, else built once from its Go module.

The tests of the chart use Helm 4; ``HELM_MAJOR=3 make test ARGS=tests/manifests`` runs them with Helm 3.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from e2e.controlplane import ControlPlaneError, toolchain
from e2e.controlplane.binaries import Say, cache_root, pinned_versions
from e2e.controlplane.build import REPORT_EVERY, alone, remove
from e2e.controlplane.process import Process

VERSIONS = {"4": "v4.3.2", "3": "v3.22.0"}
"""What is built, by major version. Go checks the modules' content with the public checksum database."""

_PACKAGES = 1200
"""That one build compiles, about; only progress depends on it."""


def ensure(say: Say, major: str = "") -> Path:
    """Find Helm or build it; ``major`` is 4 unless HELM_MAJOR says 3.

    Raises ControlPlaneError in one line: no Go to be had, a failed build.
    """
    major = major or os.environ.get("HELM_MAJOR") or "4"
    if major not in VERSIONS:
        raise ControlPlaneError(f"HELM_MAJOR is {major}: choose one of {', '.join(sorted(VERSIONS))}")
    if on_path := _on_path(major):
        return on_path
    version = VERSIONS[major]
    program = cache_root().parent / f"helm-{version}" / "helm"
    if not program.exists():
        _build(version, program, say)
    return program


def _on_path(major: str) -> Path | None:
    found = shutil.which("helm")
    if found is None:
        return None
    command = [found, "version", "--template", "{{.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found) if done.stdout.startswith(f"v{major}.") else None


def _build(version: str, program: Path, say: Say) -> None:
    root = program.parent.parent
    root.mkdir(parents=True, exist_ok=True)
    with alone(root / "helm.lock", say):
        if program.exists():  # the process that we waited for has built it
            return
        say(f"Building Helm {version}, once: it takes 2 to 5 minutes and 2 GB of disk meanwhile")
        work = Path(tempfile.mkdtemp(prefix="helm-build-", dir=root))
        try:
            _install(version, work, say)
            program.parent.mkdir(exist_ok=True)
            (work / "bin" / "helm").rename(program)
        finally:
            remove(work)


def _install(version: str, work: Path, say: Say) -> None:
    go, environment = toolchain.prepare(work, pinned_versions().go, say)
    environment["GOBIN"] = str(work / "bin")
    package = f"helm.sh/helm/{version[:2]}"
    command = [go, "install", "-v", "-trimpath", "-ldflags", _linker_flags(package, version)]
    process = Process("go", [*command, f"{package}/cmd/helm@{version}"], log=work / "log", env=environment)
    began = time.monotonic()
    process.start()
    try:
        while process.running:
            with contextlib.suppress(ControlPlaneError):
                process.wait(REPORT_EVERY)
                break
            compiled = sum(not line.startswith("go: ") for line in process.output().splitlines())
            say(f"  {time.monotonic() - began:.0f} s  {compiled} of about {_PACKAGES} packages")
    finally:
        process.kill()
    if process.exit_code != 0:
        lines = [line for line in process.output().splitlines() if not re.fullmatch(r"[\w./-]+", line)]
        raise ControlPlaneError(f"building Helm {version} failed: {lines[-1] if lines else 'no output'}")


def _linker_flags(package: str, version: str) -> str:
    """No debug information; a release build's version, and the Kubernetes it renders for by default."""
    _, minor, _ = pinned_versions().kubernetes.split(".", 2)
    values = {
        f"{package}/internal/version.version": version,
        f"{package}/pkg/chartutil.k8sVersionMajor": "1",
        f"{package}/pkg/chartutil.k8sVersionMinor": minor,
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])
