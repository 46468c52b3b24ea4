"""Pages of a list: the next is asked for before anybody takes this one apart."""

import asyncio

from controller.runtime.informer.pager import Pager
from controller.runtime.informer.reflector import ListPage

END = b'"kind":"WarehouseList","metadata":{"continue":"%s","remainingItemCount":1,"resourceVersion":"9"}}\n'
FIRST, SECOND = ListPage("", 500), ListPage("t1", 500)


async def test_the_next_page_is_under_way_when_a_page_is_returned() -> None:
    """It is asked for once, and given up when nobody wants it."""
    asked: list[ListPage] = []
    given_up: list[ListPage] = []

    async def fetch(page: ListPage) -> bytes:
        asked.append(page)
        if page == FIRST:
            return b'{"items":[],' + END % b"t1"
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            given_up.append(page)
            raise
        return b'{"items":[],"metadata":{"resourceVersion":"9"}}'

    pager = Pager(fetch)
    await pager.page(FIRST)
    assert asked == [FIRST, SECOND]
    await pager.page(SECOND)
    assert asked == [FIRST, SECOND]
    await pager.page(FIRST)
    pager.drop()
    await asyncio.sleep(0)
    assert given_up == [SECOND]
