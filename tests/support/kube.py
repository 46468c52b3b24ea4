"""A stand-in for the API client: objects in memory, and requests that fail as a test wants."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.kargo.objects import EVENTS
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, ConnectionFailed, MalformedResponse, status_error
from controller.runtime.api.resource import Resource

REVIEWS = "selfsubjectaccessreviews"
REASONS = {404: "NotFound", 409: "Conflict"}


@dataclass(frozen=True)
class Request:
    """One request as it was made."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    body: Any = None
    subresource: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """The arguments by which an ApiError names its request."""
        return {
            "verb": self.verb,
            "resource": str(self.resource),
            "namespace": self.namespace,
            "name": self.name,
        }


Failure = Callable[[Request], ApiError]


def refused(
    status: int,
    message: str = "no",
    *,
    retry_after: float | None = None,
    naming: bool = True,
    causes: tuple[str, ...] = (),
) -> Failure:
    """Fail with the StatusError of this HTTP status; with ``naming`` it names the object."""

    def build(request: Request) -> ApiError:
        body: dict[str, Any] = {
            "kind": "Status",
            "reason": REASONS.get(status, ""),
            "message": message,
            "code": status,
        }
        body["details"] = {"causes": [{"reason": cause} for cause in causes]}
        if naming:
            body["details"] |= {"name": request.name, "kind": request.resource.plural}
        return status_error(status, json.dumps(body).encode(), retry_after=retry_after, **request.about)

    return build


def unreachable(request: Request) -> ApiError:
    """Fail as a connection that is refused."""
    return ConnectionFailed("connection refused", **request.about)


def garbled(request: Request) -> ApiError:
    """Fail with an answer that no API server gives."""
    return MalformedResponse("not JSON", **request.about)


class _Fault:
    def __init__(
        self, failure: Failure, times: int | None, matches: dict[str, str], hidden: Callable[[Request], bool]
    ) -> None:
        self.failure = failure
        self.times = times
        self.matches = matches
        self.hidden = hidden

    def applies(self, request: Request) -> bool:
        if self.times == 0 or not self.hidden(request):
            return False
        given = {
            "verb": request.verb,
            "plural": request.resource.plural,
            "namespace": request.namespace,
            "name": request.name,
            "subresource": request.subresource,
        }
        return all(given[key] == value for key, value in self.matches.items())


class FakeKube(Client):
    """Holds objects as an API server does: versions, merge patches, status apart from the rest.

    ``requests`` are all that were made, in order of their start; ``stored`` the places in it of the patches
    that were applied; ``events`` the Kubernetes Events that came in; ``denied`` the (verb, plural) that a
    SelfSubjectAccessReview says no to. ``gate`` holds every patch back while it is not set; ``before`` is
    called with each request before it is served.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.stored: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.denied: set[tuple[str, str]] = set()
        self.reviews_fail = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.before: Callable[[Request], None] = lambda request: None
        self._faults: list[_Fault] = []
        self._version = 0

    # --- what tests do ---

    def put(self, resource: Resource, namespace: str, name: str, **fields: Any) -> dict[str, Any]:
        """Create or replace an object; fields that are None are left out."""
        key = (resource.plural, namespace, name)
        self._version += 1
        metadata = {"name": name, "uid": f"uid-{namespace}-{name}", "resourceVersion": str(self._version)}
        if namespace:
            metadata["namespace"] = namespace
        given = {field: value for field, value in fields.items() if value is not None}
        self.objects[key] = {"metadata": metadata, **given}
        return self.objects[key]

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object."""
        del self.objects[resource.plural, namespace, name]

    def read(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Return an object as it is stored."""
        return self.objects[resource.plural, namespace, name]

    def fail(
        self,
        failure: Failure,
        *,
        times: int | None = None,
        when: Callable[[Request], bool] = lambda request: True,
        **matches: str,
    ) -> None:
        """Fail so many requests (None: all) of this verb, plural, namespace, name or subresource."""
        self._faults.append(_Fault(failure, times, matches, when))

    def heal(self) -> None:
        """Fail nothing any more."""
        self._faults.clear()

    def made(self, verb: str, plural: str = "") -> list[Request]:
        """Return the requests of a verb, and of a resource if given."""
        return [each for each in self.requests if each.verb == verb and plural in ("", each.resource.plural)]

    # --- what the code under test does ---

    async def close(self) -> None:
        """Do nothing."""

    async def get(self, resource: Resource, *, namespace: str | None = None, name: str) -> bytes:
        request = Request("get", resource, namespace or "", name)
        await self._serve(request)
        return json.dumps(self._find(request)).encode()

    async def patch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        name: str,
        body: bytes,
        subresource: str | None = None,
        metadata_only: bool = False,
    ) -> bytes:
        request = Request("patch", resource, namespace or "", name, json.loads(body), subresource or "")
        number = await self._serve(request)
        stored = self._find(request)
        wanted = request.body.get("metadata", {}).pop("resourceVersion", None)
        if wanted is not None and wanted != stored["metadata"]["resourceVersion"]:
            raise refused(409, "the object has been modified")(request)
        # The status subresource changes nothing but status, and nothing else does.
        fields = ("status",) if subresource == "status" else ("metadata", "spec", "data")
        self.stored.append(number)
        before = json.dumps(stored)
        merged = {
            **stored,
            **{
                field: _merged(stored.get(field), request.body[field])
                for field in fields
                if field in request.body
            },
        }
        if json.dumps(merged) != before:
            self._version += 1
            merged["metadata"] = {**merged["metadata"], "resourceVersion": str(self._version)}
            self.objects[resource.plural, request.namespace, name] = merged
        return json.dumps({"metadata": merged["metadata"]} if metadata_only else merged).encode()

    async def create(self, resource: Resource, *, namespace: str | None = None, body: bytes) -> bytes:
        request = Request("create", resource, namespace or "", "", json.loads(body))
        await self._serve(request)
        if resource.plural == REVIEWS:
            asked = request.body["spec"]["resourceAttributes"]
            plural = asked["resource"] + (f"/{asked['subresource']}" if "subresource" in asked else "")
            if self.reviews_fail:
                raise unreachable(request)
            return json.dumps({"status": {"allowed": (asked["verb"], plural) not in self.denied}}).encode()
        if resource == EVENTS:
            self.events.append(request.body)
        return body

    async def _serve(self, request: Request) -> int:
        number = len(self.requests)
        self.requests.append(request)
        self.before(request)
        await asyncio.sleep(0)  # an answer takes time
        if request.verb == "patch":
            await self.gate.wait()
        for fault in self._faults:
            if fault.applies(request):
                if fault.times is not None:
                    fault.times -= 1
                raise fault.failure(request)
        return number

    def _find(self, request: Request) -> dict[str, Any]:
        found = self.objects.get((request.resource.plural, request.namespace, request.name))
        if found is None:
            raise refused(404, "not found")(request)
        return found


def _merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
