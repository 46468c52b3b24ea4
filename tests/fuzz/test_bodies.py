"""Any body at all, against the running server: one of the table's answers, and nobody else notices."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.bodies import Headers, hostile
from tests.fuzz.conftest import Victim
from tests.support.wire import Reply, Wire
from webhook.limits import Limits

BATCH = 200
"""Bodies per example, sent one after the other on a connection that is kept."""
ALLOWED = {200, 202, 400, 503}
LIMIT = Limits().body


def _request(path: str, body: bytes, headers: Headers) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _send(port: int, requests: Sequence[bytes]) -> list[Reply]:
    """Send all, pipelined; where the server closes after an answer, go on with a new connection."""
    replies: list[Reply] = []
    while len(replies) < len(requests):
        wire = await Wire.open(port)
        before = len(replies)
        writing = asyncio.ensure_future(wire.send(b"".join(requests[before:])))
        try:
            while len(replies) < len(requests):
                replies.append(await wire.reply())
                if replies[-1].headers.get("connection") == "close":
                    break
        except (EOFError, ConnectionError) as error:
            raise AssertionError(f"no answer to {requests[len(replies)][:500]!r}") from error
        finally:
            writing.cancel()
            wire.writer.transport.abort()
        assert len(replies) > before
    return replies


def test_bodies_from_real_shapes(victim: Victim, bodies: int, report: Callable[[str], None]) -> None:
    """Bodies made from real payloads: never a 5xx but 503, always an answer."""
    codes: Counter[int] = Counter()

    @settings(
        max_examples=max(1, bodies // BATCH),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**64))
    def attack(seed: int) -> None:
        rng = random.Random(seed)
        made = [hostile(rng) for _ in range(BATCH)]
        requests = [_request(victim.path, body, headers) for body, headers in made]
        replies = victim.run(_send(victim.port, requests))
        for (body, headers), reply in zip(made, replies, strict=True):
            codes[reply.code] += 1
            allowed = ALLOWED if len(body) <= LIMIT else {413}
            assert reply.code in allowed, (seed, reply.code, headers, body[:2000])
            assert isinstance(reply.json, dict)
            assert "x-delivery-id" in reply.headers

    attack()
    report(f"{codes.total()} bodies: {dict(sorted(codes.items()))}")
    assert codes[200] > 0
    assert codes[400] > 0


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        pytest.param(b"[" * 1_000_000 + b"]" * 1_000_000, {400}, id="2 MB of brackets"),
        pytest.param(b"[" * 10_000_000, {413}, id="10 MB of brackets"),
        pytest.param(b'{"a":' * 300_000, {400}, id="1.5 MB of nested objects"),
        pytest.param(b'{"action":"ping","action":"push"}', {400}, id="duplicated key"),
        pytest.param(b'{"action":"p\xff"}', {200}, id="invalid UTF-8 in a string"),
        pytest.param(b'{"action":"ping"\xff}', {400}, id="invalid UTF-8 outside"),
        pytest.param(b'{"action":"ping","size":NaN}', {400}, id="NaN"),
        pytest.param(b'{"action":"ping","size":' + b"9" * 1_900_000 + b"}", {200, 400}, id="long number"),
        pytest.param(b'{"action":"' + b"\\u0041" * 300_000 + b'"}', {200, 400}, id="long escapes"),
        pytest.param(b"[" + b"{}," * 600_000 + b"{}]", {200, 400}, id="600,000 events"),
        pytest.param(
            b"{" + b",".join(b'"k%d":0' % each for each in range(100_000)) + b"}", {400}, id="100,000 keys"
        ),
    ],
)
def test_large_and_odd_bodies(victim: Victim, body: bytes, codes: set[int]) -> None:
    """Ten of each: answers, and memory within bounds."""

    request = _request(victim.path, body, (("Content-Type", "application/json"),))
    for _ in range(10):
        (reply,) = victim.run(_send(victim.port, [request]))
        assert reply.code in codes
