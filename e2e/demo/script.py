"""What the demonstration sends, in order, with what each event must be answered and must refresh."""

import base64
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from e2e.demo.events import PULL_REQUESTS, REGISTRY, REPOSITORY, acr_push, ado_push, ping
from webhook.payloads.samples import (
    ACR_HEADERS,
    ADO_HEADERS,
    CLOUD_EVENT_HEADERS,
    EVENT_GRID_HEADERS,
    ORIGIN_HEADERS,
    VALIDATION_HEADERS,
    cloud_event_push,
    event_grid_push,
    event_grid_validation,
    image_push,
    pull_request,
)

OPEN = "azure"
"""The receiver that demands nothing but its URL."""
GUARDED = "azure-guarded"
"""The receiver whose Secret has a second factor."""

USERNAME = "azure-devops"

GUESTBOOK = frozenset({"guestbook", "storefront"})
"""What a push to ``guestbook`` must refresh."""
_STOREFRONT = frozenset({"storefront"})
_MANIFESTS = frozenset({"manifests-https", "manifests-ssh"})


class Event(NamedTuple):
    """One request: what to call it, what is sent to which receiver, and what must come of it."""

    title: str
    body: Any
    """None for a request without one: then the method is OPTIONS."""
    headers: Mapping[str, str]
    answer: dict[str, str]
    """The JSON that must be answered."""
    refreshes: frozenset[str] = frozenset()
    """The names of the sample's objects that must be refreshed; no others may be."""
    receiver: str = OPEN
    status: int = 200
    answer_headers: Mapping[str, str] = {}
    """Headers that the answer must have; they are shown."""


def chapters(password: str, authorization: str) -> dict[str, list[Event]]:
    """The events by chapter; both arguments are of the guarded receiver's Secret."""
    return {
        "Azure Container Registry": _registry(),
        "Azure DevOps": _devops(),
        "Event Grid": _event_grid(),
        "A receiver whose Secret demands a second factor": _guarded(password, authorization),
    }


def _registry() -> list[Event]:
    regional = REGISTRY.replace(".azurecr", ".westeurope.geo.azurecr")
    return [
        Event(
            "the button Ping",
            ping(),
            ACR_HEADERS,
            {"msg": "ping event received, webhook is configured correctly"},
        ),
        Event(
            f"docker push {REGISTRY}/guestbook:v1.2.3",
            acr_push("guestbook", "v1.2.3"),
            ACR_HEADERS,
            _refreshed(2),
            GUESTBOOK,
        ),
        Event(
            f"helm push storefront-0.4.0.tgz oci://{REGISTRY}/charts",
            image_push(f"{REGISTRY}/charts/storefront:0.4.0", chart=True),
            ACR_HEADERS,
            _refreshed(1),
            _STOREFRONT,
        ),
        Event(
            f"docker push {regional}/guestbook:v1.2.4",
            image_push(f"{regional}/guestbook:v1.2.4"),
            ACR_HEADERS,
            _refreshed(2),
            GUESTBOOK,
        ),
    ]


def _devops() -> list[Event]:
    return [
        Event(
            f"git push {REPOSITORY} main",
            ado_push(REPOSITORY, "main"),
            ADO_HEADERS,
            _refreshed(2),
            _MANIFESTS,
        ),
        Event(
            "pull request 41 is merged, on which a Promotion waits",
            pull_request(f"{PULL_REQUESTS}/41"),
            ADO_HEADERS,
            _refreshed(1, "promotion"),
            frozenset({"prod-eu.01k3zv7q8m5t2r9xwbn4c6d0ef.5f2a9c1"}),
        ),
        Event(
            "pull request 42 is abandoned, on which another one waits",
            pull_request(f"{PULL_REQUESTS}/42", "abandoned"),
            ADO_HEADERS,
            _refreshed(1, "promotion"),
            frozenset({"prod-us.01k3zv9c4h7p1s8yqdm2a5g6kj.5f2a9c1"}),
        ),
    ]


def _event_grid() -> list[Event]:
    code = str(uuid.uuid4()).upper()
    return [
        Event(
            "validation of the URL, Event Grid schema (a code by POST)",
            event_grid_validation(code),
            VALIDATION_HEADERS,
            {"validationResponse": code},
        ),
        Event(
            "ImagePushed guestbook:v1.2.5, Event Grid schema",
            event_grid_push(f"{REGISTRY}/guestbook:v1.2.5"),
            EVENT_GRID_HEADERS,
            _refreshed(2),
            GUESTBOOK,
        ),
        Event(
            "validation of the URL, CloudEvents (OPTIONS)",
            None,
            ORIGIN_HEADERS,
            {},
            answer_headers={
                "WebHook-Allowed-Origin": ORIGIN_HEADERS["WebHook-Request-Origin"],
                "WebHook-Allowed-Rate": "*",
            },
        ),
        Event(
            "ImagePushed charts/storefront:0.5.0, CloudEvents",
            cloud_event_push(f"{REGISTRY}/charts/storefront:0.5.0"),
            CLOUD_EVENT_HEADERS,
            _refreshed(1),
            _STOREFRONT,
        ),
    ]


def _guarded(password: str, authorization: str) -> list[Event]:
    basic = base64.b64encode(f"{USERNAME}:{password}".encode()).decode()
    return [
        Event(
            "a git push without it",
            ado_push(REPOSITORY, "main"),
            ADO_HEADERS,
            {"error": "the receiver demands an Authorization header, which is missing or wrong"},
            receiver=GUARDED,
            status=401,
            answer_headers={"WWW-Authenticate": 'Basic realm="kargo-azure-receiver", charset="UTF-8"'},
        ),
        Event(
            "a git push with basic authentication, which Azure DevOps offers",
            ado_push(REPOSITORY, "main"),
            {**ADO_HEADERS, "Authorization": f"Basic {basic}"},
            _refreshed(2),
            _MANIFESTS,
            GUARDED,
        ),
        Event(
            "a docker push with a custom header, which ACR and Event Grid offer",
            acr_push("guestbook", "v1.2.6"),
            {**ACR_HEADERS, "Authorization": authorization},
            _refreshed(2),
            GUESTBOOK,
            GUARDED,
        ),
    ]


def _refreshed(count: int, noun: str = "warehouse") -> dict[str, str]:
    return {"msg": f"refreshed {count} {noun}(s)"}
