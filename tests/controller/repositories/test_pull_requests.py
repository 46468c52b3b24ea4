"""One pull request, many URLs of its page."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.promotion import decode_promotion
from controller.refreshing.target_index import TargetIndex
from controller.repositories.keys import pull_request_key
from tests.strategies import ANY_TEXT, URL_LIKE
from webhook.payloads.event_types import PullRequest
from webhook.payloads.parse import parse

PAGE = "https://dev.azure.com/org/My%20Proj/_git/Repo/pullrequest/7"
SERVER = "https://tfs.example:8443/tfs/Coll/Proj/_git/Repo/pullrequest/7"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(PAGE, f"{PAGE}#view=discussion", id="fragment"),
        pytest.param(PAGE, f"{PAGE}?_a=files&path=%2Fx#y", id="query"),
        pytest.param(PAGE, f"{PAGE}/", id="slash"),
        pytest.param(PAGE, "https://org.visualstudio.com/My%20Proj/_git/Repo/pullrequest/7", id="domain"),
        pytest.param(
            PAGE,
            "https://org.visualstudio.com/DefaultCollection/My%20Proj/_git/Repo/pullrequest/7",
            id="DefaultCollection",
        ),
        pytest.param(PAGE, "https://dev.azure.com/ORG/my proj/_git/repo/pullRequest/7", id="case, encoding"),
        pytest.param(PAGE, "https://me@dev.azure.com/org/My%20Proj/_git/Repo/pullrequest/7", id="user"),
        pytest.param(PAGE, "https://dev.azure.com/org/My%20Proj/_git/Repo.git/pullrequest/7", id=".git"),
        pytest.param(PAGE, "git@ssh.dev.azure.com:v3/org/My Proj/Repo/pullrequest/7", id="ssh"),
        pytest.param(
            "https://dev.azure.com/org/_git/Repo/pullrequest/7",
            "https://org.visualstudio.com/Repo/_git/Repo/pullrequest/7",
            id="no project",
        ),
        pytest.param(
            SERVER, "https://TFS.example:8443/tfs/coll/proj/_git/repo.git/pullrequest/7#x", id="server"
        ),
        pytest.param("https://github.com/o/r/pull/7", "https://github.com/o/r/pull/7?w=1#x", id="elsewhere"),
    ],
)
def test_one_pull_request_has_one_key(one: str, other: str) -> None:
    """However its page is written."""
    assert pull_request_key(one) == pull_request_key(other)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo/pullrequest/70", id="number"),
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo2/pullrequest/7", id="repository"),
        pytest.param("https://dev.azure.com/org/Proj/_git/Repo/pullrequest/7", id="project"),
        pytest.param("https://dev.azure.com/gro/My%20Proj/_git/Repo/pullrequest/7", id="organization"),
        pytest.param("https://dev.azure.com.evil.example/org/My%20Proj/_git/Repo/pullrequest/7", id="host"),
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo/pullrequest/7/x", id="below"),
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo/commit/7", id="commit"),
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo", id="repository's page"),
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo/pullrequest/\u0667", id="another digit"),
        pytest.param("https://dev.azure.com/org/My%20Proj/_git/Repo/pullrequest/" + "7" * 9999, id="huge"),
        pytest.param(SERVER, id="server"),
        pytest.param(pull_request_key(PAGE), id="its key"),
    ],
)
def test_another_pull_request_has_another_key(other: str) -> None:
    """Another number, repository, project, organization or host never matches."""
    assert pull_request_key(other) != pull_request_key(PAGE)


@given(ANY_TEXT | URL_LIKE, st.sampled_from(["", "/pullrequest/7", "/PullRequest/", "#", "?"]))
def test_any_text_has_a_key(text: str, end: str) -> None:
    """No text makes it raise, and equal text has an equal key."""
    assert pull_request_key(text + end) == pull_request_key(f"{text}{end}")
    assert pull_request_key(f"{text}#{end}") == pull_request_key(text)


SAMPLE: dict[str, Any] = {
    "subscriptionId": "0",
    "notificationId": 5,
    "id": "i",
    "eventType": "git.pullrequest.updated",
    "publisherId": "tfs",
    "resource": {
        "repository": {"id": "x", "name": "Repo", "remoteUrl": "https://dev.azure.com/org/Proj/_git/Repo"},
        "pullRequestId": 7,
        "status": "completed",
    },
}
"""As Microsoft's own sample has it: without ``_links``."""
SPELLINGS = [
    "https://dev.azure.com/org/Proj/_git/Repo/pullrequest/7",
    "https://dev.azure.com/org/Proj/_git/Repo/pullrequest/7#view=discussion",
    "https://org.visualstudio.com/DefaultCollection/Proj/_git/Repo/pullrequest/7",
]


@pytest.mark.parametrize("waited_on", SPELLINGS)
@pytest.mark.parametrize("link", [None, *SPELLINGS])
def test_the_end_of_a_pull_request_wakes_who_waits_on_it(link: str | None, waited_on: str) -> None:
    """From the payload to the Promotion, with and without a link, in every spelling of either."""
    links = {} if link is None else {"_links": {"web": {"href": link}}}
    event = parse("", None, json.dumps({**SAMPLE, "resource": {**SAMPLE["resource"], **links}}).encode())
    assert isinstance(event, PullRequest)
    promotion = {
        "metadata": {"name": "promo", "namespace": "p", "uid": "u", "resourceVersion": "1"},
        "spec": {"steps": [{"uses": "git-wait-for-pr", "as": "wait"}]},
        "status": {"phase": "Running", "state": {"wait": {"pr": {"url": waited_on}}}},
    }
    waiting = decode_promotion(json.dumps(promotion).encode(), lambda *_: None)
    assert waiting is not None
    index = TargetIndex()
    index.added(waiting)
    (subject,) = event.subjects
    assert index.find(pull_request_key(subject.url), "p") == (waiting.target,)
