"""How long to wait before trying again: one rule for a list+watch, one for a key of a workqueue."""

import random

WATCH_BASE = 0.8
"""Seconds. This and the next are client-go's for a reflector (``tools/cache/reflector.go``)."""
WATCH_CAP = 30.0
WATCH_JITTER = 0.5
"""Part of a delay that is added at most, so that watches which broke together come back apart."""
WATCH_QUIET = 120.0
"""Seconds without a failure after which the next one counts as the first again."""

RETRY_BASE = 0.005
"""Seconds: client-go's default for a workqueue (``util/workqueue/default_rate_limiters.go``)."""
RETRY_CAP = 10.0
"""Seconds: an object that can't be refreshed is tried at least this often."""


class Backoff:
    """Delays between attempts at one list+watch: doubling from WATCH_BASE to WATCH_CAP seconds, spread out.

    One instance serves both the list and the watch of a reflector, so that a list that works does not excuse
    a watch that fails each time.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._nominal = WATCH_BASE
        self._last: float | None = None

    def next(self, now: float) -> float:
        """Count a failure at ``now`` (monotonic seconds) and return the seconds to wait."""
        if self._last is not None and now - self._last >= WATCH_QUIET:
            self._nominal = WATCH_BASE
        self._last = now
        delay = self._nominal * (1.0 + WATCH_JITTER * self._rng.random())
        self._nominal = min(WATCH_CAP / (1.0 + WATCH_JITTER), self._nominal * 2.0)
        return delay


def retry_delay(failures: int, rng: random.Random | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row of one key.

    RETRY_BASE after the first (and for any count below that), doubling up to RETRY_CAP, for any count.
    With ``rng``, a random point in the upper half of that: keys which failed together come back apart.
    """
    # 2**64 times any base is beyond any cap: bounding the exponent keeps a float from overflowing.
    delay = min(RETRY_CAP, RETRY_BASE * 2.0 ** min(max(failures - 1, 0), 64))
    return delay if rng is None else delay * (1.0 - 0.5 * rng.random())
