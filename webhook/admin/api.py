"""``/api``: this replica's own reports as JSON, for its peers and for scripts."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from webhook.admin import queries
from webhook.admin.handler import Handler
from webhook.admin.reports import Report, Reporter


class _Api(Handler):
    def initialize(self, report: Callable[..., Awaitable[Report | None]]) -> None:
        self._report = report

    async def get(self, *args: str) -> None:
        found = await self._report(self, *args)
        if found is None:
            self.answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
        else:
            self.answer(HTTPStatus.OK, found)


def routes(reporter: Reporter) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Return the paths below ``/api``, each with what makes its report."""

    def deliveries(handler: Handler) -> Awaitable[Report]:
        limit = queries.number(handler, "limit", queries.ROWS, queries.MOST_ROWS)
        return reporter.deliveries(queries.deliveries(handler, limit=limit))

    reports: dict[str, Callable[..., Awaitable[Report | None]]] = {
        "/api/?": lambda _: reporter.overview(),
        "/api/receivers/(.+)": lambda _, name: reporter.receiver(name, queries.ROWS + 1),
        "/api/deliveries": deliveries,
        "/api/deliveries/(.+)": lambda _, wanted: reporter.delivery(wanted),
    }
    return [(path, _Api, {"report": report}) for path, report in reports.items()]
