"""Which Promotions are kept: the running ones that wait on a pull request, under its URL."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from controller.kargo.promotion import Promotion, decode_promotion
from controller.repositories.keys import pull_request_key
from tests.strategies import JSON

URL = "https://dev.azure.com/contoso/proj/_git/repo/pullrequest/7"
OTHER = "https://dev.azure.com/contoso/proj/_git/repo/pullrequest/8"
WAIT = "git-wait-for-pr"
META = {"name": "promo", "namespace": "p", "uid": "u", "resourceVersion": "7"}


def decode(
    steps: Any,
    state: Any,
    current: Any = 0,
    *,
    phase: Any = "Running",
    stored: Promotion | None = None,
    version: str = "7",
) -> Promotion | None:
    status = {"phase": phase, "currentStep": current, "state": state}
    raw = {"metadata": {**META, "resourceVersion": version}, "spec": {"steps": steps}, "status": status}
    return decode_promotion(json.dumps(raw).encode(), lambda namespace, name: stored)


def waiting(alias: str | None = "wait") -> dict[str, Any]:
    return {"uses": WAIT, **({"as": alias} if alias is not None else {})}


def opened(url: Any = URL) -> dict[str, Any]:
    return {"pr": {"id": 7, "url": url}}


def test_what_is_kept() -> None:
    """Identity, and the pull request that is waited on."""
    found = decode([{"uses": "git-clone"}, waiting()], {"wait": opened()}, 1)
    assert found is not None
    assert (found.namespace, found.name, found.uid, found.version) == ("p", "promo", "u", "7")
    assert found.target == ("Promotion", "p", "promo")
    assert found.keys == (pull_request_key(URL),)


@pytest.mark.parametrize(
    "phase", ["Pending", "Succeeded", "Failed", "Errored", "Aborted", "", None, 7, ["Running"]]
)
def test_only_running_promotions_wait(phase: Any) -> None:
    """What has not begun or has ended waits on nothing."""
    assert decode([waiting()], {"wait": opened()}, phase=phase) is None


@pytest.mark.parametrize(
    ("steps", "state", "current", "keys"),
    [
        pytest.param([waiting()], {"wait": opened()}, 0, [URL], id="the current step"),
        pytest.param([waiting(), {"uses": "x"}], {"wait": opened()}, 1, [URL], id="an earlier step"),
        pytest.param([{"uses": "x"}, waiting()], {"wait": opened()}, 0, [], id="a later step"),
        pytest.param([waiting(None)], {"step-0": opened()}, 0, [URL], id="Kargo's default alias"),
        pytest.param([{"uses": "x"}, waiting("")], {"step-1": opened()}, 1, [URL], id="alias empty"),
        pytest.param([waiting()], {"step-0": opened()}, 0, [], id="another step's output"),
        pytest.param([{"uses": "git-open-pr", "as": "wait"}], {"wait": opened()}, 0, [], id="another step"),
        pytest.param(
            [waiting("a"), waiting("b")], {"a": opened(), "b": opened(OTHER)}, 1, [URL, OTHER], id="two"
        ),
        pytest.param([waiting("a"), waiting("b")], {"a": opened(), "b": opened()}, 1, [URL], id="one, twice"),
        pytest.param(
            [waiting("a"), waiting("b")],
            {"a": opened(), "b": opened("https://contoso.visualstudio.com/Proj/_git/Repo/pullrequest/7")},
            1,
            [URL],
            id="one, in two spellings",
        ),
        pytest.param([waiting()], {"wait": opened(None)}, 0, [], id="no URL yet"),
        pytest.param([waiting()], {"wait": opened("")}, 0, [], id="URL empty"),
        pytest.param([waiting()], {"wait": opened(7)}, 0, [], id="URL a number"),
        pytest.param([waiting()], {"wait": {"pr": [URL]}}, 0, [], id="output is a list"),
        pytest.param([waiting()], {"wait": None}, 0, [], id="no output yet"),
        pytest.param([waiting()], None, 0, [], id="no state yet"),
        pytest.param([waiting()], [opened()], 0, [], id="state is a list"),
        pytest.param([waiting()], {"wait": opened()}, None, [URL], id="first step, left out as 0 is"),
        pytest.param([waiting()], {"wait": opened()}, 99, [URL], id="beyond the last step"),
        pytest.param([waiting()], {"wait": opened()}, -5, [], id="before the first step"),
        pytest.param([waiting()], {"wait": opened()}, "0", [], id="step is text"),
        pytest.param(None, {"wait": opened()}, 0, [], id="no steps"),
        pytest.param({"0": waiting()}, {"wait": opened()}, 0, [], id="steps are an object"),
        pytest.param([None, 7, "x", waiting()], {"wait": opened()}, 3, [URL], id="odd steps beside"),
        pytest.param([{"uses": WAIT, "as": ["wait"]}], {"wait": opened()}, 0, [], id="alias is a list"),
        pytest.param([{"uses": [WAIT], "as": "wait"}], {"wait": opened()}, 0, [], id="uses is a list"),
    ],
)
def test_waiting(steps: Any, state: Any, current: Any, keys: list[str]) -> None:
    """A step waits if it is at or before the current one and its output names the pull request."""
    found = decode(steps, state, current)
    assert (found.keys if found is not None else ()) == tuple(map(pull_request_key, keys))


def test_an_update_keeps_the_identity() -> None:
    """Nothing is made anew that was there."""
    stored = decode([waiting()], {"wait": opened()})
    assert stored is not None
    new = decode([waiting()], {"wait": opened(OTHER)}, stored=stored, version="8")
    assert new is not None
    assert new.target is stored.target
    assert (new.version, new.keys) == ("8", (pull_request_key(OTHER),))


@given(JSON, JSON, JSON, JSON)
def test_anything_is_read(steps: Any, state: Any, current: Any, odd: Any) -> None:
    """No nonsense in a Promotion stops the others."""
    decode([odd, waiting()], {"wait": state, "step-0": odd}, 1)
    decode(steps, state, current)
    for part in ("spec", "status"):
        decode_promotion(json.dumps({"metadata": META, part: odd}).encode(), lambda *_: None)


@pytest.mark.parametrize("depth", [500, 2_000, 9_000])
def test_deep_state(depth: int) -> None:
    """The state is free-form: a step's output nested to the API server's limit hides no pull request."""
    deep = "[" * depth + "]" * depth
    state = json.dumps({"wait": opened()})[:-1]
    body = (
        f'{{"metadata":{json.dumps(META)},"spec":{{"steps":{json.dumps([waiting()])}}},'
        f'"status":{{"phase":"Running","state":{state},"deep":{deep}}}}}}}'
    )
    found = decode_promotion(body.encode(), lambda *_: None)
    assert found is not None
    assert found.keys == (pull_request_key(URL),)


def test_without_identity_it_is_refused() -> None:
    """What has no name can only be left out."""
    with pytest.raises(msgspec.MsgspecError):
        decode_promotion(b'{"status":{"phase":"Running"}}', lambda *_: None)
