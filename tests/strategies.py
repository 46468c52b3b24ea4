"""Hypothesis strategies shared by the tests: URLs, and the bodies that senders send."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(codec=None))
"""Any Python string, lone surrogates included."""

_PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "ssh://",
            "oci://",
            "OCI://",
            "git@",
            "user:pw@",
            "/",
            "//",
            ":",
            "@",
            "?",
            "#",
            "%",
        ),
        *("dev.azure.com", "ssh.dev.azure.com", "vs-ssh.visualstudio.com", "contoso.visualstudio.com"),
        *(
            "contoso.azurecr.io",
            "contoso.westeurope.geo.azurecr.io",
            "docker.io/",
            "library/",
            "localhost",
            ":5000",
        ),
        *(
            "/v3/",
            "/_git/",
            "/_ssh/",
            "/DefaultCollection",
            "/_optimized",
            "contoso",
            "proj",
            "My Proj",
            "Repo",
        ),
        *(
            ".git",
            "/.git",
            "%20",
            "%2F",
            "%zz",
            "%C3%B6",
            "ö",
            "İ",
            "Σ",
            "\u200b",
            "[::1]",
            "[fe80::1%25en0]",
        ),
        *(":latest", "@sha256:" + "a" * 64, "?x=1", "?;", "(1)", "a:b", "*", " ", "\x1f", "\x1fado\x1fa/b/c"),
    ]
)
URL_LIKE = st.lists(st.one_of(_PIECES, _PIECES, st.text(max_size=3)), max_size=9).map("".join)
"""Text that looks enough like a repository URL to reach the far corners of the rules."""

KINDS = st.sampled_from(["git", "image", "chart"])

AZURE_NAME = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,10}[A-Za-z0-9])?", fullmatch=True).filter(
    lambda name: not name.lower().endswith(".git") and name.lower() != "defaultcollection"
)
"""The name of a project or repository."""

AZURE_ORGANIZATION = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True).filter(
    lambda name: name.lower() != "vs-ssh"
)

PAYLOADS = {
    file.stem: file.read_bytes()
    for file in sorted((Path(__file__).parent / "data" / "payloads").glob("*.json"))
}
"""Bodies in the shapes that Microsoft documents, by what they are, with invented names."""

JSON_LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=9),
)
JSON = st.recursive(
    JSON_LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
"""Any small JSON value."""


@st.composite
def mutated_payloads(draw: st.DrawFn) -> bytes:
    """A real payload in which a few values are replaced, removed or wrapped."""
    value = json.loads(draw(st.sampled_from(sorted(PAYLOADS.values()))))
    for _ in range(draw(st.integers(1, 3))):
        value = _mutated(draw, value)
    return json.dumps(value).encode()


def _mutated(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 4)):
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _mutated(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], _mutated(draw, value[index]), *value[index + 1 :]]
    return draw(st.one_of(JSON, st.just([value]), st.just({"data": value})))
