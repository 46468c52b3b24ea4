"""Helm: the one on PATH if it has the wanted major version, else built once from its Go module.

The tests of the chart use Helm 4; ``HELM_MAJOR=3 make test ARGS=tests/manifests`` runs them with Helm 3.
"""

import os
import shutil
import subprocess
from pathlib import Path

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say, pinned_versions
from e2e.tools import go_program

VERSIONS = {"4": "v4.3.2", "3": "v3.22.0"}
"""What is built, by major version."""


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
    package = f"helm.sh/helm/v{major}"
    return go_program.ensure(
        f"{package}/cmd/helm",
        version,
        say,
        cost="2 to 5 minutes and 2 GB of disk meanwhile",
        linker_flags=_linker_flags(package, version),
    )


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


def _linker_flags(package: str, version: str) -> str:
    """No debug information; a release build's version, and the Kubernetes it renders for by default."""
    _, minor, _ = pinned_versions().kubernetes.split(".", 2)
    values = {
        f"{package}/internal/version.version": version,
        f"{package}/pkg/chartutil.k8sVersionMajor": "1",
        f"{package}/pkg/chartutil.k8sVersionMinor": minor,
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])
