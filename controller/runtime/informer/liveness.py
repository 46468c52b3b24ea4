"""When an informer last knew the state of the cluster, and whether it has caught up since a break.

``last_activity`` is the time up to which the store is known to follow the API server. It moves with every
line of the watch. While the informer is behind, it stands still at the last sign of life before the break, so
that a handler which is told of a late event can see how late it may be.

A break begins: at the start; when a watch ends, for whatever reason; with a line after a silence longer than
``SILENCE`` (a frozen connection that comes back brings old news first).

It is over, and the informer has caught up:

- when a complete list was handled, unless it took longer than ``SILENCE``: then the watch after it decides.
  ``last_activity`` is then the time at which that list was begun;
- at a bookmark: the server sends events in order, so everything older has been handled;
- ``SETTLE`` after the watch was opened again, or after the line that ended a silence, where no bookmark has
  come: what the server holds for a watch it sends at once.
"""

SILENCE = 90.0
"""Seconds. A watch gives a sign of life about once a minute: that is how often bookmarks come."""
SETTLE = 10.0
"""Seconds for the API server to send from memory what happened during a break."""


class Liveness:
    """Follows one informer; every ``at`` is monotonic seconds, and none of it reads a clock."""

    def __init__(self, at: float) -> None:
        self.last_activity = at
        self.caught_up = False
        self.settles: float | None = None
        """When the break is over if nothing else ends it before; None while that can't be said."""

    def broken(self) -> None:
        """The watch ended, or is not there yet."""
        self.caught_up = False
        self.settles = None

    def listed(self, begun: float, at: float) -> bool:
        """A complete list was handled. Return whether that ended a break."""
        self.last_activity = max(self.last_activity, begun)
        return at - begun <= SILENCE and self._catch_up()

    def opened(self, at: float) -> None:
        """A watch was accepted."""
        if not self.caught_up:
            self.settles = at + SETTLE
        else:
            self.last_activity = at

    def heard(self, at: float) -> None:
        """A line came; to be called before it is handled."""
        if self.caught_up and at - self.last_activity > SILENCE:
            self.caught_up = False
            self.settles = at + SETTLE
        if self.caught_up:
            self.last_activity = at

    def bookmark(self, at: float) -> bool:
        """The line was a bookmark. Return whether that ended a break."""
        self.last_activity = at
        return self._catch_up()

    def settle(self, at: float) -> bool:
        """The time ``settles`` may have come. Return whether that ended a break."""
        if self.caught_up or self.settles is None or at < self.settles:
            return False
        self.last_activity = at
        return self._catch_up()

    def _catch_up(self) -> bool:
        ended, self.caught_up = not self.caught_up, True
        self.settles = None
        return ended
