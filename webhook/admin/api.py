"""``/api``: this replica's own reports as JSON, for its peers and for scripts."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from webhook.admin import queries
from webhook.admin.handler import Handler
from webhook.admin.reports import Reporter

NOT_FOUND: Mapping[str, str] = {"error": "not found"}


class _Api(Handler):
    def initialize(self, reporter: Reporter) -> None:
        self.reporter = reporter

    def report(self, found: Any) -> None:
        self.answer(HTTPStatus.OK if found is not None else HTTPStatus.NOT_FOUND, found or NOT_FOUND)


class OverviewApi(_Api):
    """``/api/``."""

    async def get(self, *args: str) -> None:
        """Answer with everything at a glance."""
        self.report(await self.reporter.overview())


class ReceiverApi(_Api):
    """``/api/receivers/{name}``."""

    async def get(self, *args: str) -> None:
        """Answer with one receiver and its latest deliveries."""
        self.report(await self.reporter.receiver(args[0], queries.ROWS + 1))


class DeliveriesApi(_Api):
    """``/api/deliveries``."""

    async def get(self, *args: str) -> None:
        """Answer with a page of deliveries."""
        limit = queries.number(self, "limit", queries.ROWS, queries.MOST_ROWS)
        self.report(await self.reporter.deliveries(queries.deliveries(self, limit=limit)))


class DeliveryApi(_Api):
    """``/api/deliveries/{id}``."""

    async def get(self, *args: str) -> None:
        """Answer with one delivery."""
        self.report(await self.reporter.delivery(args[0]))


def routes(reporter: Reporter) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Return the paths below ``/api``."""
    wired = {"reporter": reporter}
    return [
        ("/api/?", OverviewApi, wired),
        ("/api/receivers/(.+)", ReceiverApi, wired),
        ("/api/deliveries", DeliveriesApi, wired),
        ("/api/deliveries/(.+)", DeliveryApi, wired),
    ]
