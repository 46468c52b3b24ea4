"""What follows from an answer to a patch, as a table: no API server, no queue, no time."""

import json
from typing import Any

import pytest

from controller.refreshing.batch import Settled
from controller.refreshing.verdicts import is_refusal, is_stored, verdict
from controller.runtime.api.errors import ApiError, ConnectionFailed, MalformedResponse, status_error
from controller.runtime.queue.controller import Retry

ABOUT: dict[str, Any] = {
    "verb": "patch",
    "resource": "warehouses.kargo.akuity.io",
    "namespace": "p",
    "name": "w",
}
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


def answered(code: int, body: str) -> ApiError:
    return status_error(code, body.encode(), **ABOUT)


INNER = r"Promotion.kargo.akuity.io \"w\" is forbidden: subject \"x\" is not permitted to update Promotions"
HEAD = r'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"'
DENIED = HEAD + r"admission webhook \"promotion.kargo.akuity.io\" denied the request"
FAULT = r"failed calling webhook \"promotion.kargo.akuity.io\": failed to call webhook: an error"


@pytest.mark.parametrize(
    ("error", "denied"),
    [
        # As a kube-apiserver of 1.36 sent them.
        pytest.param(
            answered(
                500,
                f'{DENIED}: Internal error occurred: {INNER}","reason":"InternalError",'
                f'"details":{{"causes":[{{"message":"{INNER}"}}]}},"code":500}}',
            ),
            True,
            id="Kargo's denial",
        ),
        pytest.param(answered(500, f'{DENIED}: boom","code":500}}'), True, id="a denial without reason"),
        pytest.param(
            answered(
                500,
                f'{HEAD}Internal error occurred: {FAULT}","reason":"InternalError",'
                f'"details":{{"causes":[{{"message":"{FAULT}"}}]}},"code":500}}',
            ),
            False,
            id="a webhook that could not be called",
        ),
        pytest.param(
            answered(503, f'{DENIED}: x","reason":"ServiceUnavailable","code":503}}'),
            False,
            id="a webhook that asks to come again",
        ),
        pytest.param(answered(500, "admission webhook denied the request"), False, id="a proxy's page"),
        pytest.param(
            answered(500, HEAD + r'etcd: admission webhook \"x\" denied the request","code":500}'),
            False,
            id="somebody who quotes a denial",
        ),
    ],
)
def test_a_webhooks_denial_is_a_refusal(error: ApiError, denied: bool) -> None:
    """It comes as a 500, final if it lasts; a webhook that could not be called is a fault that may pass."""
    assert is_refusal(error) is denied
    assert verdict(error, allowed=True, lasting=False) == (SECOND if denied else BACKOFF)
    assert verdict(error, allowed=True, lasting=True) == (Settled.REJECTED if denied else BACKOFF)


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
