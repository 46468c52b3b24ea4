# ruff: noqa: N818  the names are the API's own reasons, as in the tree below
"""What can go wrong with the Kubernetes API, as exceptions with names.

::

    ConfigurationError              no usable kubeconfig or in-cluster configuration: one line for a person
    ApiError                        one request failed
     ├─ ConnectionFailed            no answer: network, TLS, credentials, timeout
     │   └─ WatchIdle               a watch sent nothing for longer than its idle bound
     ├─ MalformedResponse           an answer, but not one the Kubernetes API gives
     │   └─ ResponseTooLarge        an answer, or a line of a watch, beyond the limit
     └─ StatusError                 an answer with an error status
         ├─ Unauthorized 401   ├─ Conflict 409   ├─ TooManyRequests 429
         ├─ Forbidden 403      ├─ Expired 410    └─ ServerFault 5xx
         ├─ NotFound 404

Errors differ by class, status and reason, never only by their text. No message holds a header or a token.
"""

import email.utils
import http
from dataclasses import KW_ONLY, dataclass
from typing import Any

import msgspec

MESSAGE_LIMIT = 2_000
"""Characters of an API server's message that are kept: it may quote the object it refuses."""


def one_line(message: object) -> str:
    """Return an error or a text as one line; the class of an error that has no message."""
    return " ".join(str(message).split()) or type(message).__name__


class ConfigurationError(Exception):
    """The configuration for reaching a cluster is missing or unusable; the message is one line."""


@dataclass(eq=False)
class ApiError(Exception):
    """A request to the Kubernetes API failed."""

    message: str
    _: KW_ONLY
    verb: str
    """``list``, ``watch``, ``get``, ``patch``, ``create`` or ``delete``."""
    resource: str
    """``plural.group``, or ``plural`` for the core group; a subresource follows after a slash."""
    namespace: str | None = None
    """None for all namespaces and for cluster-scoped objects."""
    name: str | None = None
    retry_after: float | None = None
    """Seconds the server asks to wait, never negative; None if it does not ask, or did not answer."""

    def __str__(self) -> str:
        what = f"{self.resource} {self.name}" if self.name else self.resource
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {what}{where}: {self.message}"


class ConnectionFailed(ApiError):
    """There was no answer: refused, reset, timed out, TLS failed, or the credentials can't be read."""


class WatchIdle(ConnectionFailed):
    """A watch sent not one byte for as long as its idle bound: the connection is taken for dead."""


class MalformedResponse(ApiError):
    """The answer is not what the Kubernetes API sends: a proxy's page, JSON cut short."""


class ResponseTooLarge(MalformedResponse):
    """The answer, or one line of a watch, is larger than the client's limit."""


@dataclass(eq=False)
class StatusError(ApiError):
    """The API server (or a proxy before it) answered with an error."""

    _: KW_ONLY
    status: int
    """The HTTP status, or the code of an ERROR event in a watch."""
    reason: str = ""
    """metav1.StatusReason, such as ``AlreadyExists``; from a proxy, the phrase of its HTTP status."""
    details_name: str = ""
    """Name of the object that the Status is about; empty if it names none."""
    causes: tuple[str, ...] = ()
    """Reasons of the Status' causes (metav1.CauseType), such as ``NamespaceTerminating``."""

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.status} {self.reason})"


class Unauthorized(StatusError):
    """401: the credentials are not, or no longer, accepted."""


class Forbidden(StatusError):
    """403: a right is missing, or an admission plugin refuses."""


class NotFound(StatusError):
    """404: the object, its namespace or the whole path does not exist."""

    def names(self, name: str) -> bool:
        """Whether it is the object called ``name`` that is missing, and not the path (no such CRD)."""
        return bool(name) and self.details_name == name


class Conflict(StatusError):
    """409: the object has another resourceVersion by now, or exists already."""


class Expired(StatusError):
    """410: the version or continue token is too old for the server; list again."""


class TooManyRequests(StatusError):
    """429: the server asks for fewer requests, usually with ``retry_after``."""


class ServerFault(StatusError):
    """5xx: the server, or something between, is unwell."""


class _Cause(msgspec.Struct):
    reason: str | None = None


class _Details(msgspec.Struct, rename="camel"):
    name: str | None = None
    retry_after_seconds: int | None = None
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    """What is read of a metav1.Status (k8s.io/apimachinery ``meta/v1/types.go``)."""

    kind: str = ""
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


_status_decoder = msgspec.json.Decoder(_Status)

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that is broken, of another shape, not UTF-8, or nested too deeply."""

_CLASSES: dict[int, type[StatusError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    429: TooManyRequests,
}


def status_error(
    status: int | None, body: bytes | msgspec.Raw, *, retry_after: float | None = None, **request: Any
) -> StatusError:
    """Build the StatusError for an HTTP answer, or for the object of a watch's ERROR event.

    ``status`` is the HTTP status; None for an event, whose own code counts then. ``body`` may be anything.
    ``retry_after`` is the header's; without it, the Status' own ``retryAfterSeconds`` counts.
    ``request`` is passed on to ApiError.
    """
    try:
        answer = _status_decoder.decode(body)
    except UNDECODABLE:
        answer = _Status()
    if answer.kind != "Status":
        answer = _Status()
    code = status if status is not None else answer.code or 0
    details = answer.details or _Details()
    if retry_after is None and details.retry_after_seconds:
        retry_after = max(0.0, float(details.retry_after_seconds))
    phrase = _phrase(code)
    reason = answer.reason or phrase.replace(" ", "")
    message = (answer.message or phrase)[:MESSAGE_LIMIT]
    return _class_of(code, reason)(
        # It may quote what a tenant wrote: no control characters, which a terminal would obey.
        "".join(char if char.isprintable() else " " for char in message),
        status=code,
        reason=reason,
        retry_after=retry_after,
        details_name=details.name or "",
        causes=tuple(cause.reason for cause in details.causes or () if cause.reason),
        **request,
    )


def _class_of(code: int, reason: str) -> type[StatusError]:
    # A watch's ERROR event was seen with either reason, and with either beside another code:
    # client-go's apierrors.IsResourceExpired and IsGone look at the reason too.
    if reason in ("Expired", "Gone"):
        return Expired
    return ServerFault if code >= 500 else _CLASSES.get(code, StatusError)


def _phrase(code: int) -> str:
    try:
        return http.HTTPStatus(code).phrase
    except ValueError:
        return "unknown error"


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for (RFC 9110, 10.2.3): a number or an HTTP date.

    ``now`` is Unix time. Never negative; None for a missing or senseless header.
    """
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])  # nine digits are 30 years: no overflow, whatever is sent
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
