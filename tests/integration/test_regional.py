"""Pushes through a registry's regional endpoint match the registry, and no other ever does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlane
from e2e.kargo.project import Project, chart, image
from tests.support.azure import image_push
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess


@pytest.mark.parametrize(
    ("host", "count"),
    [
        pytest.param("contoso.azurecr.io", 2, id="the registry"),
        pytest.param("contoso.westeurope.geo.azurecr.io", 2, id="an endpoint"),
        pytest.param("contoso.eastus2.geo.azurecr.io", 2, id="another region"),
        pytest.param("Contoso.WestEurope.geo.AzureCR.io", 2, id="case"),
        pytest.param("contosox.westeurope.geo.azurecr.io", 0, id="another registry"),
        pytest.param("westeurope.geo.azurecr.io", 0, id="no registry"),
        pytest.param("evil.contoso.westeurope.geo.azurecr.io", 0, id="one label more"),
        pytest.param("contoso.westeurope.geo.azurecr.io.evil.example", 0, id="look-alike at the end"),
        pytest.param("contoso.westeurope.geo-azurecr.io", 0, id="look-alike in between"),
        pytest.param("contoso.azurecr.io.evil.example", 0, id="look-alike of the registry"),
    ],
)
def test_a_regional_endpoint_is_its_registry(
    shared: tuple[Project, ReceiverProcess], host: str, count: int
) -> None:
    """The Warehouses subscribe to the registry, an image and a chart."""
    project, receiver = shared
    answer = receiver.post(project.path, image_push("team/app", host=host))
    assert (answer.status, answer.json) == (200, {"msg": f"refreshed {count} warehouse(s)"})
    assert project.refresh("foreign") is None


@pytest.fixture(scope="module")
def shared(
    control_plane: ControlPlane, receiver_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, ReceiverProcess]]:
    """A Project with Warehouses, and a receiver."""
    project = Project(control_plane, "regional").create()
    project.add_warehouse("image", image("contoso.azurecr.io/team/app"))
    project.add_warehouse("chart", chart("oci://contoso.azurecr.io/team/app"))
    project.add_warehouse("foreign", image("contosoy.azurecr.io/team/app"))
    with ReceiverFactory(receiver_kubeconfig, tmp_path_factory.mktemp("receiver")) as factory:
        yield project, factory()
