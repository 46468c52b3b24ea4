"""The ways in which an API server, or what stands before it, goes wrong."""

import json
import random
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from tests.support.api_traffic import Call


@dataclass(frozen=True)
class Refuse:
    """Answer with this status instead of asking the API server."""

    status: int
    reason: str = ""
    retry_after: int | None = None
    """Seconds."""
    html: bool = False
    """Answer as a load balancer does, not as the API server."""


@dataclass(frozen=True)
class Reset:
    """Reset the connection: before the request is passed on, or (``answered``) after it was carried out."""

    answered: bool = False


@dataclass(frozen=True)
class Delay:
    """Pass the request on so many seconds late."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Reset a watch within a line, after a few whole ones."""


@dataclass(frozen=True)
class Expire:
    """End a watch with an ERROR event of code 410, after a few lines."""


@dataclass(frozen=True)
class Late:
    """Pass each line of a watch on so many seconds late; open watches too."""

    seconds: float


@dataclass(frozen=True)
class Silent:
    """Pass nothing more on in a watch, and keep it open; open watches too."""


Action = Refuse | Reset | Delay | Cut | Expire | Late | Silent


@dataclass(frozen=True)
class Fault:
    """An action for the requests it applies to; ``share`` of them are struck."""

    action: Action
    verbs: frozenset[str] | None = None
    """None for all."""
    resources: frozenset[str] | None = None
    share: float = 1.0
    continued: bool | None = None
    """True for the further pages of lists only."""

    @property
    def name(self) -> str:
        """What reports call it."""
        what = type(self.action).__name__.lower()
        return f"{what} {self.action.status}" if isinstance(self.action, Refuse) else what

    def applies(self, call: Call) -> bool:
        """Whether such a request may be struck."""
        return (
            (self.verbs is None or call.verb in self.verbs)
            and (self.resources is None or call.resource in self.resources)
            and self.continued in (None, call.continued)
        )

    def strikes(self, call: Call, nth: int, seed: int) -> bool:
        """Decide, always the same way for one seed, whether the ``nth`` request of its kind is struck."""
        return self.applies(call) and random.Random(f"{seed}/{self}/{call}/{nth}").random() < self.share


def fault(
    action: Action,
    *verbs: str,
    resources: tuple[str, ...] = (),
    share: float = 1.0,
    continued: bool | None = None,
) -> Fault:
    """Build a fault for these verbs and resources; none named means all."""
    return Fault(action, frozenset(verbs) or None, frozenset(resources) or None, share, continued)


def refusal(how: Refuse) -> web.Response:
    """Return the answer that an API server gives, or the page of a load balancer."""
    headers = {} if how.retry_after is None else {"Retry-After": str(how.retry_after)}
    phrase = HTTPStatus(how.status).phrase
    if how.html:
        page = f"<html><body><h1>{how.status} {phrase}</h1></body></html>"
        return web.Response(status=how.status, text=page, content_type="text/html", headers=headers)
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"injected: {phrase}",
        "reason": how.reason or phrase.replace(" ", ""),
        "code": how.status,
    }
    body = json.dumps(status).encode()
    return web.Response(status=how.status, body=body, content_type="application/json", headers=headers)
