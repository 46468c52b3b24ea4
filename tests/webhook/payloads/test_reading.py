"""JSON as Go reads it: bytes that are no UTF-8, halves of surrogate pairs, and keys in any case."""

import json

import pytest

from tests.strategies import PAYLOADS
from webhook.arrival import Subject
from webhook.payloads.event_types import Event, Handshake, Ignored, Ping, PullRequest, Push
from webhook.payloads.parse import parse as parse_any

GIT = "https://dev.azure.com/contoso/My%20Proj/_git/My%20Repo"
COMMENT = b"Fixed bug in web.config file"


def parse(body: bytes) -> Event:
    return parse_any("application/json", None, body)


def git_push(url: bytes, comment: bytes = b"") -> bytes:
    return (
        b'{"eventType":"git.push","resource":{"commits":[{"comment":"%s"}],"repository":{"remoteUrl":"%s"}}}'
        % (comment, url)
    )


def test_a_key_given_twice_counts_as_its_last_value() -> None:
    """As in Kargo, so that both servers see the same event."""
    assert isinstance(parse(b'{"action":"push","action":"ping"}'), Ping)


@pytest.mark.parametrize(
    "comment",
    [
        pytest.param("Stra\u00dfe repariert".encode("latin-1"), id="Latin-1"),
        pytest.param(b"\xff\xfe", id="no lead byte"),
        pytest.param("\u20ac".encode()[:2], id="cut inside a character"),
        pytest.param(b"\xed\xa0\xbd", id="a surrogate, encoded"),
        pytest.param(b"\xc0\x80", id="overlong"),
        pytest.param(rb"\ud83d", id="high half"),
        pytest.param(rb"\uDE80 and on", id="low half"),
        pytest.param(rb"Ship it \\ud83d \ud83d\ude80\ud83d", id="half after a pair"),
        pytest.param(rb"\ud83d\n\uD83D\\", id="halves among other escapes"),
    ],
)
def test_a_comment_that_is_no_text_costs_no_push_its_refresh(comment: bytes) -> None:
    """What nobody reads may hold anything that Go takes."""
    sent = PAYLOADS["ado_push"].replace(COMMENT, comment)
    assert sent != PAYLOADS["ado_push"]
    event = parse(sent)
    assert isinstance(event, Push)
    assert event.subjects == (Subject("git", GIT),)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param(b"https://h/a\xffb", "https://h/a\ufffdb", id="no UTF-8"),
        pytest.param(rb"https://h/\ud83d", "https://h/\ufffd", id="half a pair"),
        pytest.param(rb"https://h/\ud83d\ude80", "https://h/\U0001f680", id="a pair"),
        pytest.param(rb"https://h/\ud83d\ude80\ude80", "https://h/\U0001f680\ufffd", id="a pair and a half"),
        pytest.param(rb"https://h/\ud55c", "https://h/\ud55c", id="no surrogate"),
        pytest.param("https://h/\U0001f680".encode(), "https://h/\U0001f680", id="as it is"),
        pytest.param(rb"https://h/\u00e9\/", "https://h/\u00e9/", id="other escapes"),
    ],
)
@pytest.mark.parametrize("comment", [b"", rb"\ud83d"], ids=["", "half a pair elsewhere"])
def test_text_that_is_read_is_read_exactly(written: bytes, read: str, comment: bytes) -> None:
    """Whatever else the body holds."""
    event = parse(git_push(written, comment))
    assert isinstance(event, Push)
    assert event.subjects == (Subject("git", read),)


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title, str.swapcase], ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    "name",
    [
        "acr_push",
        "acr_ping",
        "acr_delete",
        "ado_push",
        "ado_pull_request_merged",
        "ado_pull_request_completed",
        "ado_pull_request_updated",
        "ado_build_complete",
        "cloud_event_image_pushed",
    ],
)
def test_keys_in_another_case_are_the_same_keys(name: str, change: type[str]) -> None:
    """Each payload means what it means, with all of its keys spelled in another way."""
    respelled = json.dumps(
        json.loads(PAYLOADS[name], object_pairs_hook=lambda pairs: {change(k): v for k, v in pairs})
    )
    assert parse(respelled.encode()) == parse(PAYLOADS[name])


@pytest.mark.parametrize(
    ("sent", "subject"),
    [
        pytest.param(
            b'{"EventType":"git.push","resource":{"repository":{"remoteURL":"%s"}}}' % GIT.encode(),
            Subject("git", GIT),
            id="EventType, remoteURL",
        ),
        pytest.param(
            b'{"eventType":"git.push","Resource":{"repository":{"remoteUrl":"%s"}}}' % GIT.encode(),
            Subject("git", GIT),
            id="Resource",
        ),
        pytest.param(
            b'{"eventType":"git.push","resource":{"Repository":{"RemoteUrl":"%s","x":"\xff"}}}'
            % GIT.encode(),
            Subject("git", GIT),
            id="Repository, beside no UTF-8",
        ),
        pytest.param(
            b'{"action":"push","Request":{"HOST":"r.azurecr.io"},"target":{"Repository":"app"}}',
            Subject("image", "r.azurecr.io/app"),
            id="Request",
        ),
        pytest.param(
            b'{"eventType":"git.pullrequest.updated","resource":{"Status":"completed","PullRequestID":7,'
            b'"repository":{"remoteUrl":"%s"}}}' % GIT.encode(),
            Subject("pull_request", f"{GIT}/pullrequest/7"),
            id="Status, PullRequestID",
        ),
        pytest.param(
            '{"eventType":"git.push","re\u017fource":{"repository":{"remoteUrl":"https://h/r"}}}'.encode(),
            Subject("git", "https://h/r"),
            id="a long s",
        ),
    ],
)
def test_some_keys_in_another_case(sent: bytes, subject: Subject) -> None:
    """Kargo's server refreshes for these, so ours does."""
    event = parse(sent)
    assert isinstance(event, Push | PullRequest)
    assert event.subjects == (subject,)


def test_a_key_as_documented_wins() -> None:
    """A stray key in another case changes nothing."""
    deleted = parse(b'{"Action":"push","action":"delete","ACTION":"push","request":{"host":"r.azurecr.io"}}')
    assert isinstance(deleted, Ignored)
    assert deleted.type == "delete"
    assert isinstance(parse(b'{"ACTION":"push","action":"ping","Action":"push"}'), Ping)
    event = parse(git_push(b"https://h/r").replace(b'{"remoteUrl"', b'{"RemoteUrl":"x","remoteUrl"'))
    assert isinstance(event, Push)
    assert event.subjects == (Subject("git", "https://h/r"),)


def test_the_validation_code_is_echoed_exactly_with_keys_in_another_case() -> None:
    """A code is a secret between Event Grid and us: its case counts."""
    event = parse(
        b'{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","topic":"t",'
        b'"Data":{"ValidationCode":"aBc"}}'
    )
    assert isinstance(event, Handshake)
    assert event.code == "aBc"
