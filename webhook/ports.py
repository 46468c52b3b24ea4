"""What the webhook package needs from the rest of the program, as small Protocols.

The webhook package never imports the controller's domain modules: the composition root hands it objects
that satisfy these. Tests hand it fakes.
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
        """Return the name of the receiver whose path this is by a config's status.

        None unless the receiver's Secret is not known yet.
        """


class Refresh(Protocol):
    """The refreshing of everything that one delivery matched; counts move until ``done``."""

    @property
    def matched(self) -> int:
        """Objects matched, less those found to be deleted meanwhile."""

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
        """Ids of the later deliveries that carry what was still outstanding here; empty if none does.

        More than one for a delivery of several subjects. Only a delivery with an id of its own may
        supersede: its journal row stands in for this one's.
        """

    @property
    def failing(self) -> bool:
        """True if something matched is waiting for a retry: no point in waiting for it."""

    def detach(self) -> None:
        """Note that nobody waits for the answer: a later delivery of the same flow may supersede this one."""

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call back once when ``done`` (at once if it already is)."""


class Dispatcher(Protocol):
    """Finds what a delivery concerns and has it refreshed."""

    def dispatch(
        self, receiver: str, subjects: Sequence[Subject], received: float, *, delivery: str
    ) -> Refresh:
        """Match ``subjects`` within the scope of the receiver of this name and request the refreshes.

        ``received`` is Unix time in seconds; ``delivery`` is the id that ``superseded_by`` names. Returns
        at once; never raises for any text in ``subjects``, nor for a receiver that no longer exists
        (nothing is matched then).
        """

    def remember(self, receiver: str, subjects: Sequence[Subject], received: float) -> None:
        """Refresh what a delivery that an earlier process finished may have missed, now or later."""


class NearMissFinder(Protocol):
    """Finds out why a delivery matched nothing."""

    async def find(self, receiver: str, subjects: Sequence[Subject]) -> NearMisses | None:
        """Return what ``subjects`` nearly match, of all Projects: for operators, never for the sender.

        Takes seconds at the most; leaves the event loop to others meanwhile. None where there is nothing to
        look for. Never raises for any text in ``subjects``.
        """


class WebhookMetrics(Protocol):
    """What the public server counts. Labels are drawn from bounded sets."""

    def request(self, source: str, event: str, code: int, seconds: float) -> None:
        """One request was answered. ``seconds`` runs from its headers to its answer."""

    def matched(self, count: int) -> None:
        """One delivery matched this many objects."""
