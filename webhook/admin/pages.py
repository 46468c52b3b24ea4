"""The page: server-rendered, read-only, without a script."""

import asyncio
import mimetypes
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tornado import template

from webhook.admin import queries, text
from webhook.admin.fleet import Fleet, ReceiverRow
from webhook.admin.handler import Handler
from webhook.admin.reports import LATEST
from webhook.admin.words import WORDS
from webhook.outcome import Outcome

FOLDER = Path(__file__).with_name("templates")
FILES = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in (".css", ".svg")}
RECEIVERS = 20
"""Receivers on a page."""
MOST_PAGES = 1_000
AT_ONCE = 8
"""Pages being made at the same time; further ones wait."""
STATES = ("served", "pending", "faulty")

_templates = template.Loader(
    str(FOLDER),
    autoescape="escape",
    whitespace="oneline",
    namespace={"escape": text.escape, "text": text, **WORDS},
)


class Page(Handler):
    """One HTML page."""

    def initialize(self, fleet: Fleet, places: asyncio.Semaphore) -> None:
        """Store what all pages share."""
        self.fleet = fleet
        self.places = places

    async def get(self, *args: str) -> None:
        """Answer with the page."""
        async with self.places:
            await self.show(*args)

    async def show(self, *args: str) -> None:
        """Write the page."""
        raise NotImplementedError

    def render_page(self, name: str, **shown: Any) -> None:
        """Answer with a template, filled in."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        # Relative links, so that the page works below any path, such as kubectl proxy's.
        depth = self.request.path.count("/") - 1
        self.finish(
            _templates.load(name).generate(
                now=self.fleet.own.now(), root="../" * depth or "./", version=self.fleet.own.version, **shown
            )
        )

    def refuse(self, code: int, line: str) -> None:
        """Write an error as a page."""
        self.set_status(code)
        self.render_page("error.html", title=line, code=code, line=line, troubles=())


class OverviewPage(Page):
    """``/``."""

    async def show(self, *args: str) -> None:
        """Write receivers, latest deliveries and the replicas."""
        wanted, state = queries.text(self, "q"), queries.text(self, "state")
        number = queries.number(self, "page", 1, MOST_PAGES)
        seen = await self.fleet.overview(LATEST)
        await asyncio.sleep(0)  # merging 1,000 receivers took milliseconds, and the page takes some more
        rows = _filtered(seen.receivers, wanted, state)
        pages = max(1, -(-len(rows) // RECEIVERS))
        number = min(number, pages)
        counts = {each: sum(row.state == each for row in seen.receivers) for each in STATES}
        self.render_page(
            "overview.html",
            title="Overview",
            seen=seen,
            troubles=seen.troubles,
            listed=rows[(number - 1) * RECEIVERS : number * RECEIVERS],
            found=len(rows),
            number=number,
            pages=pages,
            counts=counts,
            states=STATES,
            wanted=wanted,
            state=state,
        )


class ReceiverPage(Page):
    """``/receivers/{name}``."""

    async def show(self, *args: str) -> None:
        """Write one receiver and its latest deliveries."""
        row, found = await self.fleet.receiver(args[0], queries.ROWS)
        if row is None:
            self.refuse(HTTPStatus.NOT_FOUND, f"no replica knows a receiver {text.visible(args[0], 300)}")
            return
        self.render_page("receiver.html", title=row.name, row=row, found=found, troubles=found.troubles)


class DeliveriesPage(Page):
    """``/deliveries``."""

    async def show(self, *args: str) -> None:
        """Write a page of deliveries."""
        query = queries.deliveries(self)
        found = await self.fleet.deliveries(query)
        self.render_page(
            "deliveries.html",
            title="Deliveries",
            query=query,
            found=found,
            outcomes=[each.value for each in Outcome],
            troubles=found.troubles,
        )


class DeliveryPage(Page):
    """``/deliveries/{id}``."""

    async def show(self, *args: str) -> None:
        """Write all that is known of one delivery."""
        delivery, troubles = await self.fleet.delivery(args[0])
        if delivery is None:
            line = f"no replica that answers has a delivery {text.visible(args[0], 300)}"
            self.set_status(HTTPStatus.NOT_FOUND)
            self.render_page("error.html", title=line, code=404, line=line, troubles=troubles)
            return
        self.render_page("delivery.html", title="Delivery", it=delivery, troubles=troubles)


class File(Handler):
    """The style sheet and the icon."""

    def get(self, *args: str) -> None:
        """Answer with a file."""
        kind, _ = mimetypes.guess_type(args[0])
        self.set_header("Content-Type", kind or "application/octet-stream")
        self.set_header("Cache-Control", "max-age=300")
        self.finish(FILES[args[0]])


def routes(fleet: Fleet) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Return the pages' paths. Compiles the templates, so that the first page does not take 15 ms longer."""
    for path in FOLDER.glob("*.html"):
        _templates.load(path.name)
    wired = {"fleet": fleet, "places": asyncio.Semaphore(AT_ONCE)}
    return [
        ("/", OverviewPage, wired),
        ("/receivers/(.+)", ReceiverPage, wired),
        ("/deliveries", DeliveriesPage, wired),
        ("/deliveries/(.+)", DeliveryPage, wired),
        (f"/({'|'.join(FILES)})", File, {}),
    ]


def _filtered(rows: Sequence[ReceiverRow], wanted: str, state: str) -> Sequence[ReceiverRow]:
    lower = wanted.lower()
    return [row for row in rows if (not state or row.state == state) and lower in row.name.lower()]
