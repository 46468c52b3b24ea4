"""What a delivery can mean: the values that the parsers return.

``type`` is safe as a metric's label and in an answer: it is one of the types listed in the senders' modules,
or ``other``. Everything else in an event is the sender's text, unchecked but for its shape.
"""

from dataclasses import dataclass

from webhook.ports import Subject

ACR = "acr"
AZURE_DEVOPS = "azure-devops"
EVENT_GRID = "event-grid"
SOURCES = (ACR, AZURE_DEVOPS, EVENT_GRID)

OTHER = "other"
"""The type of an event whose type we don't know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    source: str
    """One of ``SOURCES``."""
    type: str
    """The sender's name of the event's type if we know it, else ``other``."""
    sender_id: str = ""
    """The sender's own id of the event, printable and short; empty if it gave none."""
    delivery_count: int | None = None
    """How often Event Grid has tried this delivery before; None if it did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(_Event):
    """A test of the URL: nothing to do but to say that it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored(_Event):
    """Nothing to refresh."""

    @property
    def known(self) -> bool:
        """Whether the type is one we know, so that the answer may name it."""
        return self.type != OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake(_Event):
    """Event Grid asks whether this URL wants its events."""

    code: str
    """What the answer must hold as ``validationResponse``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push(_Event):
    """Something was pushed to these repositories (distinct, at least one)."""

    subjects: tuple[Subject, ...]
    unreadable: int = 0
    """Other pushes of the same batch that name no repository: nobody can be refreshed for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest(_Event):
    """A pull request was merged, completed or abandoned."""

    subjects: tuple[Subject, ...]


Event = Ping | Ignored | Handshake | Push | PullRequest
