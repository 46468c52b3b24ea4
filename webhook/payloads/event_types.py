"""What a delivery can mean: the values that the parsers return.

``type`` is safe as a metric's label and in an answer: it is one of the types listed in the senders' modules,
or ``other``. Everything else in an event is the sender's text, unchecked but for its shape.
"""

import msgspec

from webhook.arrival import Subject

ACR = "acr"
AZURE_DEVOPS = "azure-devops"
EVENT_GRID = "event-grid"

OTHER = "other"
"""The type of an event whose type we don't know."""


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    """``ACR``, ``AZURE_DEVOPS`` or ``EVENT_GRID``."""
    type: str
    """The sender's name of the event's type if we know it, else ``other``."""
    sender_id: str = ""
    """The sender's own id of the event, printable and short; empty if it gave none."""
    delivery_count: int | None = None
    """How often Event Grid has tried this delivery before; None if it did not say."""


class Ping(_Event, frozen=True, kw_only=True):
    """A test of the URL: nothing to do but to say that it works."""


class Ignored(_Event, frozen=True, kw_only=True):
    """Nothing to refresh."""

    @property
    def known(self) -> bool:
        """Whether the type is one we know, so that the answer may name it."""
        return self.type != OTHER


class Handshake(_Event, frozen=True, kw_only=True):
    """Event Grid asks whether this URL wants its events."""

    code: str
    """What the answer must hold as ``validationResponse``."""


class Push(_Event, frozen=True, kw_only=True):
    """Something was pushed to these repositories (distinct, at least one)."""

    subjects: tuple[Subject, ...]
    refs: tuple[str, ...] = ()
    """Tags or digests, or Git refs, as ``reading.refs`` gives them: for people only."""
    unreadable: int = 0
    """Other pushes of the same batch that name no repository: nobody can be refreshed for them."""


class PullRequest(_Event, frozen=True, kw_only=True):
    """A pull request was merged, completed or abandoned."""

    subjects: tuple[Subject, ...]
    refs: tuple[str, ...] = ()


Event = Ping | Ignored | Handshake | Push | PullRequest
