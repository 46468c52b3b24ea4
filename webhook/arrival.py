"""What came in: an event that concerns repositories or pull requests, and what it is about."""

from collections.abc import Sequence
from typing import NamedTuple


class Subject(NamedTuple):
    """What an event is about: the thing a Warehouse may subscribe to or a Promotion may wait on."""

    kind: str
    """``image`` (an image or chart repository), ``git`` (a Git repository) or ``pull_request``."""
    url: str
    """As the sender wrote it: ``registry.azurecr.io/app``, a clone URL, a pull request's page."""


class Arrival(NamedTuple):
    """An event that concerns repositories or a pull request, as it came in."""

    id: str
    receiver: str
    """``namespace/name``, or ``cluster/name``."""
    source: str
    """Which kind of sender: one of a small fixed set."""
    event: str
    """Type of event: one of a small fixed set."""
    sender_id: str
    """The sender's own id of it, for a person who compares logs; empty if it gave none."""
    subjects: Sequence[Subject]
    received: float
    """Unix time in seconds at which its headers were read."""
    delivery_count: int | None = None
    """How often the sender tried before, where it says so (Event Grid)."""
