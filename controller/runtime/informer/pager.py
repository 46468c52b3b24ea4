"""Asks for the pages of a list, one ahead: the server makes the next while this one is taken apart."""

import asyncio
from collections.abc import Awaitable, Callable

from controller.runtime.api.wire import peek_token
from controller.runtime.informer.reflector import ListPage

TURNS_TO_SEND = 5
"""Turns of the event loop until aiohttp has sent a request over an open connection. From then on the server
makes the next page while this one is decoded, or that would be added to the list's time: a sixth."""


class Pager:
    """Pages of one list, in order; never more than one is under way, and two in memory.

    ``fetch`` sends the request for a page and returns its JSON; what it raises, ``page`` raises.
    """

    def __init__(self, fetch: Callable[[ListPage], Awaitable[bytes]]) -> None:
        self._fetch = fetch
        self._ahead: tuple[ListPage, asyncio.Future[bytes]] | None = None

    async def page(self, page: ListPage) -> bytes:
        """Return a page, which may have been asked for already; by then the next has been asked for."""
        if self._ahead is None or self._ahead[0] != page:
            self.drop()
            self._ask(page)
        assert self._ahead is not None  # noqa: S101
        _, asking = self._ahead
        try:
            body = await asking
        finally:
            self.drop()
        token = peek_token(body)
        if token:
            self._ask(ListPage(token, page.limit))
            for _ in range(TURNS_TO_SEND):
                await asyncio.sleep(0)
        return body

    def _ask(self, page: ListPage) -> None:
        self._ahead = page, asyncio.ensure_future(self._fetch(page))

    def drop(self) -> None:
        """Give up the page that was asked for ahead, if there is one."""
        if self._ahead is not None:
            _, asking = self._ahead
            self._ahead = None
            if asking.done() and not asking.cancelled():
                asking.exception()  # it is nobody's concern any more
            asking.cancel()
