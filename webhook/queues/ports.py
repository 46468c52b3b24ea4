"""What a consumer needs of a queue, and the errors that a queue may have."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class QueueSettingError(Exception):
    """A queue can't be used as it is set; the message is one line and holds no credential."""


class QueueFault(Exception):  # noqa: N818 - a state of the queue, as it is logged
    """A request to the queue failed. The message is one line and holds no credential."""


class QueueRefused(QueueFault):
    """The right for a request is missing."""


class MessageLost(QueueFault):
    """A message is no longer ours: it was visible again, and another has received or deleted it."""


class Message(NamedTuple):
    """A message that was received and is invisible to others for a while."""

    id: str
    receipt: str
    """Proves that we have it; each renewal gives a new one."""
    text: str
    dequeued: int
    """How often it was received, this time included."""


class Queue(Protocol):
    """One Azure Storage Queue. Every method raises QueueFault, and takes bounded time."""

    name: str
    """``queue:ACCOUNT/QUEUE``."""

    async def receive(self, most: int, visibility: int) -> Sequence[Message]:
        """Receive at most so many messages, up to 32, invisible to others for ``visibility`` seconds."""

    async def renew(self, message: Message, visibility: int) -> Message:
        """Keep a message invisible for so many seconds from now; it has another receipt then.

        Raises QueueRefused where the right to write messages is missing, and MessageLost.
        """

    async def delete(self, message: Message) -> None:
        """Delete a message. Raises MessageLost."""

    async def poison(self, message: Message) -> None:
        """Copy a message to the queue ``…-poison``, which is made if it is missing."""

    async def close(self) -> None:
        """Close the connections."""


class QueueMetrics(Protocol):
    """What is counted of queues."""

    def queue_message(self, queue: str, result: str) -> None:
        """One message came to its end here: ``done``, ``poison`` or ``left``."""

    def queue_failing(self, queue: str, *, failing: bool) -> None:
        """Requests to the queue began, or ceased, to fail."""
