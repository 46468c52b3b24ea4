"""From a message's text to a body."""

import base64

import pytest

from webhook.payloads.reading import BadPayload
from webhook.queues.message import body_of

BODY = b'{"action": "ping"}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BODY.decode(), id="plain"),
        pytest.param(f"\ufeff{BODY.decode()}\n", id="plain-with-a-mark"),
        pytest.param(base64.b64encode(BODY).decode(), id="base64"),
        pytest.param(base64.b64encode(b"\xef\xbb\xbf" + BODY).decode(), id="base64-with-a-mark"),
    ],
)
def test_body(text: str) -> None:
    """The JSON, however it is written."""
    assert body_of(text) == BODY


@pytest.mark.parametrize("text", ["hello, world", "é", "a"])
def test_neither(text: str) -> None:
    """What is neither is refused."""
    with pytest.raises(BadPayload):
        body_of(text)
