"""Subscriptions that no event can match, Warehouses that nobody covers, refreshes that Kargo leaves lying."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cli.checks.findings import Level
from controller.cli.checks.warehouses import PATIENCE, hopeless, judge, judge_refreshes
from controller.cli.explanation import read_warehouses
from controller.kargo.warehouse import Warehouse, decode_warehouse
from tests.strategies import ANY_TEXT, URL_LIKE

NOW = 1_800_000_000.0
_PART = r"[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8}){0,3}"
REPOSITORIES = st.from_regex(rf"{_PART}(?:/{_PART}){{0,3}}", fullmatch=True)
"""As the OCI distribution specification has them, in ASCII."""
LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        pytest.param("image", "https://contoso.azurecr.io", id="a host alone"),
        pytest.param("image", "https://contoso.azurecr.io/app", id="a scheme before an image"),
        pytest.param("image", "contoso.azurecr.io", id="no repository"),
        pytest.param("chart", "https://contoso.azurecr.io/helm/v1/repo", id="the old chart repository"),
        pytest.param("chart", "https://CONTOSO.azurecr.cn/helm/v1/repo/", id="in another cloud"),
        pytest.param("git", "https://dev.azure.com/contoso/shop/manifests", id="without _git"),
        pytest.param("git", "https://contoso.visualstudio.com/shop/manifests", id="the old host"),
        pytest.param("git", "https://user:token@dev.azure.com/contoso/_git", id="no repository's name"),
    ],
)
def test_a_spelling_that_cannot_match(kind: str, url: str) -> None:
    """Each is told how to write it."""
    assert "write " in hopeless(kind, url)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        pytest.param("image", "contoso.azurecr.io/app", id="an image"),
        pytest.param("image", "Contoso.azurecr.io/App:v1", id="upper case and a tag"),
        pytest.param("image", "contoso.westeurope.geo.azurecr.io/app", id="a regional endpoint"),
        pytest.param("image", "contoso.azurecr.io:443/app", id="the default port"),
        pytest.param("chart", "oci://contoso.azurecr.io/charts/app", id="a chart"),
        pytest.param("git", "https://dev.azure.com/contoso/shop/_git/manifests", id="Azure DevOps"),
        pytest.param("git", "https://user@dev.azure.com/contoso/shop/_git/my%20repo.git", id="a user"),
        pytest.param("git", "git@ssh.dev.azure.com:v3/contoso/shop/manifests", id="SSH"),
        pytest.param("git", "https://contoso.visualstudio.com/_git/manifests", id="the old host"),
        pytest.param("git", "https://tfs.example.com/tfs/DefaultCollection/shop/_git/r", id="a server"),
        pytest.param("git", "https://github.com/azurecr.io/dev.azure.com", id="elsewhere"),
        pytest.param("image", "dev.azure.com.evil.example/app", id="a look-alike"),
        pytest.param("chart", "https://charts.example.com/azurecr.io", id="another chart repository"),
    ],
)
def test_no_false_alarm(kind: str, url: str) -> None:
    """What some event matches, and what is not in Azure, is left alone."""
    assert hopeless(kind, url) == ""


@given(REPOSITORIES, URL_LIKE | ANY_TEXT)
def test_a_repository_that_can_be_pushed_to_is_never_hopeless(repository: str, text: str) -> None:
    """However it is called, as image and as chart; and any text is judged."""
    assert hopeless("image", f"contoso.azurecr.io/{repository}") == ""
    assert hopeless("chart", f"oci://contoso.azurecr.io/{repository}") == ""
    for kind in ("image", "chart", "git"):
        assert isinstance(hopeless(kind, text), str)


def warehouse(name: str, namespace: str = "shop", **fields: Any) -> bytes:
    meta = {"namespace": namespace, "name": name, "annotations": fields.get("annotations", {})}
    spec = {"subscriptions": fields.get("subscriptions", [])}
    return json.dumps({"metadata": meta, "spec": spec, "status": fields.get("status", {})}).encode()


def test_what_no_receiver_covers_is_one_line() -> None:
    """Azure's repositories only; a receiver of the cluster covers all."""
    app = [{"image": {"repoURL": "contoso.azurecr.io/app"}}]
    raw = [warehouse(f"app-{n}", subscriptions=app) for n in range(7)]
    raw.append(warehouse("hub", "other", subscriptions=[{"image": {"repoURL": "nginx"}}]))
    subscriptions = read_warehouses(raw)[0]
    (found,) = judge(subscriptions, everywhere=False, projects=["other"])
    assert (found.level, found.subject) == (Level.WARNING, "Warehouses")
    assert found.text == "no receiver covers 7 Warehouses with Azure subscriptions in 1 Project"
    assert found.names == tuple(f"shop/app-{n}" for n in range(7))
    assert found.line().endswith(" in 1 Project: " + ", ".join(found.names[:5]) + " and 2 more")
    for everywhere, projects in ((True, ()), (False, ("shop",))):
        (found,) = judge(subscriptions, everywhere, projects)
        assert (found.level, found.text) == (
            Level.OK,
            "7 with Azure subscriptions, all of them covered",
        )


def test_each_kind_of_misspelling_is_one_line() -> None:
    """However many Warehouses have it; all of them are named, each with what it says."""
    raw = []
    for number in range(300):
        spelled = {"image": f"https://contoso.azurecr.io/{number}", "git": "https://dev.azure.com/o/p/r"}
        old = {"chart": f"https://x{number}.azurecr.io/helm/v1/repo"}
        subscriptions = [{kind: {"repoURL": url}} for kind, url in (spelled | old).items()]
        raw.append(warehouse(f"w{number}", f"project-{number}", subscriptions=subscriptions))
    found = judge(read_warehouses(raw)[0], everywhere=True, projects=())
    assert len(found) == len({each.do for each in found}) == 3
    for each in found:
        assert each[:3] == (Level.WARNING, "Warehouses", "300 subscriptions can never match an event")
        assert len(each.names) == 300
        assert each.line().endswith(" and 295 more")
    named = {name for each in found for name in each.names}
    assert "project-7/w7 image https://contoso.azurecr.io/7" in named
    assert "project-7/w7 git https://dev.azure.com/o/p/r" in named
    assert "project-299/w299 chart https://x299.azurecr.io/helm/v1/repo" in named


def decoded(name: str, handled: str, asked: str = LONG_AGO) -> Warehouse:
    annotations = {"kargo.akuity.io/refresh": asked}
    raw = warehouse(name, annotations=annotations, status={"lastHandledRefresh": handled})
    return decode_warehouse(raw, lambda *_: None)


def test_a_refresh_that_kargo_leaves_lying() -> None:
    """Only what differs, and for long."""
    handled, left = decoded("handled", LONG_AGO), decoded("left", "2025-01-01T00:00:00Z")
    (found,) = judge_refreshes([handled, left], NOW, "kargo")
    assert found.level is Level.WARNING
    assert "refresh of 1 Warehouse" in found.text
    assert found.names == ("shop/left",)
    assert judge_refreshes([handled], NOW, "kargo")[0].level is Level.OK
    assert judge_refreshes([left], left.refreshed + PATIENCE, "kargo")[0].level is Level.OK
