"""What came in: an event that concerns repositories or pull requests, and what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HTTP, QUEUE, AGAIN, CATCH_UP = "http", "queue", "again", "catch-up"
"""How something came in: by the public port, by a queue, by the command ``again``, or by a catch-up."""

UNKNOWN = "unknown"
"""Source and event of an arrival whose body is not understood (yet)."""


class Subject(NamedTuple):
    """What an event is about: a repository that Warehouses subscribe to, or a pull request."""

    kind: str
    """``image`` (an image or chart repository), ``git`` (a Git repository) or ``pull_request``."""
    url: str
    """As the sender wrote it: ``registry.azurecr.io/app``, a clone URL, a pull request's page."""


@dataclass(slots=True)
class Arrival:
    """One call of a receiver. It is made when the headers are read, and filled in as more is known.

    Nothing in it changes once its subjects are known: then the journal gets it.
    """

    id: str
    """Our own unique id of it, which is in the answer, the log and the journal."""
    receiver: str = ""
    """``namespace/name``, or ``cluster/name``; empty if the path is no receiver's."""
    source: str = UNKNOWN
    """Which kind of sender: one of a small fixed set."""
    event: str = UNKNOWN
    """Type of event: one of a small fixed set."""
    sender_id: str = ""
    """The sender's id of it, for people who compare logs; empty if it gave none."""
    subjects: Sequence[Subject] = ()
    received: float = 0.0
    """Unix time in seconds at which its headers were read."""
    delivery_count: int | None = None
    """How often the sender has tried before; only Event Grid says so."""
    via: str = HTTP
    """How it came in."""
    refs: Sequence[str] = ()
    """Tags, digests or Git refs that were pushed: few, short and printable. For people only."""
    repeats: str = ""
    """Id of the delivery that this one dispatches anew; empty for all others."""
    began: float = field(default=0.0, compare=False)
    """Monotonic time of the same moment: the reply budget and all durations run from here."""
