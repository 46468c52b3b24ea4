"""Lists one kind of object into the mirror, page by page, asking for one page ahead.

The server makes the next page while this one is taken apart: two pages are in memory at most.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controller.runtime.api.client import Client
from controller.runtime.api.errors import UNDECODABLE, MalformedResponse
from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import parse_page
from controller.runtime.clock import Clock
from controller.runtime.informer.mirror import Mirror
from controller.runtime.informer.reflector import Listing, Page
from controller.runtime.informer.store import Stored

T = TypeVar("T", bound=Stored)

SENDING_SECONDS = 0.001
"""For the request for the next page to be sent before this one, for some 10 ms, has the event loop."""


@dataclass(eq=False)
class Lister(Generic[T]):
    """Asks for the pages, and has the mirror collect what they hold."""

    client: Client
    resource: Resource
    scope: Mapping[str, Any]
    """The client's arguments that select objects: ``namespace`` and ``field_selector``."""
    mirror: Mirror[T]
    clock: Clock
    _ahead: "asyncio.Task[bytes] | None" = field(default=None, init=False)
    """Asks for the page after the last one, where there is one."""
    begun: float = field(default=0.0, init=False)
    """Monotonic time at which the first page of the last list was asked for."""

    async def page(self, listing: Listing) -> Page:
        """Handle one page. Raises ApiError, also for an answer that is no list."""
        if not listing.token:
            self.mirror.begin_list()
            self.begun = self.clock.monotonic()
        asking, self._ahead = self._ahead or self._ask(listing.token, listing.limit), None
        try:
            found = parse_page(await asking)
        except UNDECODABLE as error:
            raise self._malformed(f"the list can't be read: {error}") from error
        if not found.version:
            raise self._malformed("the list has no resourceVersion")
        if found.token:
            self._ahead = self._ask(found.token, listing.limit)
            await asyncio.sleep(SENDING_SECONDS)
        await self.mirror.collect(found.items or [])
        return Page(found.token, found.version)

    def drop(self) -> None:
        """Give up the page that was asked for ahead, if there is one."""
        asking, self._ahead = self._ahead, None
        if asking is not None:
            asking.cancel()
            if asking.done() and not asking.cancelled():
                asking.exception()  # nobody waits for it any more

    def _ask(self, token: str, limit: int) -> "asyncio.Task[bytes]":
        page = self.client.list_page(self.resource, **self.scope, limit=limit, continue_token=token or None)
        return asyncio.ensure_future(page)

    def _malformed(self, message: str) -> MalformedResponse:
        return MalformedResponse(
            message, verb="list", resource=str(self.resource), namespace=self.scope["namespace"]
        )
