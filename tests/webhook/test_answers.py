"""The words and headers of the answers."""

import json

import pytest

from webhook import answers
from webhook.answers import Answer


@pytest.mark.parametrize(
    ("answer", "code", "body"),
    [
        pytest.param(
            answers.PING, 200, {"msg": "ping event received, webhook is configured correctly"}, id="ping"
        ),
        pytest.param(answers.UNKNOWN_PATH, 404, {}, id="unknown-path"),
        pytest.param(answers.ignored("delete"), 200, {"msg": "event type delete is ignored"}, id="ignored"),
        pytest.param(
            answers.ignored(None),
            200,
            {"msg": "event type is not supported and was ignored"},
            id="unsupported",
        ),
        pytest.param(
            answers.validation('a"b\\c'), 200, {"validationResponse": 'a"b\\c'}, id="event-grid-validation"
        ),
        pytest.param(answers.bad_payload("no repository"), 400, {"error": "no repository"}, id="bad-payload"),
    ],
)
def test_answers_of_the_contract(answer: Answer, code: int, body: object) -> None:
    """Status and body are those of the contract's table."""
    assert (answer.code, json.loads(answer.body)) == (code, body)


def test_refusals_say_what_the_protocol_wants() -> None:
    """RFC 9110 demands a header with each of 405, 401 and (to be useful) 503."""
    assert dict(answers.WRONG_METHOD.headers) == {"Allow": "OPTIONS, POST"}
    assert dict(answers.UNAUTHORIZED.headers)["WWW-Authenticate"].startswith("Basic realm=")
    assert dict(answers.unavailable("x", 5).headers) == {"Retry-After": "5"}


def test_cloud_events_handshake_allows_the_origin_at_any_rate() -> None:
    """Event Grid goes on only if the origin comes back as it was sent."""
    assert dict(answers.allowed_origin("eventgrid.azure.net").headers) == {
        "Allow": "OPTIONS, POST",
        "WebHook-Allowed-Origin": "eventgrid.azure.net",
        "WebHook-Allowed-Rate": "*",
    }
