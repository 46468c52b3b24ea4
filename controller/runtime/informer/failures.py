"""What an error of a list or watch means: to the reflector, and as a reason in a metric."""

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
