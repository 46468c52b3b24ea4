"""Protocols of what the webhook package needs from the rest of the program.

The package never imports the controller's domain modules: the composition root passes objects that satisfy
these Protocols. Tests pass fakes.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from webhook.arrival import Subject
from webhook.outcome import NearMisses


class Receiver(Protocol):
    """One Azure receiver that is being served."""

    @property
    def name(self) -> str:
        """``namespace/name``, or ``cluster/name`` for ClusterConfig: safe to log."""

    def authorized(self, authorization: Sequence[str]) -> bool:
        """Whether these ``Authorization`` header values satisfy its second factor; True if it has none.

        Compares in constant time.
        """


class ReceiverLookup(Protocol):
    """The index from path digest to receiver."""

    def find(self, digest: str) -> Receiver | None:
        """Return the receiver that answers ``…/azure/{digest}``, in O(1)."""

    def expected(self, digest: str) -> str | None:
        """Return the name of a receiver whose Secret is not known yet, but whose path a config's status has.

        None for any other path.
        """


class Refresh(Protocol):
    """The refreshes of everything that one delivery matched. Its counts may change until ``done``."""

    @property
    def matched(self) -> int:
        """Objects matched, without those that have been deleted since."""

    @property
    def names(self) -> Sequence[str]:
        """``namespace/name`` of the first objects matched, a hundred at the most."""

    @property
    def persisted(self) -> int:
        """Objects whose annotation the API server has stored since the delivery asked."""

    @property
    def rejected(self) -> int:
        """Objects the API server refused for good."""

    @property
    def done(self) -> bool:
        """True when nothing is outstanding any more (also when ``superseded_by`` others)."""

    @property
    def superseded_by(self) -> Collection[str]:
        """Ids of the later deliveries that took over what was still outstanding here; empty if none did.

        They may be several for a delivery of several subjects. Their rows in the journal replace this one's.
        """

    @property
    def failing(self) -> bool:
        """True if something matched is waiting for a retry, which may take long."""

    def detach(self) -> None:
        """Note that the answer has been given: a later delivery of the same flow may now supersede it."""

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call back once when ``done`` (at once if it already is)."""


class Dispatcher(Protocol):
    """Matches deliveries and requests refreshes."""

    def dispatch(
        self, receiver: str, subjects: Sequence[Subject], received: float, *, delivery: str
    ) -> Refresh:
        """Match ``subjects`` within the scope of the receiver of this name and request the refreshes.

        ``received`` is Unix time in seconds; ``delivery`` is the id that ``superseded_by`` names. Returns
        at once; never raises for any text in ``subjects``, nor for a receiver that no longer exists
        (nothing is matched then).
        """

    def remember(self, receiver: str, subjects: Sequence[Subject], received: float) -> None:
        """Refresh what a finished delivery of an earlier process may have missed, also what is seen later."""


class NearMissFinder(Protocol):
    """Finds out why a delivery matched nothing."""

    async def find(self, receiver: str, subjects: Sequence[Subject]) -> NearMisses | None:
        """Return what ``subjects`` nearly match in all Projects: for operators, never for the sender.

        Takes a few seconds at most, and does not block the event loop. None where near misses make no sense.
        Never raises for any text in ``subjects``.
        """


class WebhookMetrics(Protocol):
    """Counts what the public server does. Labels are from bounded sets."""

    def request(self, source: str, event: str, code: int, seconds: float) -> None:
        """Count a request, answered ``seconds`` after its headers were read."""

    def matched(self, count: int) -> None:
        """Count a delivery that matched so many objects."""
