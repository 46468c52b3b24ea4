"""Asks the API server whether a refused request was refused for want of a right (SelfSubjectAccessReview).

A 403 has two causes that call for opposite answers: a missing RBAC rule heals when someone adds it, an
admission plugin's refusal is final. Their texts must not be told apart by matching words.
"""

import asyncio

import msgspec
import structlog

from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError
from controller.runtime.api.resource import Resource
from controller.runtime.clock import Clock

GROUP, VERSION = "authorization.k8s.io", "v1"
OWN = Resource(GROUP, VERSION, "selfsubjectaccessreviews")
OTHERS = Resource(GROUP, VERSION, "subjectaccessreviews")

REMEMBERED = 30.0
"""Seconds for which a "no" is kept: ten thousand refused Warehouses ask once, and a right that appears is
seen when the retry comes 30 s later."""
REMEMBERED_GRANT = 1.0
"""Seconds for which a "yes" is kept: it makes a refusal final, so it must not be older than the refusal by
much."""
FORGOTTEN = 600.0
"""Seconds after which a missing right that nobody asked about is reported anew if it is still missing."""
KEPT = 1000
"""Answers and reports beyond which old ones are looked for and dropped: namespaces come and go."""

log = structlog.get_logger()

_Question = tuple[str, Resource, str, str]
"""(verb, resource, namespace, subresource)"""


class _Status(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


async def review(
    client: Client,
    verb: str,
    resource: Resource,
    namespace: str,
    subresource: str,
    account: tuple[str, str] | None = None,
) -> bool:
    """Return whether RBAC grants it to us, or to the ServiceAccount of this namespace and name.

    Raises ApiError, or msgspec.MsgspecError for an answer that is no review.
    """
    attributes = {"verb": verb, "group": resource.group, "resource": resource.plural}
    if subresource:
        attributes["subresource"] = subresource
    if namespace:
        attributes["namespace"] = namespace
    kind, reviews = "SelfSubjectAccessReview", OWN
    spec: dict[str, object] = {"resourceAttributes": attributes}
    if account is not None:
        kind, reviews = "SubjectAccessReview", OTHERS
        spec["user"] = f"system:serviceaccount:{account[0]}:{account[1]}"
        # The groups that authentication would add: rights may be bound to them, too.
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
        spec["groups"] = [*groups, "system:authenticated"]
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "spec": spec}
    answer = await client.create(reviews, body=msgspec.json.encode(body))
    return msgspec.json.decode(answer, type=_Review).status.allowed


class AccessReviewer:
    """Answers "may we?" for (verb, resource, namespace), remembers it, and logs a missing right once."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._answers: dict[_Question, tuple[float, asyncio.Task[bool | None]]] = {}
        self._reported: dict[_Question, float] = {}

    async def allowed(
        self, verb: str, resource: Resource, namespace: str, subresource: str = ""
    ) -> bool | None:
        """Return whether RBAC grants it; None if the API server could not be asked."""
        key = (verb, resource, namespace, subresource)
        now = self._clock.monotonic()
        known = self._answers.get(key)
        if known is None or now - known[0] > _lifetime(known[1]):
            self._forget_old(now)
            known = (now, asyncio.ensure_future(self._ask(*key)))
            self._answers[key] = known
        # Many wait for one review: a waiter that is cancelled must not cancel it for the others.
        answer = await asyncio.shield(known[1])
        if answer is False:
            if key not in self._reported:
                log.error(
                    "right_missing",
                    verb=verb,
                    resource=f"{resource}/{subresource}" if subresource else str(resource),
                    namespace=namespace or "all namespaces",
                )
            self._reported[key] = now
        elif answer:
            self._reported.pop(key, None)
        return answer

    def granted(self, verb: str, resource: Resource, namespace: str) -> None:
        """Note that a request of this kind was let through, so that the next refusal is reported anew."""
        self._reported.pop((verb, resource, namespace, ""), None)

    def _forget_old(self, now: float) -> None:
        if len(self._answers) > KEPT:
            self._answers = {k: v for k, v in self._answers.items() if now - v[0] <= REMEMBERED}
        if len(self._reported) > KEPT:
            self._reported = {k: at for k, at in self._reported.items() if now - at <= FORGOTTEN}

    async def _ask(self, verb: str, resource: Resource, namespace: str, subresource: str) -> bool | None:
        try:
            return await review(self._client, verb, resource, namespace, subresource)
        except (ApiError, msgspec.MsgspecError):
            return None


def _lifetime(task: "asyncio.Task[bool | None]") -> float:
    """Return for how many seconds an answer, or a question that is under way, is good."""
    if not task.done():
        return REMEMBERED
    if task.cancelled() or task.result() is None:
        return -1.0  # could not be asked: no answer
    return REMEMBERED_GRANT if task.result() else REMEMBERED
