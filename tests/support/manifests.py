"""The manifests as kustomize builds them, and a cluster to try them on."""

import contextlib
import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane import build as controlplane_build
from e2e.controlplane.api import RequestError
from e2e.controlplane.waiting import eventually
from e2e.tools import crds

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


def pod_of(workload: Object, name: str) -> Object:
    """The Pod that a workload's controller would make."""
    found = workload["spec"]
    made = {**found["template"], "apiVersion": "v1", "kind": "Pod"}
    made["metadata"] = {**made["metadata"], "name": name}
    for claim in found.get("volumeClaimTemplates", []):
        volume = claim["metadata"]["name"]
        claimed = {"name": volume, "persistentVolumeClaim": {"claimName": f"{volume}-{name}"}}
        made["spec"] = {**made["spec"], "volumes": [*made["spec"]["volumes"], claimed]}
    return made


@contextlib.contextmanager
def cluster_with_kargo(say: Callable[[str], None]) -> Iterator[ControlPlane]:
    """A control plane with Kargo's stand-in and the CRDs of others, but nothing of ours."""
    with ControlPlane(say=say) as plane:
        kargo.install(plane, added_rights=False)
        for file in crds.ensure(say):
            definition = yaml.safe_load(file.read_text("utf-8"))
            plane.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
            group, names = definition["spec"]["group"], definition["spec"]["names"]
            version = next(v["name"] for v in definition["spec"]["versions"] if v["storage"])
            _wait_served(plane, f"/apis/{group}/{version}/{names['plural']}")
        yield plane


def _wait_served(plane: ControlPlane, path: str) -> None:
    def served() -> bool:
        try:
            plane.api.get(path)
        except RequestError:  # 404 at first, then 429 while its storage is made
            return False
        return True

    assert eventually(served, 30.0)
