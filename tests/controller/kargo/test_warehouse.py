"""What is kept of a Warehouse, from objects that hold every kind of nonsense."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.warehouse import UNREADABLE, Warehouse, decode_warehouse
from controller.repositories.keys import subscription_key
from tests.strategies import JSON

URLS = {
    "image": "contoso.azurecr.io/app",
    "git": "https://dev.azure.com/contoso/proj/_git/repo",
    "chart": "oci://contoso.azurecr.io/charts/app",
}
ALL = {subscription_key(kind, url) for kind, url in URLS.items()}
GOOD = [{kind: {"repoURL": url}} for kind, url in URLS.items()]
DEPTHS = [pytest.param(depth, id=f"{depth} levels") for depth in (500, 2_000, 9_000)]


def raw(subscriptions: Any = None, *, status: Any = None, annotations: Any = None, **metadata: Any) -> bytes:
    meta = {"name": "w", "namespace": "p", "uid": "u", "resourceVersion": "7", **metadata}
    if annotations is not None:
        meta["annotations"] = annotations
    return json.dumps({"metadata": meta, "spec": {"subscriptions": subscriptions}, "status": status}).encode()


def decode(body: bytes, stored: Warehouse | None = None) -> Warehouse:
    return decode_warehouse(body, lambda namespace, name: stored)


def test_what_is_kept() -> None:
    """Identity, and one key for each subscription to a repository."""
    found = decode(raw(GOOD))
    assert (found.namespace, found.name, found.uid, found.version) == ("p", "w", "u", "7")
    assert found.target == ("Warehouse", "p", "w")
    assert set(found.keys) == ALL


def test_keys_are_distinct() -> None:
    """Two subscriptions to one repository, by whatever URLs, are one key."""
    twice = [
        {"git": {"repoURL": "https://dev.azure.com/contoso/proj/_git/repo"}},
        {"git": {"repoURL": "git@ssh.dev.azure.com:v3/contoso/proj/repo"}},
    ]
    assert len(decode(raw(twice)).keys) == 1


@pytest.mark.parametrize(
    ("nonsense", "unreadable"),
    [
        pytest.param(None, False, id="null"),
        pytest.param(7, False, id="a number"),
        pytest.param("x", False, id="text"),
        pytest.param([], False, id="a list"),
        pytest.param({}, False, id="an empty subscription"),
        pytest.param({"image": None}, False, id="image is null"),
        pytest.param({"image": 7}, True, id="image is a number"),
        pytest.param({"image": [URLS["image"]]}, True, id="image is a list"),
        pytest.param({"image": {}}, True, id="no URL"),
        pytest.param({"image": {"repoURL": None}}, True, id="URL is null"),
        pytest.param({"image": {"repoURL": 7}}, True, id="URL is a number"),
        pytest.param({"image": {"repoURL": [URLS["image"]]}}, True, id="URL is a list"),
        pytest.param({"image": {"repoURL": ""}}, True, id="URL is empty"),
        pytest.param({"git": {"repourl": "https://x/y"}}, True, id="URL under another name"),
        pytest.param({"s3": {"bucket": "b", "repoURL": "x/y"}}, False, id="another kind of subscription"),
        pytest.param({"subscriptionType": "s3", "config": {"a": [1]}}, False, id="a kind of tomorrow"),
    ],
)
def test_odd_subscription(nonsense: Any, unreadable: bool) -> None:
    """A subscription that makes no sense is skipped and noted, and those around it are served."""
    odd = {UNREADABLE} if unreadable else set()
    assert set(decode(raw([*GOOD[:1], nonsense, *GOOD[1:]])).keys) == ALL | odd
    assert set(decode(raw([nonsense])).keys) == odd


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"image": {"repoURL": URLS["image"]}, "git": 7}, id="beside a number"),
        pytest.param({"image": {"repoURL": URLS["image"]}, "git": None}, id="beside null"),
        pytest.param({"image": {"repoURL": URLS["image"], "semverConstraint": 7}}, id="beside an odd field"),
        pytest.param({"image": {"repoURL": URLS["image"]}, "chart": {"repoURL": {}}}, id="beside an object"),
    ],
)
def test_half_odd_subscription(odd: Any) -> None:
    """Of a subscription that is half nonsense, the other half is served."""
    keys = decode(raw([odd])).keys
    assert [key for key in keys if key != UNREADABLE] == [subscription_key("image", URLS["image"])]


@pytest.mark.parametrize("subscriptions", [None, 7, "x", {}, {"image": {"repoURL": "x/y"}}, True])
def test_subscriptions_that_are_no_list(subscriptions: Any) -> None:
    """No list is no subscription."""
    assert decode(raw(subscriptions)).keys == (() if subscriptions is None else (UNREADABLE,))


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"spec": None}, id="spec is null"),
        pytest.param({"spec": []}, id="spec is a list"),
        pytest.param({"spec": "x", "status": 7}, id="both odd"),
        pytest.param({"spec": {}}, id="spec is empty"),
    ],
)
def test_odd_spec(rest: dict[str, Any]) -> None:
    """A Warehouse without a usable spec is kept, and matches nothing."""
    found = decode(json.dumps({"metadata": {"name": "w"}, **rest}).encode())
    assert (found.name, found.namespace, found.keys) == ("w", "", ())


@pytest.mark.parametrize("status", [None, 7, "x", [], {}, {"lastHandledRefresh": []}, {"discovered": [[1]]}])
def test_odd_status(status: Any) -> None:
    """Nonsense in status costs no subscription."""
    found = decode(raw(GOOD, status=status, annotations={"kargo.akuity.io/refresh": "now"}))
    assert set(found.keys) == ALL
    assert (found.requested, found.handled) == ("now", "")


def test_many_subscriptions() -> None:
    """10,000 subscriptions are served, each of them."""
    many = [{"image": {"repoURL": f"contoso.azurecr.io/app-{number}"}} for number in range(10_000)]
    assert len(decode(raw([*many, 7])).keys) == 10_000


def test_huge_url() -> None:
    """A URL of a megabyte is a key like any other."""
    url = "contoso.azurecr.io/" + "a" * 1_000_000
    assert decode(raw([{"image": {"repoURL": url}}])).keys == (subscription_key("image", url),)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
@pytest.mark.parametrize(
    "where",
    [
        pytest.param(b'"spec":{"subscriptions":[%s,%%s]}', id="in subscriptions"),
        pytest.param(b'"spec":{"subscriptions":[%s,{"kind":"x","config":%%s}]}', id="in a subscription"),
        pytest.param(b'"spec":{"subscriptions":[%s],"x":%%s}', id="in spec"),
        pytest.param(b'"spec":{"subscriptions":[%s]},"status":{"x":%%s}', id="in status"),
        pytest.param(b'"spec":{"subscriptions":[%s]},"status":%%s', id="as status"),
        pytest.param(b'"spec":{"subscriptions":[%s]},"x":%%s', id="beside spec"),
    ],
)
def test_deep_json(depth: int, opening: bytes, closing: bytes, where: bytes) -> None:
    """JSON nested as deeply as the API server takes it (10,000 levels) costs no subscription."""
    good = json.dumps(GOOD)[1:-1].encode()
    deep = opening * depth + b"1" + closing * depth
    body = b'{"metadata":{"name":"w","namespace":"p"},' + where % good % deep + b"}"
    found = decode(body)
    assert (found.namespace, found.name) == ("p", "w")
    assert set(found.keys) == ALL


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"metadata":null}', b'{"metadata":{"name":7}}']
)
def test_without_identity_it_is_refused(body: bytes) -> None:
    """What has no name can only be left out."""
    with pytest.raises(msgspec.MsgspecError):
        decode(body)


@given(st.lists(st.one_of(JSON, st.dictionaries(st.sampled_from(sorted(URLS)), JSON))), JSON, JSON)
def test_anything_is_read(subscriptions: list[Any], status: Any, annotation: Any) -> None:
    """Whatever stands around them, good subscriptions are served."""
    body = raw([*subscriptions, *GOOD], status=status, annotations={"kargo.akuity.io/refresh": annotation})
    assert set(decode(body).keys) >= ALL


# --- what an update keeps ---


def test_unchanged_subscriptions_keep_their_keys() -> None:
    """An update of status, as most are, keeps keys and identity as they were: no garbage, no index work."""
    stored = decode(raw(GOOD))
    new = decode(raw(GOOD, status={"lastHandledRefresh": "x"}, resourceVersion="8"), stored)
    assert new.keys is stored.keys
    assert new.target is stored.target
    assert new.version == "8"


def test_changed_subscriptions_give_new_keys() -> None:
    """An update of spec is seen, and only the keys are made anew."""
    stored = decode(raw(GOOD))
    new = decode(raw(GOOD[:1], resourceVersion="8"), stored)
    assert len(new.keys) == 1
    assert new.target is stored.target


# --- requested and handled ---


@pytest.mark.parametrize(
    ("annotation", "status", "requested", "handled"),
    [
        pytest.param(None, None, "", "", id="never asked"),
        pytest.param("2", None, "2", "", id="asked, never handled"),
        pytest.param("2", {"lastHandledRefresh": "1"}, "2", "1", id="asked again"),
        pytest.param("2", {"lastHandledRefresh": "2"}, "", "", id="handled"),
        pytest.param(None, {"lastHandledRefresh": "2"}, "", "", id="annotation taken off"),
        pytest.param("2", {"lastHandledRefresh": 2}, "2", "", id="handled is a number"),
        pytest.param(2, {"lastHandledRefresh": "2"}, "", "", id="annotation is a number"),
        pytest.param("", {"lastHandledRefresh": "2"}, "", "", id="annotation is empty"),
    ],
)
def test_requested_and_handled(annotation: Any, status: Any, requested: str, handled: str) -> None:
    """A refresh is outstanding while annotation and status differ."""
    found = decode(raw(GOOD, status=status, annotations={"kargo.akuity.io/refresh": annotation}))
    assert (found.requested, found.handled) == (requested, handled)


@pytest.mark.parametrize(
    ("annotation", "refreshed"),
    [
        pytest.param("2027-01-15T08:00:00Z", 1_800_000_000.0, id="as Kargo writes it"),
        pytest.param("2027-01-15T08:00:00.500000123Z", 1_800_000_000.5, id="as we write it"),
        pytest.param("2027-01-15T09:00:00+01:00", 1_800_000_000.0, id="with a time zone"),
        pytest.param("yesterday", 0.0, id="no time"),
        pytest.param("0001-01-01T00:00:00Z", -62_135_596_800.0, id="the first of all times"),
        pytest.param("", 0.0, id="empty"),
        pytest.param(None, 0.0, id="none"),
    ],
)
def test_when_it_was_refreshed(annotation: str | None, refreshed: float) -> None:
    """The annotation names the time, handled or not."""
    for handled in (annotation, "another"):
        body = raw(
            GOOD,
            status={"lastHandledRefresh": handled},
            annotations={"kargo.akuity.io/refresh": annotation} if annotation is not None else None,
        )
        assert decode(body).refreshed == refreshed
