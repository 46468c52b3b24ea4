"""Credentials in a repository's URL: taken out of what is kept, and not missed by what looks for it again."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.repositories.keys import event_keys, subscription_key
from tests.strategies import ANY_TEXT, URL_LIKE
from webhook.redaction import without_credentials

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        pytest.param("https://hush:hush@h/x", "https://h/x", id="usual"),
        pytest.param("https://hush@h/x", "https://h/x", id="token for a user"),
        pytest.param(" https://me:hush@h/x", "https://h/x", id="behind a space"),
        pytest.param("\u2003\thttps://me:hush@h/x", "https://h/x", id="behind other spaces"),
        pytest.param("ht\x00tps://me:hu\u200bsh@h/x", "https://h/x", id="characters that can't be printed"),
        pytest.param("HTTPS://me:hu@sh@h/X", "HTTPS://h/X", id="at sign in the password"),
        pytest.param("https://me:hu/sh@h/x", "https://h/x", id="slash in the password"),
        pytest.param("https://me:hush?hush@h/x", "https://me", id="question mark in the password"),
        pytest.param("https://me:hush#hush@h/x", "https://me", id="number sign in the password"),
        pytest.param("https://me:hush@[::1]:8443/x", "https://[::1]:8443/x", id="IPv6"),
        pytest.param("https:/me:hush@h/x", "https:/h/x", id="one slash"),
        pytest.param("https:///me:hush@h/x", "https:///h/x", id="three slashes"),
        pytest.param("https://https://me:hush@h/x", "https://https://h/x", id="twice"),
        pytest.param("ssh://me:hush@h/x", "ssh://me@h/x", id="ssh"),
        pytest.param("ssh://me:hu/sh@h:22/x", "ssh://me@h:22/x", id="ssh with a slash"),
        pytest.param("oci://me:hush@r.io/x", "oci://me@r.io/x", id="another scheme"),
        pytest.param("//me:hush@h/x", "//me@h/x", id="no scheme"),
        pytest.param("me:hush@h:x", "me@h:x", id="scp with a password"),
        pytest.param("https://h/x?token=hush", "https://h/x", id="query"),
        pytest.param("https://h/x#access_token=hush", "https://h/x", id="fragment"),
        pytest.param("git@h:x?token=hush", "git@h:x", id="scp with a query"),
        pytest.param("https://h/_git/r/pullrequest/7#view=hush", "https://h/_git/r/pullrequest/7", id="page"),
    ],
)
def test_credentials_are_taken_out(url: str, kept: str) -> None:
    """Whatever a reader of the URL could take for a password, a token or a query."""
    assert without_credentials(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/org/p/_git/r",
        "ssh://git@ssh.dev.azure.com:22/v3/o/p/r",
        "git@ssh.dev.azure.com:v3/o/p/r",
        "org@vs-ssh.visualstudio.com:v3/org/p/r",
        "github.com:org/repo",
        "https://h:8443/a@b/c",
        "registry.azurecr.io:443/team/app@sha256:" + "0" * 64,
        "https://[::1]:80/x",
        " https://h/with spaces ",
        "half \ud800 a pair",
        "",
    ],
)
def test_what_holds_none_stays_as_it_is(url: str) -> None:
    """The user of an SSH URL is a part of what names a repository."""
    assert without_credentials(url) == url


def _inputs() -> list[tuple[str, str]]:
    cells = [
        line.split("\t")
        for file in ("normalization.tsv", "normalization_corners.tsv")
        for line in (DATA / file).read_text().splitlines()[1:]
    ]
    return [(kind, json.loads(given)) for kind, given, _ in cells]


IS_COMPARED = re.compile(r"[?#]|(?<!http:)(?<!https:)//[^/]*:[^/]*@|^[^/]*:[^/]*@", re.IGNORECASE)
"""What Kargo compares although it may be a secret."""
INVALID = ("https://a b@h/x", "https://ö@h/x", "https://%@h/x")
"""Not parsed, and compared as they are."""


@pytest.mark.parametrize(
    ("kind", "url"),
    [each for each in _inputs() if not IS_COMPARED.search(each[1]) and each[1] not in INVALID],
)
def test_what_is_left_finds_the_same_warehouses(kind: str, url: str) -> None:
    """After a restart a delivery is matched by what was kept of it, in every form of a URL."""
    assert subscription_key(kind, without_credentials(url)) == subscription_key(kind, url)


@pytest.mark.parametrize("user", ["org@", "org:token@", "a.b-c_d:x@y@"])
@pytest.mark.parametrize(
    "url",
    [
        "https://{}dev.azure.com/org/My%20Proj/_git/Repo",
        "https://{}org.visualstudio.com/DefaultCollection/p/_git/r",
        "HTTPS://{}Dev.Azure.com/org/_git/_full/r.git/",
        " https://{}github.com/Foo/Bar.git",
    ],
)
def test_user_info_over_http_never_matters(url: str, user: str) -> None:
    """What Azure DevOps writes into clone URLs is no part of the key."""
    given = url.format(user)
    assert event_keys("git", without_credentials(given)) == event_keys("git", given)
    assert "@" not in without_credentials(given)


@given(st.one_of(ANY_TEXT, URL_LIKE))
def test_never_raises(url: str) -> None:
    """For any text, and nothing is added to it."""
    assert len(without_credentials(url)) <= len(url)


def test_takes_linear_time() -> None:
    """A hostile URL of the longest kind costs less than a millisecond for each KB."""
    for part in ("//", "@:", "a//b:", ":@/", "?#", "[", "\x00@"):
        hostile = f"https://{part * 50_000}"
        began = time.process_time()
        without_credentials(hostile)
        assert time.process_time() - began < 0.1
