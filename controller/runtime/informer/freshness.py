"""When an informer last knew the state of the cluster, and whether it has caught up since a break.

``last_activity`` is the time up to which the store is known to follow the API server. It moves with every
line of the watch. While the informer is behind, it stands still at the last sign of life before the break, so
that a handler which is given a late event can see how late it may be.

A break begins: at the start; when a watch ends, for whatever reason; with a line after a silence longer than
``SILENCE`` (a frozen connection that comes back brings old news first).

It is over, and the informer has caught up:

- when a complete list was handled, unless it took longer than ``SILENCE``: then the watch after it decides.
  ``last_activity`` is then the time at which that list was begun;
- at a bookmark: the server sends events in order, so everything older has been handled;
- ``SETTLE`` after the watch was opened again, or after the line that ended a silence, where no bookmark has
  come: what the server holds for a watch it sends at once.
"""

from collections.abc import Callable

from controller.runtime.clock import Clock, Timer

SILENCE = 90.0
"""Seconds. A watch gives a sign of life about once a minute: that is how often bookmarks come."""
SETTLE = 10.0
"""Seconds for the API server to send from memory what happened during a break."""


class Freshness:
    """Follows one informer; ``on_caught_up`` is called at the end of each break. Times are monotonic."""

    def __init__(self, clock: Clock, on_caught_up: Callable[[], None] | None) -> None:
        self._clock = clock
        self._on_caught_up = on_caught_up
        self._settling: Timer | None = None  # runs while a watch is open during a break
        self.last_activity = clock.monotonic()
        self.caught_up = False

    def broken(self) -> None:
        """Note that the watch ended, or is not there yet."""
        self.caught_up = False
        self._stop_settling()

    def listed(self, begun: float) -> None:
        """Note that a complete list was handled, whose first page was asked for at ``begun``."""
        self.last_activity = max(self.last_activity, begun)
        if self._clock.monotonic() - begun <= SILENCE:
            self._catch_up()

    def opened(self) -> None:
        """Note that a watch was accepted."""
        if self.caught_up:
            self.last_activity = self._clock.monotonic()
        else:
            self._settle_later()

    def heard(self) -> None:
        """Note that a line came; to be called before it is handled."""
        now = self._clock.monotonic()
        if self.caught_up and now - self.last_activity > SILENCE:
            self.caught_up = False
            self._settle_later()
        if self.caught_up:
            self.last_activity = now

    def bookmark(self) -> None:
        """Note that everything older was handled: a bookmark came and was handled, or SETTLE is over."""
        self.last_activity = self._clock.monotonic()
        self._catch_up()

    def _settle_later(self) -> None:
        if self._settling is None:
            self._settling = self._clock.call_later(SETTLE, self.bookmark)

    def _stop_settling(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def _catch_up(self) -> None:
        self._stop_settling()
        ended, self.caught_up = not self.caught_up, True
        if ended and self._on_caught_up is not None:
            self._on_caught_up()
