"""Reads a URL's query. A wrong value is answered with a 400 that names it."""

import math
from http import HTTPStatus

from tornado import web

from webhook.journal.history import Query
from webhook.outcome import Outcome

ROWS = 50
"""Deliveries on a page."""
MOST_ROWS = 200
"""Deliveries in one answer of ``/api``."""
LONGEST_FILTER = 300
"""Characters of a filter; the rest is cut off."""


def text(handler: web.RequestHandler, name: str) -> str:
    """Return a filter, empty if it is not given."""
    return handler.get_query_argument(name, "").strip()[:LONGEST_FILTER]


def number(handler: web.RequestHandler, name: str, default: int, most: int) -> int:
    """Return a whole number from 1 to ``most``. Raises HTTPError."""
    given = handler.get_query_argument(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= most):
        raise refused(f"{name} must be a whole number from 1 to {most}")
    return int(given)


def deliveries(handler: web.RequestHandler, *, limit: int = ROWS) -> Query:
    """Return the query for deliveries. Raises HTTPError."""
    before = handler.get_query_argument("before", "")
    try:
        moment = float(before) if before else None
    except ValueError:
        moment = math.nan
    if moment is not None and not math.isfinite(moment):
        raise refused("before must be a Unix time in seconds")
    outcome = text(handler, "outcome")
    if outcome and outcome not in list(Outcome):
        raise refused(f"outcome must be one of {', '.join(Outcome)}")
    return Query(
        receiver=text(handler, "receiver"),
        repository=text(handler, "repository"),
        text=text(handler, "text"),
        outcome=outcome,
        before=moment,
        before_id=text(handler, "before_id"),
        limit=limit,
    )


def refused(line: str) -> web.HTTPError:
    """Return the error for a wrong value."""
    return web.HTTPError(HTTPStatus.BAD_REQUEST, line)
