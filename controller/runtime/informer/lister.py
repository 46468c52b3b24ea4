"""Lists one kind of object into the mirror, page by page, asking for one page ahead.

The server makes the next page while this one is taken apart: two pages are in memory at most.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controller.runtime.api.client import Client
from controller.runtime.api.errors import UNDECODABLE, ApiError, MalformedResponse
from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import parse_page, peek_token
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
    _ahead: tuple[str, asyncio.Task[bytes]] | None = field(default=None, init=False)
    """A continue token, and its page."""
    begun: float = field(default=0.0, init=False)
    """Monotonic time at which the first page of the last list was asked for."""

    async def page(self, listing: Listing) -> Page:
        """Handle one page. Raises ApiError, also for an answer that is no list."""
        if not listing.token:
            self.mirror.begin_list()
            self.begun = self.clock.monotonic()
        try:
            found = parse_page(await self._page(listing))
            if not found.version:
                raise self._malformed("the list has no resourceVersion")
        except ApiError:
            self.drop()
            raise
        except UNDECODABLE as error:
            self.drop()
            raise self._malformed(f"the list can't be read: {error}") from error
        if not found.token:
            self.drop()  # whatever the end of the page looked like
        await self.mirror.collect(found.items or [])
        return Page(found.token, found.version)

    def drop(self) -> None:
        """Give up the page that was asked for ahead, if there is one."""
        if self._ahead is not None:
            _, asking = self._ahead
            self._ahead = None
            asking.cancel()
            if asking.done() and not asking.cancelled():
                asking.exception()  # nobody waits for it any more

    async def _page(self, listing: Listing) -> bytes:
        """Return a page's JSON; by then the next one, if there is one, has been asked for."""
        if self._ahead is None or self._ahead[0] != listing.token:
            self.drop()
            self._ask(listing.token, listing.limit)
        assert self._ahead is not None  # noqa: S101
        _, asking = self._ahead
        try:
            body = await asking
        finally:
            self.drop()
        token = peek_token(body)
        if token:
            self._ask(token, listing.limit)
            await asyncio.sleep(SENDING_SECONDS)
        return body

    def _ask(self, token: str, limit: int) -> None:
        page = self.client.list_page(self.resource, **self.scope, limit=limit, continue_token=token or None)
        self._ahead = token, asyncio.ensure_future(page)

    def _malformed(self, message: str) -> MalformedResponse:
        return MalformedResponse(
            message, verb="list", resource=str(self.resource), namespace=self.scope["namespace"]
        )
