"""Fills the API server.

A CRD gets its status subresource only after seeding: so one request creates an object with its status, where
two would be needed otherwise.
"""

import time
from collections.abc import Iterable
from pathlib import Path

import yaml

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.api import RequestError
from tests.benchmarks import data
from tests.benchmarks.bare import BareClient

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_FILES = Path(__file__).parents[2] / "manifests" / "crds"
_LIMIT = 30.0  # seconds until a changed CRD takes effect


def create_without_status(plane: ControlPlane, plural: str) -> None:
    """Create one of Kargo's CRDs without its status subresource."""
    for file in _FILES.glob("*.yaml"):
        definition = yaml.safe_load(file.read_text("utf-8"))
        if definition["spec"]["names"]["plural"] == plural:
            for version in definition["spec"]["versions"]:
                version.pop("subresources", None)
            plane.api.create(CRDS, definition)
            _wait_served(plane, f"{kargo.API}/{plural}")
            return
    raise LookupError(plural)


def set_status(plane: ControlPlane, plural: str, *, on: bool) -> None:
    """Give the CRD its status subresource or take it away, and wait until that is served."""
    path = f"{CRDS}/{plural}.kargo.akuity.io"
    versions = plane.api.get(path)["spec"]["versions"]
    for version in versions:
        version["subresources"] = {"status": {}} if on else {}
    plane.api.patch(path, {"spec": {"versions": versions}})
    deadline = time.monotonic() + _LIMIT
    while True:
        served = plane.api.get(kargo.API)["resources"]
        if on == any(each["name"] == f"{plural}/status" for each in served):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{plural}/status is not served")
        time.sleep(0.05)


def create_namespaces(plane: ControlPlane) -> None:
    """Create the namespaces of all Warehouses."""
    for number in range(data.NAMESPACES):
        kargo.create_namespace(plane, data.seed(number).namespace)


async def create_warehouses(client: BareClient, numbers: Iterable[int]) -> None:
    """Create Warehouses with their status."""
    await client.send_all("POST", ((_collection("warehouses", n), data.warehouse(n)) for n in numbers))


async def create_promotions(client: BareClient, numbers: Iterable[int]) -> None:
    """Create finished Promotions."""
    await client.send_all("POST", ((_collection("promotions", n), data.promotion(n)) for n in numbers))


async def update_statuses(client: BareClient, numbers: Iterable[int], *, turn: int, at_once: int) -> None:
    """Write another status to each, as Kargo's discovery does."""
    await client.send_all(
        "PATCH",
        (
            (
                f"{_collection('warehouses', n)}/{data.seed(n).name}/status",
                {"status": data.status(n, turn=turn)},
            )
            for n in numbers
        ),
        at_once=at_once,
        content_type="application/merge-patch+json",
    )


def _collection(plural: str, number: int) -> str:
    return f"{kargo.API}/namespaces/{data.seed(number).namespace}/{plural}"


def _wait_served(plane: ControlPlane, path: str) -> None:
    deadline = time.monotonic() + _LIMIT
    while True:
        try:
            plane.api.get(path)
        except RequestError as error:
            if error.status not in (404, 429) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
