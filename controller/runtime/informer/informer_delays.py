"""How long an informer waits before its next request: the numbers behind the reflector's ``Wait``."""

import random
from dataclasses import dataclass

from controller.runtime.api.errors import ApiError, Forbidden
from controller.runtime.backoff import Backoff
from controller.runtime.informer.reflector import Pause, Wait

ABSENT_SECONDS = 30.0
"""Between two looks for a kind that was absent or forbidden: a CRD or a right may come."""
RETRY_AFTER_LIMIT = 120.0
"""Seconds of a Retry-After that are honoured: a proxy's senseless value must not stop us for a day."""
SPREAD = 0.2
"""Part by which a fixed delay is made longer or shorter, so that many informers do not act as one."""


@dataclass(frozen=True)
class ForbiddenRetry:
    """How a list that is forbidden is tried again, where the right is expected to come in a moment."""

    fast: float = 5.0
    """Seconds between attempts at first."""
    fast_for: float = 120.0
    """Seconds, from the first refusal, for which that holds."""
    slow: float = 30.0
    """Seconds between attempts from then on."""


_rng = random.Random()  # noqa: S311  spreading, not secrecy. One for all: each takes 2.5 KB


class InformerDelays:
    """The delays of one informer."""

    def __init__(self, forbidden: ForbiddenRetry | None, rng: random.Random | None) -> None:
        self._rng = rng or _rng
        self._forbidden = forbidden
        self._forbidden_since: float | None = None
        self._backoff = Backoff(self._rng)

    def seconds(self, wait: Wait, error: ApiError | None, now: float) -> float:
        """Return how long to wait at ``now`` (monotonic), after ``error`` if there was one."""
        delay = self._nominal(wait.why, error, now)
        if wait.at_least is not None:
            asked = min(wait.at_least, RETRY_AFTER_LIMIT) * (1.0 + SPREAD * self._rng.random())
            delay = max(delay, asked)
        return delay

    def watch_seconds(self) -> int:
        """Return a watch's ``timeoutSeconds``: 5 to 10 minutes, as client-go, so that watches end apart."""
        return self._rng.randint(300, 600)

    def succeeded(self) -> None:
        """Note that a list came: the next refusal counts as the first."""
        self._forbidden_since = None

    def _nominal(self, why: Pause, error: ApiError | None, now: float) -> float:
        if why is Pause.ABSENT:
            return self._spread(ABSENT_SECONDS)
        if self._forbidden is not None and isinstance(error, Forbidden):
            if self._forbidden_since is None:
                self._forbidden_since = now
            fast = now - self._forbidden_since < self._forbidden.fast_for
            return self._spread(self._forbidden.fast if fast else self._forbidden.slow)
        return self._backoff.next(now)

    def _spread(self, seconds: float) -> float:
        return seconds * self._rng.uniform(1.0 - SPREAD, 1.0 + SPREAD)
