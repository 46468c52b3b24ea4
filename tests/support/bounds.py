"""What is bounded at the public port and of queues, as docs/security.md shows it."""

from typing import NamedTuple

from controller.cli.settings import DEFAULT_CONCURRENCY
from webhook.limits import KIB, MIB, UNQUEUED_SECONDS, Limits, share
from webhook.queues.consumer import MOST_DEQUEUES, PAGE


class Bound(NamedTuple):
    """Something that is bounded, as the documentation shows it."""

    what: str
    met: str
    """What the one who meets the bound sees."""
    all: str = "-"
    """How much of it there is in all."""
    project: str = "-"
    """How much of it one Project may use."""
    receiver: str = "-"
    each: str = "-"
    """How much of it one body, answer or connection may take."""


def table(limits: Limits) -> list[Bound]:
    """Return what is bounded, by how much, for whom, and what who meets it sees."""
    bodies, deliveries = limits.body_bytes // MIB, limits.delivery_bytes // MIB
    refused, closed = "503 with `Retry-After`", "closed"
    return [
        Bound("requests in progress", refused, *(f"{each:,}" for each in _shares(limits.requests))),
        Bound("bodies being received", refused, *(f"{each} MiB" for each in _shares(bodies))),
        Bound("deliveries in memory", refused, *(f"{each} MiB" for each in _shares(deliveries))),
        Bound(
            "the event loop, in each second",
            "waits its turn: whoever has used least of it is next",
            "1 s",
            f"{UNQUEUED_SECONDS * 1000:.0f} ms at once",
        ),
        Bound(
            "open connections",
            "closed: first where an answer is not read, last where a receiver was called",
            f"{limits.connections:,}, or half of the open files allowed",
        ),
        Bound("body", "413", each=f"{limits.body // MIB} MiB"),
        Bound("line and headers", "400, closed", each=f"{limits.headers // KIB} KiB"),
        Bound("time to the first headers", closed, each=f"{limits.first_request:.0f} s"),
        Bound("time to the next headers", closed, each=f"{limits.idle:.0f} s"),
        Bound("time from headers to the body's end", "408, closed", each=f"{limits.body_seconds:.0f} s"),
        Bound("rest of a refused body", closed, each=f"{limits.discard // MIB} MiB"),
        Bound("time until an answer is read", closed, each=f"{limits.unread:.0f} s"),
        Bound(
            "messages of queues in flight",
            "stay in the queue",
            f"{PAGE * DEFAULT_CONCURRENCY:,} ({PAGE} for each of `--refresh-concurrency`)",
        ),
        Bound("dequeues of a message", "set aside in the queue's `…-poison`", each=f"{MOST_DEQUEUES}"),
    ]


def _shares(most: int) -> tuple[int, int, int]:
    """Return how much there is in all, for a Project and for a receiver."""
    return most, share(most), share(share(most))
