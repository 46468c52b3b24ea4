"""One Azure repository, many URLs: which are the same and, more important, which never are."""

import re
from collections.abc import Callable
from itertools import permutations
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.repositories.azure import azure_git_key
from controller.repositories.normalize import normalize_git
from tests.strategies import ANY_TEXT, AZURE_NAME, AZURE_ORGANIZATION, URL_LIKE

Form = Callable[[str, str, str], str]
FORMS: dict[str, Form] = {
    "payload": lambda o, p, r: f"https://dev.azure.com/{o}/{p}/_git/{r}",
    "with user": lambda o, p, r: f"https://{o}@dev.azure.com/{o}/{p}/_git/{r}",
    "with token": lambda o, p, r: f"https://user:token@dev.azure.com/{o}/{p}/_git/{r}",
    "with port": lambda o, p, r: f"https://dev.azure.com:443/{o}/{p}/_git/{r}",
    "with collection": lambda o, p, r: f"https://dev.azure.com/{o}/DefaultCollection/{p}/_git/{r}",
    "optimized": lambda o, p, r: f"https://dev.azure.com/{o}/{p}/_git/_optimized/{r}",
    "full": lambda o, p, r: f"https://dev.azure.com/{o}/{p}/_git/_full/{r}",
    "legacy": lambda o, p, r: f"https://{o}.visualstudio.com/{p}/_git/{r}",
    "legacy, collection": lambda o, p, r: f"https://{o}.visualstudio.com/DefaultCollection/{p}/_git/{r}",
    "legacy, collection after": lambda o, p, r: (
        f"https://{o}.visualstudio.com/{p}/DefaultCollection/_git/{r}"
    ),
    "legacy, full": lambda o, p, r: f"https://{o}.visualstudio.com/{p}/_git/_full/{r}",
    "scp": lambda o, p, r: f"git@ssh.dev.azure.com:v3/{o}/{p}/{r}",
    "ssh": lambda o, p, r: f"ssh://git@ssh.dev.azure.com/v3/{o}/{p}/{r}",
    "ssh with port": lambda o, p, r: f"ssh://git@ssh.dev.azure.com:22/v3/{o}/{p}/{r}",
    "ssh without user": lambda o, p, r: f"ssh://ssh.dev.azure.com/v3/{o}/{p}/{r}",
    "legacy scp": lambda o, p, r: f"{o}@vs-ssh.visualstudio.com:v3/{o}/{p}/{r}",
    "legacy ssh": lambda o, p, r: f"ssh://{o}@vs-ssh.visualstudio.com/v3/{o}/{p}/{r}",
    "legacy ssh with port": lambda o, p, r: f"ssh://{o}@vs-ssh.visualstudio.com:22/v3/{o}/{p}/{r}",
    "oldest ssh": lambda o, p, r: f"ssh://{o}@{o}.visualstudio.com:22/{p}/_ssh/{r}",
    "oldest ssh, collection": lambda o, p, r: (
        f"ssh://{o}@{o}.visualstudio.com:22/DefaultCollection/{p}/_git/{r}"
    ),
    "oldest vs-ssh": lambda o, p, r: f"ssh://{o}@vs-ssh.visualstudio.com:22/{p}/_ssh/{r}",
    "oldest, collection": lambda o, p, r: (
        f"ssh://{o}@vs-ssh.visualstudio.com:22/DefaultCollection/{p}/_ssh/{r}"
    ),
}
SHORT_FORMS: dict[str, Callable[[str, str], str]] = {
    "short": lambda o, r: f"https://dev.azure.com/{o}/_git/{r}",
    "short, collection": lambda o, r: f"https://dev.azure.com/{o}/DefaultCollection/_git/{r}",
    "short legacy": lambda o, r: f"https://{o}.visualstudio.com/_git/{r}",
    "short legacy, collection": lambda o, r: f"https://{o}.visualstudio.com/DefaultCollection/_git/{r}",
    "short optimized": lambda o, r: f"https://dev.azure.com/{o}/_git/_optimized/{r}",
    "short ssh": lambda o, r: f"ssh://{o}@{o}.visualstudio.com:22/_ssh/{r}",
}


def key(url: str) -> str | None:
    return azure_git_key(normalize_git(url))


CLOUD = "\x1fado\x1f"
EXPECTED = f"{CLOUD}contoso/my proj/re.po"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("end", ["", "/", ".git", ".git/", "//", "/.git"])
def test_every_form_has_the_same_key(form: Form, end: str) -> None:
    """Whatever form, case, encoding and ending a URL has, it has the key of its repository."""
    assert key(form("Contoso", "My Proj", "Re.po") + end) == EXPECTED
    assert key(form("contoso", "my%20proj", "re.po") + end) == EXPECTED
    assert key(form("CONTOSO", "MY%20PROJ", "R%65.po") + end) == EXPECTED


@pytest.mark.parametrize("form", SHORT_FORMS.values(), ids=SHORT_FORMS)
def test_a_missing_project_is_called_as_its_repository(form: Callable[[str, str], str]) -> None:
    """The short forms name the repository that has its project's name."""
    assert key(form("Contoso", "My%20App")) == key("https://dev.azure.com/contoso/my app/_git/my app")


@given(AZURE_ORGANIZATION, AZURE_NAME, AZURE_NAME)
def test_forms_agree_for_any_names(organization: str, project: str, repository: str) -> None:
    """For any names, encoded or not, all forms come to one key and none to nothing."""
    keys = {key(form(organization, quote(project), quote(repository))) for form in FORMS.values()}
    assert len(keys) == 1
    assert None not in keys
    assert key(FORMS["payload"](organization, project, repository)) in keys


@given(AZURE_ORGANIZATION, AZURE_NAME, AZURE_NAME)
def test_other_names_are_other_repositories(organization: str, project: str, repository: str) -> None:
    """Another organization, project or repository is never the same, in any form."""
    names = (organization, quote(project), quote(repository))
    others = {
        order for order in permutations(names) if [n.lower() for n in order] != [n.lower() for n in names]
    }
    others |= {
        (f"{names[0]}x", *names[1:]),
        (names[0], f"{names[1]}x", names[2]),
        (*names[:2], f"{names[2]}x"),
    }
    keys = {key(form(*names)) for form in FORMS.values()}
    for other in others:
        if " " in other[0] or "%" in other[0] or "." in other[0] or "_" in other[0]:
            continue  # no organization is called so: the legacy hosts could not hold it
        assert not keys & {key(FORMS["payload"](*other)), key(FORMS["scp"](*other))}


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://dev.azure.com.evil.example/contoso/proj/_git/repo", id="host as a prefix"),
        pytest.param("https://evil-dev.azure.com/contoso/proj/_git/repo", id="host as a suffix"),
        pytest.param("https://xdev.azure.com/contoso/proj/_git/repo", id="host run on"),
        pytest.param("https://dev.azure.com:8443/contoso/proj/_git/repo", id="another port"),
        pytest.param("https://dev.azure.com:22/contoso/proj/_git/repo", id="the port of ssh"),
        pytest.param("https://dev.azure.com@evil.example/contoso/proj/_git/repo", id="host as a user"),
        pytest.param("https://evil.example/dev.azure.com/contoso/proj/_git/repo", id="host in the path"),
        pytest.param(
            "https://evil.example/x#https://dev.azure.com/contoso/proj/_git/repo", id="in a fragment"
        ),
        pytest.param("https://dev.azure.com./contoso/proj/_git/repo", id="root label"),
        pytest.param("https://dev-azure.com/contoso/proj/_git/repo", id="a hyphen for a dot"),
        pytest.param("https://devXazure.com/contoso/proj/_git/repo", id="any character for a dot"),
        pytest.param("https://d\u0435v.azure.com/contoso/proj/_git/repo", id="Cyrillic e"),
        pytest.param("https://contoso.visualstudio.com.evil.example/proj/_git/repo", id="legacy as a prefix"),
        pytest.param("https://contoso.evil.visualstudio.com/proj/_git/repo", id="two labels"),
        pytest.param("https://visualstudio.com/proj/_git/repo", id="no organization"),
        pytest.param("https://vs-ssh.visualstudio.com/proj/_git/repo", id="the ssh host over https"),
        pytest.param("https://evilvisualstudio.com/proj/_git/repo", id="legacy run on"),
        pytest.param("https://ssh.dev.azure.com/v3/contoso/proj/repo", id="ssh path over https"),
        pytest.param("ssh://git@dev.azure.com/v3/contoso/proj/repo", id="ssh at the web host"),
        pytest.param("ssh://git@ssh.dev.azure.com:443/v3/contoso/proj/repo", id="ssh at another port"),
        pytest.param("git@ssh.dev.azure.com.evil.example:v3/contoso/proj/repo", id="ssh host as a prefix"),
        pytest.param("git@ssh.dev.azure.com:v4/contoso/proj/repo", id="another version"),
        pytest.param("git@ssh.dev.azure.com:contoso/proj/repo", id="no version"),
        pytest.param("git@ssh.dev.azure.com:v3/contoso/proj", id="ssh without repository"),
        pytest.param("git@ssh.dev.azure.com:v3/contoso/proj/x/repo", id="ssh with one more"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/repo?path=/x", id="query"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/repo#x", id="fragment"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/repo/x", id="below the repository"),
        pytest.param("https://dev.azure.com/contoso/proj/x/_git/repo", id="between the two"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/", id="no repository"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/.git", id="nothing but the suffix"),
        pytest.param("https://dev.azure.com/contoso/proj/_wiki/repo", id="not a repository"),
        pytest.param("https://dev.azure.com/contoso", id="organization only"),
        pytest.param("https://dev.azure.com//proj/_git/repo", id="empty organization"),
        pytest.param("https://dev.azure.com/contoso//_git/repo", id="empty project"),
        pytest.param("https://dev.azure.com/contoso/../_git/repo", id="dots"),
        pytest.param("https://dev.azure.com/contoso/a%2Fproj/_git/repo", id="encoded slash in the project"),
        pytest.param(
            "https://dev.azure.com/contoso%2Fproj/_git/repo", id="encoded slash in the organization"
        ),
        pytest.param("https://dev.azure.com/contoso/proj/_git%2Frepo", id="encoded slash after the marker"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/%FF", id="no UTF-8"),
        pytest.param("https://dev.azure.com/contoso/proj/_git/%1Fx", id="control character"),
        pytest.param("https://github.com/contoso/proj", id="another forge"),
        pytest.param("contoso.azurecr.io/app", id="an image"),
        pytest.param("", id="nothing"),
    ],
)
def test_look_alikes_are_no_repository_of_the_cloud(url: str) -> None:
    """What is not exactly one of the cloud's forms is plain text, or on a server of its own host."""
    found = key(url)
    assert found is None or not found.startswith(CLOUD)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("a%2520b", "a%20b", id="an encoded escape is no space"),
        pytest.param("a+b", "a%20b", id="plus is no space"),
        pytest.param("stra%C3%9Fe", "strasse", id="sharp s is not ss"),
        pytest.param("re-po", "repo", id="hyphen"),
        pytest.param("re.po", "repo", id="dot"),
        pytest.param("repo.github", "repohub", id="suffix inside"),
    ],
)
def test_similar_names_are_other_repositories(one: str, other: str) -> None:
    """Names are compared after decoding once and folding case, and by nothing looser."""
    base = "https://dev.azure.com/contoso/proj/_git/"
    assert key(base + one) is not None
    assert key(base + one) != key(base + other)


@given(ANY_TEXT | URL_LIKE)
def test_no_text_makes_it_raise(text: str) -> None:
    """Any text has a key or none."""
    found = azure_git_key(text)
    assert found is None or found.startswith("\x1fado")


@given(
    st.text("ab1-", min_size=1, max_size=4),
    st.sampled_from(["defaultcollection", "shop", "a.b", "_git", "x.git", ".", "1"]),
    st.sampled_from(["app", "a.b", "app.git", "app.git.git", "app.", "_full", "-app", ".git", "a_b", "app/"]),
)
def test_the_short_way_round_is_the_long_one(organization: str, project: str, repository: str) -> None:
    """How nearly all URLs are written is recognized at once, with the same key as by the general rules."""
    url = f"https://dev.azure.com/{organization}/{project}/_git/{repository}"
    at_once = azure_git_key(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controller.repositories.azure._USUAL", re.compile("(?!)"))
        assert at_once == azure_git_key(url)
