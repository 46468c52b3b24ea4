"""One registry, many hosts: its regions, the sovereign clouds, and the default port."""

import pytest
from hypothesis import given

from controller.repositories.azure import registry_key
from tests.strategies import ANY_TEXT, URL_LIKE


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("contoso.westeurope.geo.azurecr.io/app", "contoso.azurecr.io/app", id="regional"),
        pytest.param(
            "contoso-a1.eastus2.geo.azurecr.io/a/b", "contoso-a1.azurecr.io/a/b", id="hyphen and digits"
        ),
        pytest.param("contoso.azurecr.io:443/app", "contoso.azurecr.io/app", id="the default port"),
        pytest.param(
            "contoso.westeurope.geo.azurecr.io:443/app",
            "contoso.azurecr.io/app",
            id="regional, with the port",
        ),
        pytest.param("contoso.chinaeast2.geo.azurecr.cn/app", "contoso.azurecr.cn/app", id="China"),
        pytest.param(
            "contoso.usgovvirginia.geo.azurecr.us/app", "contoso.azurecr.us/app", id="US Government"
        ),
        pytest.param("contoso.germanycentral.geo.azurecr.de/a", "contoso.azurecr.de/a", id="Germany"),
        pytest.param("registry.example:443/app", "registry.example/app", id="the port, elsewhere"),
        pytest.param("contoso.azurecr.io:5000/app", None, id="another port"),
        pytest.param("contoso.azurecr.io:4430/app", None, id="a port that begins so"),
        pytest.param("contoso.westeurope.geo.azurecr.xx/app", None, id="no cloud of Azure's"),
        pytest.param("contoso.azurecr.io/app:443/x", None, id="the port in the path"),
        pytest.param("contoso.azurecr.io/app", None, id="the registry itself"),
        pytest.param("x.contoso.westeurope.geo.azurecr.io/app", None, id="one label more"),
        pytest.param("contoso.geo.azurecr.io/app", None, id="one label less"),
        pytest.param("contoso.westeurope.geo.azurecr.io.evil.example/app", None, id="as a prefix"),
        pytest.param("contoso.westeurope.geoXazurecr.io/app", None, id="any character for a dot"),
        pytest.param("contoso.westeurope.xgeo.azurecr.io/app", None, id="run on"),
        pytest.param("evil.example/contoso.westeurope.geo.azurecr.io/app", None, id="in the path"),
        pytest.param("contoso.westeurope.geo.azurecr.io", None, id="no repository"),
        pytest.param("-x.westeurope.geo.azurecr.io/app", None, id="no registry's name"),
    ],
)
def test_a_regional_endpoint_is_its_registry(url: str, expected: str | None) -> None:
    """A regional endpoint is replaced by the registry; everything else stays as it is."""
    assert registry_key(url) == (url if expected is None else expected)


@given(ANY_TEXT | URL_LIKE)
def test_no_text_makes_it_raise(text: str) -> None:
    """Any text has a key, and that key is its own."""
    assert registry_key(registry_key(text)) == registry_key(text)
