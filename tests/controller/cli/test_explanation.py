"""What ``explain`` says of an event or a Warehouse, from the objects that the cluster holds."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cli.cluster import explained
from controller.cli.explanation import (
    Covering,
    Holdings,
    QuestionError,
    explain,
    explain_warehouse,
    lines,
    read_question,
    read_warehouses,
)
from controller.kargo.promotion import decode_promotion
from controller.runtime.api.errors import NotFound
from tests.strategies import ANY_TEXT, JSON, PAYLOADS, URL_LIKE

GIT = "https://dev.azure.com/contoso/shop/_git/manifests"
IMAGE = "contoso.azurecr.io/storefront/api"
SHOP, EVERYWHERE = Covering("shop", "az", True), Covering("cluster", "all", True)
BROKEN = Covering("shop", "lost", False, 'Secret "lost" does not exist')


def warehouse(name: str, *subscriptions: Any, namespace: str = "shop") -> bytes:
    meta = {"namespace": namespace, "name": name}
    written = json.dumps(
        {"metadata": meta, "spec": {"subscriptions": list(subscriptions)}}, ensure_ascii=False
    )
    return written.encode(errors="replace")  # the API server stores no half of a surrogate pair


def git(url: str = GIT, **selectors: Any) -> dict[str, Any]:
    return {"git": {"repoURL": url, **selectors}}


def image(url: str = IMAGE, **selectors: Any) -> dict[str, Any]:
    return {"image": {"repoURL": url, **selectors}}


def held(*warehouses: bytes, rows: tuple[Covering, ...] = (SHOP,)) -> Holdings:
    return Holdings(rows, *read_warehouses(warehouses))


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['namespace']}/{row['name']}" for row in rows]


def test_what_is_refreshed_is_shown_with_its_selectors() -> None:
    """Verbatim, since Kargo may find nothing new for them; and with the receivers that reach it."""
    cluster = held(
        warehouse("main", git(branch="release"), image()),
        warehouse("ssh", git("git@ssh.dev.azure.com:v3/contoso/shop/manifests")),
        warehouse("api", image(constraint="^1.0.0")),
        warehouse("other", git(), namespace="elsewhere"),
        rows=(SHOP, BROKEN),
    )
    report = explain(GIT, cluster)
    assert report["matches"]
    assert [
        (f"{each['namespace']}/{each['name']}", each["kind"], each["selectors"])
        for each in report["refreshed"]
    ] == [("shop/main", "git", {"branch": "release"}), ("shop/ssh", "git", {})]
    assert report["receivers"] == [
        {"receiver": "shop/az", "served": True, "problem": "", "refreshes": 2},
        {"receiver": "shop/lost", "served": False, "problem": BROKEN.problem, "refreshes": 0},
    ]
    assert names(report["near_misses"]) == ["elsewhere/other"]
    assert report["event"]["about"] == [
        {"kind": "git", "url": GIT, "compared_as": ["ado contoso/shop/manifests"]}
    ]


def test_a_receiver_of_the_cluster_reaches_every_project() -> None:
    """And one that is not served reaches none."""
    one = warehouse("w", git(), namespace="elsewhere")
    assert names(explain(GIT, held(one, rows=(SHOP, EVERYWHERE)))["refreshed"]) == ["elsewhere/w"]
    lost = Covering("cluster", "all", False, "no Secret")
    report = explain(GIT, held(one, rows=(lost,)))
    assert not report["matches"]
    assert names(report["near_misses"]) == ["elsewhere/w"]


def test_a_receiver_is_served_although_something_is_wrong() -> None:
    """A short Secret is served: what it refreshes is shown, and what is wrong."""
    report = explain(GIT, held(warehouse("w", git()), rows=(SHOP._replace(problem="short"),)))
    assert report["matches"]
    assert "  shop/az: served, refreshes 1 (short)" in lines(report)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        pytest.param(warehouse("w", git(), namespace="elsewhere"), "a Project that no", id="out of scope"),
        pytest.param(warehouse("w", git(f"{GIT}?path=/x")), "in a spelling", id="spelling"),
        pytest.param(warehouse("w", image("dev.azure.com/contoso/shop/manifests")), "Git against", id="kind"),
        pytest.param(
            warehouse("w", git("https://github.com/contoso/manifests")), "another place", id="place"
        ),
        pytest.param(warehouse("w", {"git": {"repoURL": 7}}), "can't be read", id="unreadable"),
        pytest.param(
            json.dumps(
                {"metadata": {"namespace": "shop", "name": "w"}, "spec": {"subscriptions": 1}}
            ).encode(),
            "can't be read",
            id="no list",
        ),
    ],
)
def test_nothing_matches_but_nearly(one: bytes, why: str) -> None:
    """Each kind of near miss is said in words."""
    report = explain(GIT, held(one))
    assert not report["matches"]
    (miss,) = report["near_misses"]
    assert why in miss["why"]
    assert names([miss])[0].endswith("/w")
    assert any(why in line for line in lines(report))


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_a_payload_is_read_as_the_receiver_reads_it(name: str) -> None:
    """What concerns no repository has nothing to refresh."""
    cluster = held(warehouse("w", image("contoso.azurecr.io/team/hello-world")))
    if name in ("ado_push_minimal", "ado_push_none"):
        with pytest.raises(QuestionError, match='choose "All"'):
            explain(PAYLOADS[name], cluster)
        return
    report = explain(PAYLOADS[name], cluster)
    assert report["event"]["type"]
    assert report["matches"] == (b"hello-world" in PAYLOADS[name] and bool(report["event"]["about"]))
    assert lines(report)


def test_a_pull_request_wakes_promotions() -> None:
    """By any URL of its page."""
    promotion = decode_promotion(
        json.dumps(
            {
                "metadata": {"namespace": "shop", "name": "promo", "uid": "u", "resourceVersion": "1"},
                "spec": {"steps": [{"uses": "git-wait-for-pr", "as": "wait"}]},
                "status": {"phase": "Running", "state": {"wait": {"pr": {"url": f"{GIT}/pullrequest/7"}}}},
            }
        ).encode(),
        lambda *_: None,
    )
    assert promotion is not None
    cluster = held(warehouse("w", git()))._replace(promotions=[promotion])
    page = (
        "https://contoso.visualstudio.com/DefaultCollection/shop/_git/manifests/pullrequest/7#view=discussion"
    )
    assert names(explain(page, cluster)["refreshed"]) == ["shop/promo"]
    assert not explain(f"{GIT}/pullrequest/8", cluster)["matches"]


@pytest.mark.parametrize(
    ("name", "namespace"), [("shop/main", None), ("main", "shop")], ids=["with its Project", "with -n"]
)
def test_a_warehouse_is_explained_by_what_reaches_it(name: str, namespace: str | None) -> None:
    """Its subscriptions as events name them, and the receivers that cover it."""
    cluster = held(warehouse("main", git(), image()), warehouse("x", git()), rows=(SHOP, BROKEN, EVERYWHERE))
    report = explain_warehouse(name, namespace, cluster)
    assert report is not None
    assert report["matches"]
    assert {(each["kind"], each["url"]) for each in report["reached_by"]} == {("git", GIT), ("image", IMAGE)}
    assert [each["receiver"] for each in report["receivers"]] == ["shop/az", "shop/lost", "cluster/all"]
    assert explain_warehouse("nobody", "shop", cluster) is None
    assert explain_warehouse("main", None, cluster) is None


def test_a_warehouse_that_nothing_reaches() -> None:
    """Without a served receiver, or without subscriptions that can be read."""
    unserved = explain_warehouse("shop/main", None, held(warehouse("main", git()), rows=(BROKEN,)))
    odd = explain_warehouse("shop/main", None, held(warehouse("main", {"git": 1})))
    assert unserved is not None
    assert odd is not None
    assert not unserved["matches"]
    assert not odd["matches"]
    assert "some of its subscriptions can't be read" in lines(odd)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param(GIT, "git", id="web"),
        pytest.param("git@ssh.dev.azure.com:v3/o/p/r", "git", id="scp"),
        pytest.param("ssh://git@tfs.example/c/p/_git/r", "git", id="ssh"),
        pytest.param(IMAGE, "image", id="image"),
        pytest.param(f"oci://{IMAGE}", "image", id="chart"),
        pytest.param(f"https://{IMAGE}", "image", id="a registry's web URL"),
        pytest.param("registry.example/app", "image", id="another registry"),
        pytest.param(f"{GIT}/pullrequest/7", "pull_request", id="pull request"),
    ],
)
def test_a_url_is_read_as_what_it_is(url: str, kind: str) -> None:
    """Nobody has to say whether it is a repository's or an image's."""
    assert read_question(url)[1][0].kind == kind


@pytest.mark.parametrize("text", ["", "nonsense", "what is this?", "a b/c", "shop/misspelt"])
def test_nonsense_is_refused(text: str) -> None:
    """With what would be understood."""
    with pytest.raises(QuestionError, match=r"neither a repository's URL nor the name of a Warehouse"):
        read_question(text)


def test_a_cluster_without_kargo_is_said_to_be_one() -> None:
    """In one line."""
    error = NotFound("not found", status=404, verb="list", resource="warehouses")
    assert explained(error) == "the cluster has no warehouses: is Kargo installed in it?"


def test_no_credential_is_shown() -> None:
    """Neither of a payload, nor of a URL in it or in a Warehouse."""
    secret = "hunter2"
    url = f"https://user:{secret}@dev.azure.com/contoso/shop/_git/manifests"
    payload = json.dumps(
        {
            "eventType": "git.push",
            "x": secret,
            "resource": {"repository": {"remoteUrl": f"{url}?token={secret}"}},
        }
    ).encode()
    for question in (payload, url, f"{url}?token={secret}"):
        report = explain(
            question, held(warehouse("w", git(url)), warehouse("v", git(f"{url}?token={secret}")))
        )
        assert secret not in json.dumps(report)
        assert secret not in "\n".join(lines(report))


@given(URL_LIKE | ANY_TEXT, JSON)
def test_anything_is_explained_in_printable_lines(url: str, subscription: Any) -> None:
    """No URL and no Warehouse makes it raise anything else, or writes an escape to a terminal."""
    cluster = held(warehouse("w", subscription), warehouse("v", git(url), {"chart": subscription}))
    try:
        report = explain(url, cluster)
    except QuestionError:
        return
    assert all(line.isprintable() for line in lines(report))


@given(st.binary())
def test_any_bytes_are_a_payload_or_refused(payload: bytes) -> None:
    """As the receiver would."""
    with contextlib.suppress(QuestionError):
        read_question(payload)
