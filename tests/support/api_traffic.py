"""What a request to the API server asks for, and a record of the requests that were made."""

import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

_PATH = re.compile(
    r"/(?:api|apis/[^/]+)/[^/]+/(?:namespaces/(?P<namespace>[^/]+)/(?=[^/]))?"
    r"(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?$"
)
_VERBS = {"PATCH": "patch", "POST": "create", "PUT": "update", "DELETE": "delete"}


@dataclass(frozen=True)
class Call:
    """One request in Kubernetes' terms; ``resource`` is empty for what is none (``/readyz``)."""

    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str = ""
    continued: bool = False
    """A further page of a list."""

    @classmethod
    def of(cls, method: str, target: str) -> "Call":
        """Read a request's method and target."""
        parts = urlsplit(target)
        found = _PATH.match(parts.path)
        query = parse_qs(parts.query)
        if found is None:
            return cls(method.lower(), "", "", "")
        namespace, resource, name, subresource = (
            found[key] or "" for key in ("namespace", "resource", "name", "subresource")
        )
        selector = query.get("fieldSelector", [""])[0]
        verb = _VERBS.get(method, method.lower())
        if method == "GET":
            verb = "watch" if "watch" in query else "get" if name else "list"
        # A list or watch of one object is told apart by that object's name.
        name = name or selector.removeprefix("metadata.name=")
        return cls(verb, resource, namespace, name, subresource, "continue" in query)


@dataclass
class Seen:
    """One request that came, and how it was answered."""

    call: Call
    at: float
    """Monotonic time in seconds."""
    status: int = 0
    """0 while there is no answer, or if there was none."""
    fault: str = ""
    """What the proxy did to it; empty if nothing."""


@dataclass
class Traffic:
    """All requests seen so far, oldest first. Appended to by one thread, read by any."""

    seen: list[Seen] = field(default_factory=list)

    def note(self, call: Call) -> Seen:
        """Add a request; the caller fills in how it ends."""
        entry = Seen(call, time.monotonic())
        self.seen.append(entry)
        return entry

    def select(
        self,
        verb: str | None = None,
        resource: str | None = None,
        *,
        subresource: str | None = None,
        since: float = 0.0,
    ) -> list[Seen]:
        """Return the requests with this verb, resource and subresource ("" for none), None meaning any."""
        return [
            entry
            for entry in tuple(self.seen)
            if entry.at >= since
            and verb in (None, entry.call.verb)
            and resource in (None, entry.call.resource)
            and subresource in (None, entry.call.subresource)
        ]

    def count(
        self,
        verb: str | None = None,
        resource: str | None = None,
        *,
        subresource: str | None = None,
        since: float = 0.0,
    ) -> int:
        """Return how many requests ``select`` finds."""
        return len(self.select(verb, resource, subresource=subresource, since=since))

    def faults(self) -> Counter[str]:
        """Return how often each fault was dealt."""
        return Counter(entry.fault for entry in tuple(self.seen) if entry.fault)

    def busiest_second(
        self, verb: str | None = None, resource: str | None = None, *, since: float = 0.0
    ) -> int:
        """Return the most requests within any one second."""
        return most_within([entry.at for entry in self.select(verb, resource, since=since)], 1.0)


def most_within(times: Iterable[float], seconds: float) -> int:
    """Return the greatest number of moments that lie within an interval of so many seconds."""
    ordered = sorted(times)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
