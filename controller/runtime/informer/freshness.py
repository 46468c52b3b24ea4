"""``liveness.py`` on a clock: says each time that a break is over, also when nothing is heard any more."""

from collections.abc import Callable

from controller.runtime.clock import Clock, Timer
from controller.runtime.informer.liveness import Liveness


class Freshness:
    """What one informer has heard, and when. ``on_caught_up`` is called at the end of each break."""

    def __init__(self, clock: Clock, on_caught_up: Callable[[], None] | None) -> None:
        self._clock = clock
        self._on_caught_up = on_caught_up
        self._liveness = Liveness(clock.monotonic())
        self._settling: Timer | None = None

    @property
    def last_activity(self) -> float:
        """Monotonic time up to which the store follows the API server."""
        return self._liveness.last_activity

    @property
    def caught_up(self) -> bool:
        """False at first, and whenever a watch broke until that is made up for."""
        return self._liveness.caught_up

    def broken(self) -> None:
        """The watch ended, or is not there yet."""
        self._liveness.broken()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def listed(self, begun: float) -> None:
        """A complete list was handled, whose first page was asked for at ``begun``."""
        self._ended(self._liveness.listed(begun, self._clock.monotonic()))

    def opened(self) -> None:
        """A watch was accepted."""
        self._liveness.opened(self._clock.monotonic())
        self._settle_later()

    def heard(self) -> None:
        """A line came; to be called before it is handled."""
        self._liveness.heard(self._clock.monotonic())
        self._settle_later()

    def bookmark(self) -> None:
        """The line was a bookmark, and has been handled."""
        self._ended(self._liveness.bookmark(self._clock.monotonic()))

    def _settle_later(self) -> None:
        """See to it that a break ends when ``liveness`` says so, if nothing ends it before."""
        if self._settling is None and self._liveness.settles is not None:
            delay = self._liveness.settles - self._clock.monotonic()
            self._settling = self._clock.call_later(delay, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self._ended(self._liveness.settle(self._clock.monotonic()))
        self._settle_later()

    def _ended(self, ended: bool) -> None:
        if ended and self._on_caught_up is not None:
            self._on_caught_up()
