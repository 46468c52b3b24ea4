"""What an error of a list or watch means: to the reflector, and to whoever counts."""

from controller.runtime.api.errors import (
    ApiError,
    ConnectionFailed,
    Expired,
    MalformedResponse,
    ResponseTooLarge,
    ServerFault,
    StatusError,
    TooManyRequests,
    Unauthorized,
    WatchIdle,
)
from controller.runtime.informer.reflector import Failure

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


def classify(error: ApiError) -> tuple[Failure, str]:
    """Return what ``error`` means, and which of WATCH_RESTART_REASONS it is."""
    match error:
        case WatchIdle():
            return Failure.IDLE, "idle"
        case ConnectionFailed():
            return Failure.RETRY, "connection"
        case ResponseTooLarge():
            return Failure.TOO_LARGE, "malformed"
        case MalformedResponse():
            return Failure.RETRY, "malformed"
        case Expired():
            return Failure.EXPIRED, "expired"
        case TooManyRequests():
            return Failure.RETRY, "throttled"
        case ServerFault():
            return Failure.RETRY, "server_fault"
        case Unauthorized() | StatusError(status=408):  # a fresh token, or a quieter moment, may do
            return Failure.RETRY, "refused"
        case _:
            return Failure.REFUSED, "refused"
