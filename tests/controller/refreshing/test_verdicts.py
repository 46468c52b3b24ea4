"""What follows from an answer to a patch, as a table: no API server, no queue, no time."""

import json

import pytest

from controller.refreshing.batch import Settled
from controller.refreshing.verdicts import is_stored, verdict
from controller.runtime.api.errors import ApiError, ConnectionFailed, MalformedResponse, status_error
from controller.runtime.queue.controller import Retry

ABOUT = {"verb": "patch", "resource": "warehouses.kargo.akuity.io", "namespace": "p", "name": "w"}
BACKOFF, SECOND, HALF_MINUTE = Retry(), Retry(1.0), Retry(30.0)


def status(code: int, name: str = "w", retry_after: float | None = None) -> ApiError:
    body = json.dumps({"kind": "Status", "code": code, "message": "no", "details": {"name": name}}).encode()
    return status_error(code, body, retry_after=retry_after, **ABOUT)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        *(pytest.param(status(code), Settled.REJECTED, id=str(code)) for code in (400, 402, 405, 413, 422)),
        *(pytest.param(status(code), BACKOFF, id=str(code)) for code in (401, 408, 409, 429)),
        *(pytest.param(status(code), BACKOFF, id=str(code)) for code in (500, 502, 503, 504, 599)),
        *(pytest.param(status(code), BACKOFF, id=f"{code}, unforeseen") for code in (0, 100, 302, 304, 600)),
        pytest.param(status(404), Settled.GONE, id="404 naming the object"),
        pytest.param(status(404, "other"), BACKOFF, id="404 naming another"),
        pytest.param(status(404, ""), BACKOFF, id="404 of the path"),
        pytest.param(status(429, retry_after=7.0), Retry(7.0), id="Retry-After"),
        pytest.param(status(503, retry_after=86_400.0), Retry(60.0), id="Retry-After of a day"),
        pytest.param(ConnectionFailed("refused", **ABOUT), BACKOFF, id="no answer"),
        pytest.param(MalformedResponse("a page", **ABOUT), BACKOFF, id="no answer of the API's"),
    ],
)
@pytest.mark.parametrize("allowed", [True, False, None])
@pytest.mark.parametrize("lasting", [True, False])
def test_what_is_no_refusal(
    error: ApiError, outcome: Settled | Retry, allowed: bool | None, lasting: bool
) -> None:
    """Decided by the answer alone; what nobody foresaw is tried again, never given up."""
    assert verdict(error, allowed=allowed, lasting=lasting) == outcome


@pytest.mark.parametrize(
    ("allowed", "lasting", "outcome"),
    [
        (False, False, HALF_MINUTE),
        (False, True, HALF_MINUTE),
        (None, False, BACKOFF),
        (None, True, BACKOFF),
        (True, False, SECOND),
        (True, True, Settled.REJECTED),
    ],
)
def test_refusals(allowed: bool | None, lasting: bool, outcome: Settled | Retry) -> None:
    """A right that is missing is waited for; a refusal that RBAC does not explain is final if it lasts."""
    assert verdict(status(403), allowed=allowed, lasting=lasting) == outcome


VALUE = "2026-11-28T12:00:00.000000001Z"


def test_what_is_stored() -> None:
    """The object of this name with the value that was written, whatever else is in it."""
    answer = json.dumps(
        {
            "kind": "PartialObjectMetadata",
            "metadata": {"name": "w", "annotations": {"a": "b", "kargo.akuity.io/refresh": VALUE}},
        }
    ).encode()
    assert is_stored(answer, "w", VALUE)
    assert not is_stored(answer, "other", VALUE)
    assert not is_stored(answer, "w", VALUE + "0")
