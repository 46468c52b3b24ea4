"""A storage account's queue of any length, which answers at once.

Azurite looks at each message of a queue for each request: with 100,000 it takes half a second for one.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

from aiohttp import web

from e2e.controlplane.ports import HOST
from tests.support.background import Background

ACCOUNT, QUEUE = "devstoreaccount1", "events"
_DATE = "Mon, 30 Nov 2026 12:00:00 GMT"


class FullStorage:
    """Gives each of ``count`` messages once; ``text`` makes them, so that they take no memory here."""

    def __init__(self, count: int, text: Callable[[int], str], background: Background) -> None:
        self.left = set(range(count))
        """The numbers of messages that were not deleted."""
        self.most_in_flight = 0
        self.url = ""
        self._count = count
        self._next = 0
        self._text = text
        self._background = background
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._background.call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        self._background.call(self._runner.cleanup())

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get(f"/{ACCOUNT}/{QUEUE}/messages", self._get)
        app.router.add_put(f"/{ACCOUNT}/{QUEUE}/messages/{{number}}", self._renew)
        app.router.add_delete(f"/{ACCOUNT}/{QUEUE}/messages/{{number}}", self._delete)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}/{ACCOUNT}/{QUEUE}"

    async def _get(self, request: web.Request) -> web.Response:
        first, most = self._next, int(request.query["numofmessages"])
        self._next = min(self._count, first + most)
        self.most_in_flight = max(self.most_in_flight, self._next - (self._count - len(self.left)))
        messages = "".join(self._message(number) for number in range(first, self._next))
        body = f'<?xml version="1.0" encoding="utf-8"?><QueueMessagesList>{messages}</QueueMessagesList>'
        return web.Response(text=body, content_type="application/xml")

    def _message(self, number: int) -> str:
        fields = {
            "MessageId": str(number),
            "InsertionTime": _DATE,
            "ExpirationTime": _DATE,
            "PopReceipt": "receipt",
            "TimeNextVisible": _DATE,
            "DequeueCount": "1",
            "MessageText": escape(self._text(number)),
        }
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return f"<QueueMessage>{inner}</QueueMessage>"

    async def _renew(self, request: web.Request) -> web.Response:
        headers = {"x-ms-popreceipt": "receipt", "x-ms-time-next-visible": _DATE}
        return web.Response(status=204, headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        self.left.remove(int(request.match_info["number"]))
        return web.Response(status=204)
