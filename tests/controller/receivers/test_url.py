"""The URLs of receivers: byte for byte Kargo's, since users have registered them with Azure."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.receivers.url import (
    digest_in,
    receiver_digest,
    receiver_name,
    receiver_path,
    receiver_url,
    scope_of,
)

EXAMPLE = "a8fdb6dd7704b4bea1f4f75d2efecfc35535bcdbcc82c388d40b0e0fa9676869"
LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)


def test_example() -> None:
    """The digest that Kargo's documentation of the rule gives for its example."""
    assert receiver_digest("proj-0", "az", b"s3cret") == EXAMPLE


def test_digest_is_of_plain_concatenation() -> None:
    """As in Kargo, nothing separates the three; the secret's bytes may be anything."""
    secret = b"\x00\xff\n"
    assert receiver_digest("p", "ä", secret) == hashlib.sha256(b"p\xc3\xa4" + secret).hexdigest()
    assert receiver_digest("ab", "c", b"s") == receiver_digest("a", "bc", b"s")
    assert receiver_digest("", "abc", b"s") == receiver_digest("abc", "", b"s")


ROWS = [
    tuple(map(json.loads, line.split("\t")))
    for line in (Path(__file__).parents[2] / "data/base_urls.tsv").read_text().splitlines()[1:]
]
"""(base URL, path, URL) for the digest "D", made with Go 1.26 by the statements that Kargo's server runs."""


@pytest.mark.parametrize(("base", "path", "url"), ROWS, ids=[row[0] for row in ROWS])
def test_path_and_url(base: str, path: str | None, url: str | None) -> None:
    """Path and URL are Kargo's for every base URL, however odd; what Kargo refuses is refused."""
    if path is None:
        with pytest.raises(ValueError, match=r"."):
            receiver_path(base, "D")
    else:
        assert (receiver_path(base, "D"), receiver_url(base, "D")) == (path, url)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param(f"/azure/{EXAMPLE}", EXAMPLE, id="plain"),
        pytest.param(f"/webhooks/azure/{EXAMPLE}", EXAMPLE, id="below a prefix"),
        pytest.param(f"azure/{EXAMPLE}", EXAMPLE, id="no slash in front"),
        pytest.param(f"/notazure/{EXAMPLE}", None, id="another word"),
        pytest.param(f"/github/{EXAMPLE}", None, id="another type of receiver"),
        pytest.param(f"/azure/{EXAMPLE}/", None, id="something after"),
        pytest.param(f"/azure/{EXAMPLE}\n", None, id="line break after"),
        pytest.param(f"/azure/{EXAMPLE[:-1]}", None, id="a digit short"),
        pytest.param(f"/azure/0{EXAMPLE}", None, id="a digit long"),
        pytest.param(f"/azure/{EXAMPLE.upper()}", None, id="capitals"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="no path"),
        pytest.param(7, None, id="a number"),
        pytest.param([f"/azure/{EXAMPLE}"], None, id="a list"),
    ],
)
def test_digest_in(path: object, found: str | None) -> None:
    """A path in somebody's status is ours only if it ends as ours do."""
    assert digest_in(path) == found


@given(LABEL, LABEL)
def test_a_projects_receiver_reaches_its_project_only(namespace: str, name: str) -> None:
    """Names tell Projects and ClusterConfig apart, whatever a Project is called."""
    assert scope_of(receiver_name(namespace, name)) == namespace


def test_the_cluster_configs_receiver_reaches_all() -> None:
    """A Project may be called ``cluster``: its receivers must not reach everybody else's Warehouses."""
    assert receiver_name("", "az") == "cluster/az"
    assert scope_of("cluster/az") is None
    assert receiver_name("cluster", "az") != receiver_name("", "az")
    assert scope_of(receiver_name("cluster", "az")) == "cluster"
