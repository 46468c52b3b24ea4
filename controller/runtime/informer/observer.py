"""What informers report of themselves, for metrics."""

WATCH_RESTART_REASONS = (
    "closed",  # a clean end, as the server's timeout brings it
    "short",  # a clean end within a second and without an event
    "idle",  # nothing received for the idle bound
    "expired",  # 410: another list follows
    "throttled",  # 429
    "refused",  # any other 4xx
    "server_fault",  # 5xx
    "connection",  # refused, reset, cut off
    "malformed",  # not what an API server sends
)


class InformerObserver:
    """Counts what informers do; this one counts nothing.

    ``kind`` is the informer's, ``reason`` one of WATCH_RESTART_REASONS.
    """

    def watch_restarted(self, kind: str, reason: str) -> None:
        """A watch ended, or could not be opened; another (or a list) follows."""

    def quarantined(self, kind: str) -> None:
        """A version of an object was seen that can't be decoded."""
