"""Where etcd, kube-apiserver and kubectl come from: what the user has, what was built before, or a build.

``go.mod`` beside this file says which versions; nothing else does.
"""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.controlplane.errors import ControlPlaneError

MODULE = Path(__file__).parent
TOOLS = ("etcd", "kube-apiserver", "kubectl")

Say = Callable[[str], None]
"""Tells the person at the terminal something, one line each."""


@dataclass(frozen=True)
class Versions:
    """What ``go.mod`` pins, such as ``1.36.3``; ``go`` is the oldest Go that builds it."""

    go: str
    kubernetes: str
    etcd: str


@dataclass(frozen=True)
class Binaries:
    """The three programs, and in words where they were found."""

    etcd: Path
    apiserver: Path
    kubectl: Path
    origin: str

    @classmethod
    def of(cls, folder: Path, origin: str) -> "Binaries":
        """The three programs of one folder; raises ControlPlaneError naming those that are missing."""
        missing = [tool for tool in TOOLS if not os.access(folder / tool, os.X_OK)]
        if missing:
            raise ControlPlaneError(f"{origin}: {folder} has no {', '.join(missing)}")
        return cls(folder / "etcd", folder / "kube-apiserver", folder / "kubectl", origin)


def pinned_versions() -> Versions:
    """Read the versions from ``go.mod``."""
    text = (MODULE / "go.mod").read_text("utf-8")

    def find(pattern: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise ControlPlaneError(f"{MODULE / 'go.mod'}: nothing matches {pattern}")
        return found[1]

    return Versions(
        go=find(r"^go (\S+)"),
        kubernetes=find(r"^\s*k8s\.io/kubernetes v(\S+)"),
        etcd=find(r"^\s*go\.etcd\.io/etcd/server/v3 v(\S+)"),
    )


def cache_root() -> Path:
    """The folder of everything we keep between runs; honours XDG_CACHE_HOME (absolute paths only)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "kargo-azure-receiver" / "controlplane"


def cache_folder(versions: Versions) -> Path:
    """Where binaries of these versions are kept once built."""
    name = f"kubernetes-{versions.kubernetes}-etcd-{versions.etcd}-{platform.machine()}"
    return cache_root() / name


def find(versions: Versions) -> Binaries | None:
    """Look for the binaries without building: KUBEBUILDER_ASSETS, then PATH, then the cache.

    KUBEBUILDER_ASSETS is the user's word, so its versions are not questioned; raises ControlPlaneError if
    it lacks a program. Those on PATH must have the pinned minor versions.
    """
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return Binaries.of(Path(assets), "KUBEBUILDER_ASSETS")
    if on_path := _on_path(versions):
        return on_path
    folder = cache_folder(versions)
    return Binaries.of(folder, "the cache") if folder.is_dir() else None


def _on_path(versions: Versions) -> Binaries | None:
    found = [shutil.which(tool) for tool in TOOLS]
    if None in found:
        return None
    etcd, apiserver, kubectl = (Path(str(each)) for each in found)
    kubernetes = _minor(versions.kubernetes)
    fits = (
        _minor(_printed(etcd, "--version")) == _minor(versions.etcd)
        and _minor(_printed(apiserver, "--version")) == kubernetes
        and _kubectl_minor(kubectl) == kubernetes
    )
    return Binaries(etcd, apiserver, kubectl, "PATH") if fits else None


def _kubectl_minor(kubectl: Path) -> str:
    try:
        client = json.loads(_printed(kubectl, "version", "--client", "--output=json"))["clientVersion"]
        return _minor(str(client["gitVersion"]))
    except (ValueError, KeyError, TypeError):
        return ""


def _minor(text: str) -> str:
    """``1.36`` of the first thing in ``text`` that looks like a version, else an empty string."""
    found = re.search(r"\b[v]?(\d+\.\d+)\.\d+", text)
    return found[1] if found else ""


def _printed(program: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
