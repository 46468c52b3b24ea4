"""Azure DevOps Server, on a customer's own host: which URLs name one repository, and which never do."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.repositories.keys import event_keys, subscription_key
from tests.strategies import AZURE_NAME

PUSHED = "https://tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api"
"""As a payload's ``remoteUrl`` gives it."""


def matches(pushed: str, subscribed: str, kind: str = "git") -> bool:
    return subscription_key(kind, subscribed) in event_keys("git", pushed)


@pytest.mark.parametrize(
    "subscribed",
    [
        pytest.param(PUSHED, id="as it is"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr\u00f6\u00dfe/_git/Api", id="raw"),
        pytest.param("https://TFS.contoso.example/TFS/coll/GR\u00d6\u00dfE/_git/API", id="case"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr%c3%96%c3%9fe/_git/%41pi", id="case in escapes"),
        pytest.param(f"{PUSHED}.git", id="suffix"),
        pytest.param(f"{PUSHED}/", id="slash"),
        pytest.param(f"{PUSHED}.git/", id="suffix and slash"),
        pytest.param("https://tfs.contoso.example:443/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="default port"),
        pytest.param("http://tfs.contoso.example:80/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="http"),
        pytest.param("https://user:pw@tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="user"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/_full/Api", id="full"),
        pytest.param("ssh://tfs.contoso.example:22/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="ssh"),
        pytest.param("ssh://git@tfs.contoso.example:2222/Coll/Gr\u00f6\u00dfe/_git/Api", id="ssh, no tfs"),
        pytest.param("git@tfs.contoso.example:tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="scp"),
    ],
)
def test_every_spelling_is_the_same_repository(subscribed: str) -> None:
    """A push finds its repository however a subscription writes it, whatever the subscription's kind."""
    assert matches(PUSHED, subscribed)


@pytest.mark.parametrize(
    "subscribed",
    [
        pytest.param("https://tfs.contoso.example:8443/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="port"),
        pytest.param("http://tfs.contoso.example:8080/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="http, port"),
        pytest.param("http://tfs.contoso.example:443/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="http at 443"),
        pytest.param("https://tfs.contoso.example/tfs/Other/Gr%C3%B6%C3%9Fe/_git/Api", id="collection"),
        pytest.param("https://tfs.contoso.example/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="virtual directory"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Grosse/_git/Api", id="project"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/_git/Api", id="no project"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api2", id="repository"),
        pytest.param("https://tfs.fabrikam.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="host"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api/x", id="below it"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api?x=1", id="query"),
        pytest.param("https://tfs.contoso.example/tfs/Coll/Gr%C3%B6%C3%9Fe/_wiki/Api", id="wiki"),
        pytest.param("https://tfs.contoso.example/tfs/Coll%2FGr%C3%B6%C3%9Fe/_git/Api", id="encoded slash"),
        pytest.param(
            "ssh://git@tfs.contoso.example/tfs/Other/Gr%C3%B6%C3%9Fe/_git/Api", id="ssh, collection"
        ),
        pytest.param("ssh://git@tfs.fabrikam.example/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="ssh, host"),
        pytest.param(
            "ssh://git@tfs.contoso.example/x/tfs/Coll/Gr%C3%B6%C3%9Fe/_git/Api", id="ssh, tfs inside"
        ),
    ],
)
def test_anything_else_is_another_repository(subscribed: str) -> None:
    """Another host, port, collection, project or repository never matches."""
    assert not matches(PUSHED, subscribed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("https://h.example/_git/R", "https://h.example/R/_git/R", id="at the root"),
        pytest.param(
            "https://h.example:8080/tfs/C/_git/R", "https://h.example:8080/tfs/C/r/_git/R", id="below"
        ),
        pytest.param("https://h.example/tfs/C/_git/R", "ssh://h.example:22/C/R/_git/R", id="ssh"),
        pytest.param("https://h.example:8443/tfs/C/P/_git/R", "ssh://h.example/C/P/_git/R", id="port, ssh"),
        pytest.param("https://h.example/C/P/_git/R", "ssh://h.example/tfs/C/P/_git/R", id="tfs in ssh alone"),
        pytest.param("https://[fd00::1]:8443/C/P/_git/R", "https://[FD00::1]:8443/c/p/_git/r/", id="IPv6"),
        pytest.param("http://build_srv:8080/tfs/C/P/_git/R", "http://BUILD_SRV:8080/tfs/C/p/_git/r", id="_"),
    ],
)
def test_a_missing_project_is_called_as_its_repository(one: str, other: str) -> None:
    """The short form names the repository that has its project's name, on any host and port."""
    assert matches(one, other)
    if not other.startswith("ssh"):
        assert matches(other, one)


def test_a_host_in_another_case_or_form_never_becomes_the_cloud() -> None:
    """The cloud's repositories are their own, whatever a server calls its collections."""
    cloud = "https://dev.azure.com/contoso/proj/_git/repo"
    for server in ("https://dev.azure.com.evil.example", "https://evil.example/dev.azure.com"):
        assert not matches(cloud, f"{server}/contoso/proj/_git/repo")
        assert not matches(f"{server}/contoso/proj/_git/repo", cloud)


HOSTS = st.sampled_from(["h.example", "h.example:8443", "h.example:8080", "i.example", "[::1]"])
PATHS = st.lists(AZURE_NAME, max_size=4)


@given(HOSTS, PATHS, AZURE_NAME, HOSTS, PATHS, AZURE_NAME)
def test_distinct_places_have_distinct_keys(
    host: str, path: list[str], name: str, other_host: str, other_path: list[str], other_name: str
) -> None:
    """No two repositories share a key, however their names are arranged."""

    def place(host: str, path: list[str], name: str) -> tuple[str, ...]:
        folded = [part.lower() for part in path]
        return (host, *(folded[:-1] if folded[-1:] == [name.lower()] else folded), name.lower())

    assume(place(host, path, name) != place(other_host, other_path, other_name))

    def url(host: str, path: list[str], name: str) -> str:
        return f"https://{host}/{''.join(f'{part}/' for part in path)}_git/{name}"

    assert not matches(url(host, path, name), url(other_host, other_path, other_name))
