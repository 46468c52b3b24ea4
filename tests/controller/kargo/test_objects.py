"""Kargo's configs and the Secrets beside them, read from objects that may hold nonsense."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.objects import Config, ReceiverSpec, Secret, decode_config, decode_secret
from tests.strategies import JSON

META = {"name": "p", "namespace": "p", "uid": "u", "resourceVersion": "7"}


def unknown(namespace: str, name: str) -> None:
    """Look up nothing: no object is stored."""


def config(spec: Any = None, status: Any = None) -> Config:
    raw = {"metadata": META, "spec": spec, "status": status}
    return decode_config(json.dumps(raw).encode(), unknown)


def secret(data: Any) -> Secret:
    return decode_secret(json.dumps({"metadata": META, "data": data}).encode(), unknown)


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def azure(name: Any, reference: Any = "s") -> dict[str, Any]:
    return {"name": name, "azure": {"secretRef": {"name": reference}}}


def test_config() -> None:
    """Ours are picked from the list, the rest is kept as it is."""
    entries = [{"name": "az", "path": "/a", "url": "u", "more": [1]}, {"name": "gh", "path": "/g"}]
    ours, ready = {"type": "AzureReceiversReady", "status": "True"}, {"type": "Ready", "x": 1}
    found = config(
        {"webhookReceivers": [azure("az"), {"name": "gh", "github": {}}, azure("b", "t")]},
        {"webhookReceivers": entries, "conditions": [ready, ours], "observedGeneration": 3},
    )
    assert (found.namespace, found.name, found.uid, found.version) == ("p", "p", "u", "7")
    assert found.receivers == (ReceiverSpec("az", "s"), ReceiverSpec("b", "t"))
    assert found.order == ("az", "gh", "b")
    assert list(found.entries) == entries
    assert found.condition == ours
    assert found.conditions == (ready, ours)


@pytest.mark.parametrize(
    ("receivers", "found"),
    [
        pytest.param(None, (), id="null"),
        pytest.param({}, (), id="an object"),
        pytest.param("az", (), id="text"),
        pytest.param([None, 7, "az", [], {}], (), id="items that are none"),
        pytest.param([azure(None), azure(7), azure("")], (), id="names that are none"),
        pytest.param(
            [{"name": "az", "azure": None}, {"name": "b", "azure": []}], (), id="azure is no object"
        ),
        pytest.param([{"name": "az", "azure": {}}], (("az", ""),), id="reference missing"),
        pytest.param([{"name": "az", "azure": {"secretRef": 7}}], (("az", ""),), id="reference is a number"),
        pytest.param([azure("az", None), azure("b", 7)], (("az", ""), ("b", "")), id="Secret's name odd"),
        pytest.param(
            [azure("az", {"a": 1}), azure("b")], (("az", ""), ("b", "s")), id="neighbours are served"
        ),
    ],
)
def test_odd_specs(receivers: Any, found: tuple[tuple[str, str], ...]) -> None:
    """A receiver that makes no sense is left out or faulty, and its neighbours are served."""
    assert config({"webhookReceivers": receivers}).receivers == tuple(ReceiverSpec(*each) for each in found)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *((name, True) for name in ("a", "a.b", "0-a.b-1", "a" * 253)),
        *((name, False) for name in ("50%", "..", "a,b", "a/b", "A", "-a", "a-", "a..b", "a b", "ä", "a\n")),
        ("a" * 254, False),
        ("a=b" * 100_000, False),
    ],
)
def test_names_of_secrets(name: str, good: bool) -> None:
    """What the API server would refuse as a name is told apart, and only its beginning is kept."""
    (found,) = config({"webhookReceivers": [azure("az", name)]}).receivers
    assert found == (("az", name, "") if good else ("az", "", name[:60]))


def test_so_many_receivers_are_served() -> None:
    """The first 200 of spec; the others are counted, and their names are still in the order of spec."""
    found = config({"webhookReceivers": [azure(f"r-{number}") for number in range(4_000)]})
    assert [spec.name for spec in found.receivers] == [f"r-{number}" for number in range(200)]
    assert found.surplus == 3_800
    assert len(found.order) == 4_000


@pytest.mark.parametrize("nonsense", [None, 7, "x", [], [7], {"webhookReceivers": 7, "conditions": {}}])
def test_odd_parts(nonsense: Any) -> None:
    """Spec and status of any type give a config without receivers and entries."""
    found = config(nonsense, nonsense)
    assert (found.receivers, found.order, found.entries, found.conditions) == ((), (), (), ())
    assert found.condition is None


def test_the_cluster_config_has_no_namespace() -> None:
    """That is how it is told from a Project called ``cluster``."""
    found = decode_config(b'{"metadata":{"name":"cluster"}}', unknown)
    assert (found.namespace, found.name) == ("", "cluster")


@given(JSON, JSON)
def test_any_config_is_read(spec: Any, status: Any) -> None:
    """Whatever stands in spec and status, the object is read."""
    assert config({"webhookReceivers": spec}, {"webhookReceivers": status, "conditions": status}).name == "p"
    assert config(spec, status).name == "p"


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"metadata":{}}', b'{"metadata":{"name":7}}', b"{", b""])
def test_without_identity_it_is_refused(raw: bytes) -> None:
    """An object that has no name can only be left out."""
    with pytest.raises(msgspec.MsgspecError):
        decode_config(raw, unknown)
    with pytest.raises(msgspec.MsgspecError):
        decode_secret(raw, unknown)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param({"secret": encoded(b"s3cret")}, b"s3cret", id="text"),
        pytest.param({"secret": encoded(b"\x00\xff\n")}, b"\x00\xff\n", id="bytes as they are"),
        pytest.param({"secret": ""}, b"", id="empty"),
        pytest.param({"other": encoded(b"x")}, b"", id="key missing"),
        pytest.param({}, b"", id="no key at all"),
        pytest.param(None, b"", id="no data"),
        pytest.param({"secret": None}, b"", id="null"),
        pytest.param({"secret": 7}, b"", id="a number"),
        pytest.param({"secret": "no base64!"}, b"", id="no base64"),
        pytest.param({"secret": "ü"}, b"", id="no ASCII"),
    ],
)
def test_secret(data: Any, value: bytes) -> None:
    """The secret is its decoded bytes; without a usable one it is empty."""
    assert secret(data).secret == value


def test_second_factor_keys() -> None:
    """Its keys are read; what is not there is None, what is there may be empty."""
    found = secret({"receiver-username": encoded(b"me"), "receiver-password": "", "username": encoded(b"x")})
    assert (found.username, found.password, found.authorization) == (b"me", b"", None)


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(["secret", "receiver-username"]), JSON)))
def test_any_secrets_values_are_read(data: Any) -> None:
    """Values of any type in a Secret's keys give a Secret, if a useless one."""
    if data is None or isinstance(data, dict):
        assert secret(data).name == "p"


def test_a_secret_does_not_show_itself() -> None:
    """Neither in a log line nor in a traceback."""
    found = secret({"secret": encoded(b"s3cret"), "receiver-password": encoded(b"pw")})
    assert "s3cret" not in repr(found)
    assert "pw" not in repr(found)
    assert str(found) == "Secret(p/p)"
