"""Lists one kind of object into the mirror, page by page."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from controller.runtime.api.client import Client
from controller.runtime.api.errors import UNDECODABLE, ApiError, MalformedResponse
from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import parse_page
from controller.runtime.clock import Clock
from controller.runtime.informer import reflector
from controller.runtime.informer.mirror import Mirror
from controller.runtime.informer.pager import Pager
from controller.runtime.informer.store import Stored

T = TypeVar("T", bound=Stored)


class Lister(Generic[T]):
    """Asks for the pages, and has the mirror collect what they hold.

    ``scope`` are the client's arguments that say which objects: ``namespace`` and ``field_selector``.
    """

    def __init__(
        self, client: Client, resource: Resource, scope: Mapping[str, Any], mirror: Mirror[T], clock: Clock
    ) -> None:
        self._client = client
        self._resource = resource
        self._scope = scope
        self._mirror = mirror
        self._clock = clock
        self._pager = Pager(self._fetch)
        self.begun = 0.0
        """Monotonic time at which the first page of the last list was asked for."""

    async def page(self, page: reflector.ListPage) -> reflector.Page:
        """Handle one page. Raises ApiError, also for an answer that is no list."""
        if page.first:
            self._mirror.begin_list()
            self.begun = self._clock.monotonic()
        try:
            found = parse_page(await self._pager.page(page))
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
        await self._mirror.collect(found.items or [])
        return reflector.Page(found.token, found.version)

    def drop(self) -> None:
        """Give up the page that was asked for ahead, if there is one."""
        self._pager.drop()

    async def _fetch(self, page: reflector.ListPage) -> bytes:
        return await self._client.list_page(
            self._resource, **self._scope, limit=page.limit, continue_token=page.token or None
        )

    def _malformed(self, message: str) -> MalformedResponse:
        return MalformedResponse(
            message, verb="list", resource=str(self._resource), namespace=self._scope["namespace"]
        )
