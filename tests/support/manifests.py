"""The manifests as kustomize builds them."""

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

from e2e.controlplane import build as controlplane_build

ROOT = Path(__file__).parents[2] / "manifests"
OVERLAYS = sorted(path.parent.name for path in (ROOT / "overlays").glob("*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in (ROOT / "components").glob("*/kustomization.yaml"))
OWN_SERVICE_ACCOUNT = ("own-serviceaccount", "standalone")
"""Overlays for a cluster where nobody else makes the ServiceAccount."""

Object = dict[str, Any]


def folder(name: str) -> Path:
    """The folder of an overlay, or of the base."""
    return ROOT / name if name == "base" else ROOT / "overlays" / name


@functools.cache
def kustomize(path: Path) -> str:
    """What ``kubectl kustomize`` prints; the kubectl is the control plane's."""
    kubectl = controlplane_build.ensure(print).kubectl
    done = subprocess.run([kubectl, "kustomize", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(path: Path) -> list[Object]:
    """The objects of one kustomization."""
    return list(yaml.safe_load_all(kustomize(path)))


def of_kind(found: list[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [each for each in found if each["kind"] in kinds]


def workload(found: list[Object]) -> Object:
    """The one Deployment or StatefulSet."""
    (only,) = of_kind(found, "Deployment", "StatefulSet")
    return only
