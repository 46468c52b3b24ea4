"""What follows from the API server's answer to the patch of one target. Pure."""

import msgspec

from controller.kargo.objects import Metadata
from controller.refreshing.batch import Settled
from controller.runtime.api.errors import UNDECODABLE, ApiError, Forbidden, NotFound, ServerFault, StatusError
from controller.runtime.queue.controller import Retry

RIGHT_MISSING_RETRY = 30.0
"""Seconds between attempts while RBAC does not let us patch: a person has to act first."""
REFUSAL_RETRY = 1.0
"""Seconds between attempts while a refusal that RBAC does not explain may still pass."""
LONGEST_RETRY_AFTER = 60.0
"""Seconds: a larger ``Retry-After`` is honoured up to here, so that no header can park a refresh for good."""

_DENIED = 'admission webhook "'
_PASSING = frozenset({401, 404, 408, 409, 429})
"""Those of the 4xx that time may heal. A 404 that does not name the object is one: the path is unknown for
now, since the CRD is being replaced."""


def verdict(error: ApiError, *, allowed: bool | None, lasting: bool) -> Settled | Retry:
    """Decide what becomes of a target whose patch failed.

    ``allowed`` is whether RBAC grants the patch, None if that is not known; ``lasting`` whether the target
    has been refused for so long that it counts. Both matter only if ``is_refusal(error)``.

    ==============================================================  ====================================
    404 naming the object                                           gone
    a refusal, and we lack the right                                tried again every 30 s
    a refusal, and nobody knows whether we have the right           tried again, with backoff
    a refusal although we have the right, not lasting               tried again every second
    a refusal although we have the right, lasting                   rejected
    any other 4xx, except 401, 408, 409, 429                        rejected
    anything else: those four, 5xx, no answer, no API's answer      tried again, with backoff, or when
                                                                    the server asks for it
    ==============================================================  ====================================
    """
    if isinstance(error, NotFound) and error.names(error.name or ""):
        return Settled.GONE
    if is_refusal(error):
        if allowed is None:
            return Retry()
        if not allowed:
            return Retry(RIGHT_MISSING_RETRY)
        return Settled.REJECTED if lasting else Retry(REFUSAL_RETRY)
    if not isinstance(error, StatusError):
        return Retry()
    if 400 <= error.status < 500 and error.status not in _PASSING:
        return Settled.REJECTED
    return Retry(min(error.retry_after, LONGEST_RETRY_AFTER) if error.retry_after else None)


def is_refusal(error: ApiError) -> bool:
    """Whether somebody says no to us: RBAC, an admission plugin or a webhook."""
    return isinstance(error, Forbidden) or denied_by_webhook(error)


def denied_by_webhook(error: ApiError) -> bool:
    """Whether the 500 is an admission webhook's denial, which Kargo's come as, and no fault of the server.

    Reason, code and details are the same as when a webhook could not be called. The message is the only sign:
    the API server's own words come first in it, before those of the webhook, and are ``admission webhook "…"
    denied the request`` or ``Internal error occurred: failed calling webhook "…"`` (k8s.io/apiserver
    admission/plugin/webhook/errors, and apimachinery's NewInternalError).
    """
    return isinstance(error, ServerFault) and error.status == 500 and error.message.startswith(_DENIED)


class _Answer(msgspec.Struct):
    metadata: Metadata


_answers = msgspec.json.Decoder(_Answer)


def is_stored(answer: bytes, name: str, value: str) -> bool:
    """Whether the answer to a patch is the object of this name, with this refresh annotation."""
    try:
        metadata = _answers.decode(answer).metadata
    except UNDECODABLE:
        return False
    stored = metadata.annotations.refresh if metadata.annotations else None
    return metadata.name == name and stored == value
