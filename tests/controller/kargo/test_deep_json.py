"""Cutting deep JSON: what is kept is kept exactly, what is too deep is null."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.deep_json import LEVELS, prune
from tests.strategies import JSON


def cut(value: Any, levels: int) -> Any:
    """Do the same to Python values."""
    if isinstance(value, dict):
        return {key: cut(item, levels - 1) for key, item in value.items()} if levels else None
    if isinstance(value, list):
        return [cut(item, levels - 1) for item in value] if levels else None
    return value


@given(JSON, st.integers(0, 4))
def test_cuts_at_the_level(value: Any, levels: int) -> None:
    """Brackets in texts don't count, and neither does how the JSON is written."""
    for text in (json.dumps(value), json.dumps(value, indent=1), json.dumps(value, ensure_ascii=False)):
        assert json.loads(prune(text.encode(), levels)) == cut(value, levels)


@pytest.mark.parametrize("text", ['"[[["', '"\\"[["', '{"a\\\\":[{}]}', '["{", "\\\\", [1]]', '"\\n]"'])
def test_texts_with_brackets(text: str) -> None:
    """A bracket within a text is no bracket."""
    assert json.loads(prune(text.encode(), 3)) == json.loads(text)


def test_depth_of_10000() -> None:
    """What stands beside the deep is kept, before and after it."""
    deep = "[" * 10_000 + "]" * 10_000
    found = json.loads(prune(f'{{"a":1,"b":{deep},"c":{{"d":2}}}}'.encode()))
    assert (found["a"], found["c"]) == (1, {"d": 2})
    assert json.dumps(found["b"]) == "[" * (LEVELS - 1) + "null" + "]" * (LEVELS - 1)


@given(st.binary(max_size=30))
def test_what_is_no_json_stays_none(raw: bytes) -> None:
    """Nothing raises: whoever decodes the result complains."""
    prune(raw, 1)


@pytest.mark.parametrize("raw", [b"[" * 5_000, b"]" * 5_000, b'{"a":' * 5_000 + b"1", b'["' * 5_000])
def test_half_of_it(raw: bytes) -> None:
    """Brackets that are never closed, or never opened, give something that does not parse."""
    with pytest.raises(ValueError, match=r"."):
        json.loads(prune(raw))
