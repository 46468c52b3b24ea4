"""Azure DevOps' service hooks: which event means what."""

import json
from typing import Any

import pytest

from tests.strategies import PAYLOADS
from webhook.arrival import Subject
from webhook.payloads.event_types import Event, Ignored, PullRequest, Push
from webhook.payloads.parse import parse as parse_any
from webhook.payloads.reading import BadPayload


def parse(body: bytes) -> Event:
    return parse_any("application/json", None, body)


PAGE = "https://dev.azure.com/contoso/My%20Proj/_git/My%20Repo/pullrequest/7"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        pytest.param("ado_push", "https://dev.azure.com/contoso/My%20Proj/_git/My%20Repo", id="push"),
        pytest.param(
            "ado_push_test_button",
            "https://contoso-fiber.visualstudio.com/DefaultCollection/_git/Contoso-Fiber-Git",
            id="the Test button's sample",
        ),
    ],
)
def test_a_push_names_its_repository(name: str, url: str) -> None:
    """A push is about its repository's clone URL."""
    event = parse(PAYLOADS[name])
    assert isinstance(event, Push)
    assert event.subjects == (Subject("git", url),)
    assert event.type == "git.push"
    assert event.sender_id == json.loads(PAYLOADS[name])["id"]


@pytest.mark.parametrize("name", ["ado_push_minimal", "ado_push_none"])
def test_a_push_without_details_says_what_to_choose(name: str) -> None:
    """Minimal and None leave out the repository: the refusal tells the user the setting."""
    with pytest.raises(BadPayload, match='remoteUrl is missing: choose "All" for "Resource details to send"'):
        parse(PAYLOADS[name])


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        pytest.param("ado_pull_request_merged", "git.pullrequest.merged", id="merged"),
        pytest.param("ado_pull_request_abandoned", "git.pullrequest.updated", id="abandoned"),
        pytest.param("ado_pull_request_completed", "git.pullrequest.updated", id="completed"),
    ],
)
def test_a_pull_request_that_ended_names_its_page(name: str, event_type: str) -> None:
    """The page is what a Promotion waits on."""
    event = parse(PAYLOADS[name])
    assert isinstance(event, PullRequest)
    assert event.subjects == (Subject("pull_request", PAGE),)
    assert event.type == event_type


@pytest.mark.parametrize("status", ["active", "queued", "conflicts", "failed"])
def test_any_merge_counts_whatever_its_status(status: str) -> None:
    """A merge event is passed on with any status: Kargo looks for itself."""
    payload = json.loads(PAYLOADS["ado_pull_request_merged"])
    payload["resource"]["status"] = status
    assert isinstance(parse(json.dumps(payload).encode()), PullRequest)


def test_a_pull_request_that_goes_on_has_nothing_to_refresh() -> None:
    """An update that neither completes nor abandons it is ignored."""
    event = parse(PAYLOADS["ado_pull_request_updated"])
    assert isinstance(event, Ignored)
    assert event.known


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(None, id="nothing"),
        pytest.param({"pullRequestId": 7, "url": "https://dev.azure.com/x"}, id="minimal"),
        pytest.param({"pullRequestId": 7, "_links": {"web": {}}, "repository": {"id": "x"}}, id="no URL"),
    ],
)
def test_a_pull_request_without_details_says_what_to_choose(resource: Any) -> None:
    """Minimal and None leave out all that names the pull request: the refusal tells the user the setting."""
    payload = json.loads(PAYLOADS["ado_pull_request_merged"])
    payload["resource"] = resource
    with pytest.raises(BadPayload, match='remoteUrl is missing: choose "All"'):
        parse(json.dumps(payload).encode())


@pytest.mark.parametrize("event_type", ["git.pullrequest.merged", "git.pullrequest.updated"])
@pytest.mark.parametrize(
    "links",
    [{}, {"_links": None}, {"_links": {}}, {"_links": {"web": None}}, {"_links": {"web": {"href": 1}}}],
)
def test_a_pull_request_without_a_link_is_told_by_repository_and_number(
    event_type: str, links: dict[str, Any]
) -> None:
    """Microsoft's own sample of an updated pull request has no ``_links``."""
    resource = {
        "repository": {"id": "x", "name": "Repo", "remoteUrl": "https://dev.azure.com/org/Proj/_git/Repo/"},
        "pullRequestId": 7,
        "status": "completed",
        **links,
    }
    event = parse(json.dumps({"eventType": event_type, "resource": resource}).encode())
    assert isinstance(event, PullRequest)
    assert event.subjects == (
        Subject("pull_request", "https://dev.azure.com/org/Proj/_git/Repo/pullrequest/7"),
    )


@pytest.mark.parametrize("number", [None, "7", -7, 7.5, [7], 10**18])
def test_a_pull_request_without_link_and_number_is_refused(number: Any) -> None:
    """With the repository there, the advice to choose "All" would be wrong."""
    resource = {"repository": {"remoteUrl": "https://dev.azure.com/o/p/_git/r"}, "pullRequestId": number}
    with pytest.raises(BadPayload, match=r"^resource\.pullRequestId must be a number$"):
        parse(json.dumps({"eventType": "git.pullrequest.merged", "resource": resource}).encode())


@pytest.mark.parametrize(
    "resource", [None, {}, {"status": None}, {"status": "active"}, {"status": 1}, {"status": ""}, "x", [1], 7]
)
def test_an_update_without_an_ending_status_is_ignored(resource: Any) -> None:
    """Whatever else is missing or wrong: a 400 would put the subscription on probation."""
    event = parse(json.dumps({"eventType": "git.pullrequest.updated", "resource": resource}).encode())
    assert isinstance(event, Ignored)
    assert event.known


@pytest.mark.parametrize(
    ("event_type", "known"),
    [
        pytest.param("build.complete", True, id="build"),
        pytest.param("workitem.updated", True, id="work item"),
        pytest.param("git.pullrequest.created", True, id="pull request created"),
        pytest.param("ms.vss-code.git-pullrequest-comment-event", True, id="comment"),
        pytest.param("contoso.<script>", False, id="unknown"),
    ],
)
def test_other_events_have_nothing_to_refresh(event_type: str, known: bool) -> None:
    """Events of other types are ignored, with any resource; only types that we know are named."""
    resources: tuple[Any, ...] = (None, "x", 1, [])
    for resource in resources:
        event = parse(
            json.dumps({"eventType": event_type, "resource": resource, "notificationId": 3}).encode()
        )
        assert isinstance(event, Ignored)
        assert event.known is known
        assert event.type == (event_type if known else "other")
        assert event.sender_id == "3"


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        pytest.param("x", "resource must be an object", id="resource"),
        pytest.param({"repository": []}, "resource.repository must be an object", id="repository"),
        pytest.param(
            {"repository": {"remoteUrl": 1}}, "resource.repository.remoteUrl must be a string", id="remoteUrl"
        ),
        pytest.param({"repository": {"remoteUrl": ""}}, "resource.repository.remoteUrl is empty", id="empty"),
    ],
)
def test_a_push_of_another_shape_is_refused(resource: Any, says: str) -> None:
    """The refusal names the field to look at."""
    with pytest.raises(BadPayload, match=f"^{says}$"):
        parse(json.dumps({"eventType": "git.push", "resource": resource}).encode())


def test_the_refs_that_were_pushed() -> None:
    """A bounded number of them; what is no list of refs makes no push unreadable."""
    sent = '{"eventType":"git.push","resource":{"repository":{"remoteUrl":"https://h/r"},"refUpdates":%s}}'
    many = ",".join(f'{{"name":"refs/heads/{number}"}}' for number in range(30))
    event = parse((sent % f"[{many}]").encode())
    assert isinstance(event, Push)
    assert event.refs[0] == "refs/heads/0"
    assert event.refs[-1] == "and 10 more"
    for odd in ("7", "[7]", '[{"name":7}]', "[" + "{}," * 100_000 + "{}]"):
        event = parse((sent % odd).encode())
        assert isinstance(event, Push)
        assert event.refs == ()
