"""The cases by which Kargo tests its own Azure receiver: its answer beside ours, and why they differ.

Each row is a payload, a Warehouse or Promotion of its own, Kargo's answer (August 2026) and ours. Ours may
refresh more, and refuses less; what Kargo refreshes, ours does too.
"""

import json
from typing import Any

import pytest

from controller.kargo.promotion import decode_promotion
from controller.kargo.warehouse import decode_warehouse
from controller.refreshing.target_index import TargetIndex
from controller.repositories.keys import event_keys, pull_request_key
from webhook.payloads.event_types import Ignored, Ping, PullRequest, Push
from webhook.payloads.parse import parse
from webhook.payloads.reading import BadPayload

ACR, AZURE_DEVOPS = "AzureContainerRegistry/1.0", "VSServices/19.225.34309.2"
HOST, REPOSITORY = "contoso.azurecr.io", "storefront/api"
GIT = "https://dev.azure.com/contoso/shop/_git/manifests"
PAGE = f"{GIT}/pullrequest/31"
META = {"namespace": "shop", "name": "main", "uid": "u", "resourceVersion": "1"}

IMAGE_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CHART_TYPE = "application/vnd.oci.image.manifest.v1+json"


def acr_push(media_type: str) -> dict[str, Any]:
    target = {"repository": REPOSITORY, "tag": "v1.4.0", "mediaType": media_type}
    return {"action": "push", "target": target, "request": {"host": HOST}}


GIT_PUSH = {
    "eventType": "git.push",
    "resource": {"refUpdates": [{"name": "refs/heads/main"}], "repository": {"remoteUrl": GIT}},
}


def pull_request(event: str, status: str) -> dict[str, Any]:
    resource = {"pullRequestId": 31, "status": status, "_links": {"web": {"href": PAGE}}}
    return {"eventType": f"git.pullrequest.{event}", "resource": resource}


def subscribed(kind: str, url: str, **selectors: str) -> dict[str, Any]:
    return {"metadata": META, "spec": {"subscriptions": [{kind: {"repoURL": url, **selectors}}]}}


IMAGE, CHART = f"{HOST}/{REPOSITORY}", f"oci://{HOST}/{REPOSITORY}"
WAITING = {
    "metadata": META,
    "spec": {"steps": [{"uses": "git-wait-for-pr", "as": "wait"}]},
    "status": {"phase": "Running", "currentStep": 0, "state": {"wait": {"pr": {"url": PAGE, "open": True}}}},
}

PONG = (200, "ping event received, webhook is configured correctly")
BAD = (400, "")
NONE, ONE = (200, "refreshed 0 warehouse(s)"), (200, "refreshed 1 warehouse(s)")
NO_PROMOTION, ONE_PROMOTION = (200, "refreshed 0 promotion(s)"), (200, "refreshed 1 promotion(s)")
IGNORED = (200, "ignored")

SELECTORS = (
    "Kargo leaves out a Warehouse whose selectors exclude the event; its documentation says all, as we do"
)
AGENTS = "Kargo goes by the User-Agent alone, which no sender documents; ours reads the body"
PROBATION = "a 400 puts an Azure DevOps subscription on probation"
SAME = ""


@pytest.mark.parametrize(
    ("agent", "payload", "held", "kargo", "ours", "why"),
    [
        pytest.param(ACR, "push:api", None, BAD, BAD, SAME, id="no JSON"),
        pytest.param("curl/8.5.0", {"action": "ping"}, None, BAD, PONG, AGENTS, id="foreign agent, ping"),
        pytest.param(ACR, {"action": "ping"}, None, PONG, PONG, SAME, id="ping"),
        pytest.param(
            ACR,
            acr_push(IMAGE_TYPE),
            subscribed("image", IMAGE, constraint="^2.0.0"),
            NONE,
            ONE,
            SELECTORS,
            id="image, another version",
        ),
        pytest.param(
            ACR,
            acr_push(IMAGE_TYPE),
            subscribed("image", IMAGE, constraint="^1.0.0"),
            ONE,
            ONE,
            SAME,
            id="image",
        ),
        pytest.param(
            ACR,
            acr_push(CHART_TYPE),
            subscribed("chart", CHART, semverConstraint="^2.0.0"),
            NONE,
            ONE,
            SELECTORS,
            id="chart, another version",
        ),
        pytest.param(
            ACR,
            acr_push(CHART_TYPE),
            subscribed("chart", CHART, semverConstraint="^1.0.0"),
            ONE,
            ONE,
            SAME,
            id="chart",
        ),
        pytest.param(
            AZURE_DEVOPS,
            pull_request("merged", "completed"),
            WAITING,
            ONE_PROMOTION,
            ONE_PROMOTION,
            SAME,
            id="pull request merged",
        ),
        pytest.param(
            AZURE_DEVOPS,
            pull_request("updated", "abandoned"),
            WAITING,
            ONE_PROMOTION,
            ONE_PROMOTION,
            SAME,
            id="pull request abandoned",
        ),
        pytest.param(
            AZURE_DEVOPS,
            pull_request("updated", "active"),
            WAITING,
            (200, "{}"),
            IGNORED,
            "the same, in other words",
            id="pull request goes on",
        ),
        pytest.param(
            AZURE_DEVOPS,
            pull_request("merged", "completed"),
            None,
            NO_PROMOTION,
            NO_PROMOTION,
            SAME,
            id="nobody waits",
        ),
        pytest.param(
            AZURE_DEVOPS,
            GIT_PUSH,
            subscribed("git", GIT, branch="release"),
            NONE,
            ONE,
            SELECTORS,
            id="git, another branch",
        ),
        pytest.param(AZURE_DEVOPS, GIT_PUSH, subscribed("git", GIT), ONE, ONE, SAME, id="git"),
        # What follows from Kargo's code, and is no case of its own.
        pytest.param(ACR, {"action": "delete"}, None, BAD, IGNORED, "known, and no fault", id="delete"),
        pytest.param(
            AZURE_DEVOPS, {"eventType": "build.complete"}, None, BAD, IGNORED, PROBATION, id="another type"
        ),
        pytest.param("", acr_push(IMAGE_TYPE), subscribed("image", IMAGE), BAD, ONE, AGENTS, id="no agent"),
        pytest.param("proxy/1", GIT_PUSH, subscribed("git", GIT), BAD, ONE, AGENTS, id="foreign agent, git"),
        pytest.param(
            AZURE_DEVOPS, acr_push(IMAGE_TYPE), subscribed("image", IMAGE), BAD, ONE, AGENTS, id="wrong agent"
        ),
        pytest.param(ACR, GIT_PUSH, subscribed("git", GIT), BAD, ONE, AGENTS, id="wrong agent, git"),
        pytest.param(
            AZURE_DEVOPS,
            {**GIT_PUSH, "action": "push"},
            subscribed("git", GIT),
            ONE,
            ONE,
            SAME,
            id="git with a registry's field",
        ),
        pytest.param(
            AZURE_DEVOPS,
            {"eventType": "git.push", "resource": {}},
            None,
            NONE,
            BAD,
            "nothing can be known of it: the user shall see at Test that 'All' is to be chosen",
            id="git without a repository",
        ),
    ],
)
def test_kargos_cases(
    agent: str,
    payload: Any,
    held: dict[str, Any] | None,
    kargo: tuple[int, str],
    ours: tuple[int, str],
    why: str,
) -> None:
    """Each answer of ours is Kargo's, or differs for a reason that is written down."""
    assert (ours == kargo) == (not why)
    body = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    assert answer(agent, body, held) == ours


def answer(agent: str, body: bytes, held: dict[str, Any] | None) -> tuple[int, str]:
    """Return status and message for a body, where the cluster holds this one object."""
    try:
        event = parse("application/json", None, body, user_agent=agent)
    except BadPayload:
        return BAD
    index = TargetIndex()
    if held is not None:
        decode = decode_promotion if "status" in held else decode_warehouse
        index.added(decode(json.dumps(held).encode(), lambda *_: None))
    match event:
        case Ping():
            return PONG
        case Ignored():
            return IGNORED
        case PullRequest(subjects=(subject,)):
            return 200, f"refreshed {len(index.find(pull_request_key(subject.url), 'shop'))} promotion(s)"
        case Push(subjects=(subject,)):
            keys = event_keys(subject.kind, subject.url)
            found = {target for key in keys for target in index.find(key, "shop")}
            return 200, f"refreshed {len(found)} warehouse(s)"
    raise AssertionError(event)
