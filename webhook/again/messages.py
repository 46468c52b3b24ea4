"""What ``kargo-azure-receiver again`` and the running receiver write to each other: lines of JSON.

One request, then one line for each delivery, then one that ends the answer. The socket is in the data folder.
"""

import msgspec

SOCKET_NAME = "again.sock"
"""In the data folder; only the user whose folder it is may connect (mode 0600)."""
VERSION = 1
"""Of the messages: both sides are of one release, unless a newer one was copied into a Pod."""
MOST = 1000
"""Deliveries in one call."""
ID_CHARACTERS = 64
"""Of an id: ours have 16."""
LINE_BYTES = 128 * 1024
"""Of one line: a thousand ids take 70 KB, a hundred names of objects less."""
CALL_SECONDS = 120.0
"""After which no more deliveries of a call are dispatched."""


class Request(msgspec.Struct, omit_defaults=True):
    """Which deliveries to dispatch anew: those with these ids, or those that the filters leave."""

    version: int
    ids: tuple[str, ...] = ()
    since: float | None = None
    """Unix time in seconds; without it, only the ids count."""
    receiver: str | None = None
    repository: str | None = None
    outcome: str | None = None


class Repeated(msgspec.Struct, rename="camel", tag="repeated"):
    """What became of one delivery until its line was written."""

    repeats: str
    """The id that was asked for."""
    id: str = ""
    """Of the new delivery; empty if there is none, which ``problem`` explains."""
    receiver: str = ""
    repository: str = ""
    """The first one, and how many more; no more than a line of the log has."""
    matched: int = 0
    refreshed: int = 0
    rejected: int = 0
    names: tuple[str, ...] = ()
    """``namespace/name`` of the first hundred objects that matched."""
    outcome: str = ""
    known: bool = True
    """Whether this replica's history has a delivery of this id."""
    problem: str = ""
    """In one line; empty if it was dispatched, and kept if something is outstanding."""


class End(msgspec.Struct, tag="end"):
    """The last line."""

    problem: str = ""
    """Why not all that was asked for was done, in one line."""
    wrong_use: bool = False
    """Whether the call itself was at fault."""
