"""What is not quite HTTP, and what only HTTP knows."""

import contextlib

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, UNKNOWN_PATH, Site, exchange, running
from tests.support.wire import Wire, request, until


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", id="tls-hello"),
        pytest.param(b"GET /\r\n\r\n", id="http-0.9"),
        pytest.param(b"POST " + PATH.encode() + b" HTTP/2.0\r\n\r\n", id="http-2"),
        pytest.param(b"GET / HTTP/1.1\r\nBad Header\r\n\r\n", id="no-colon"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", id="nul"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", id="folded"),
        pytest.param(b"GET " + b"/x" * 20_000 + b" HTTP/1.1\r\n\r\n", id="headers-too-large"),
        pytest.param(request("POST", PATH, Content_Length="x"), id="length-not-a-number"),
        pytest.param(request("POST", PATH, Content_Length="-1"), id="negative-length"),
        pytest.param(request("POST", PATH, Content_Length="1, 2"), id="two-lengths"),
        pytest.param(request("POST", PATH, Content_Length="4", Transfer_Encoding="chunked"), id="smuggling"),
        pytest.param(request("POST", PATH, Transfer_Encoding="gzip, chunked"), id="transfer-encoding"),
        pytest.param(request("POST", PATH, Transfer_Encoding="chunked") + b"zz\r\n", id="chunk-size"),
        pytest.param(
            request("POST", PATH, Transfer_Encoding="chunked") + b"1\r\nxx\r\n", id="chunk-too-long"
        ),
    ],
)
async def test_malformed_requests_are_refused_in_json(data: bytes) -> None:
    """Whatever is not HTTP/1.1 gets one complete answer, nothing is said of it, and others are served."""
    async with running(Site()) as site:
        with capture_logs() as lines:
            wire = await Wire.open(site.port)
            await wire.send(data)
            reply = await wire.reply()
            assert reply.code == 400
            assert set(reply.json) == {"error"}
            assert "x-delivery-id" in reply.headers
            assert reply.headers["connection"] == "close"
            assert await wire.closed() == b""
            await wire.close()
        assert lines == []
        assert site.metrics.requests == [("unknown", "unknown", 400)]
        assert site.endpoint.gate.requests == 0


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({"Content_Length": "x"}, id="length-not-a-number"),
        pytest.param({"Content_Length": "4", "Transfer_Encoding": "chunked"}, id="smuggling"),
        pytest.param({"Transfer_Encoding": "chunked"}, id="chunk-size"),
    ],
)
async def test_malformed_rest_of_a_refused_request_gets_no_second_answer(rest: dict[str, str]) -> None:
    """Whatever follows the headers of a request that was refused: one answer, and the connection ends."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", UNKNOWN_PATH, b"", **rest))
        assert (await wire.reply()).code == 404
        with contextlib.suppress(ConnectionError):
            await wire.send(b"zz\r\n")
        assert await wire.closed() == b""
        await wire.close()
        assert site.metrics.requests == [("unknown", "unknown", 404)]


@pytest.mark.parametrize(
    ("length", "code"), [pytest.param(32 * 1024, 404, id="at"), pytest.param(32 * 1024 + 1, 400, id="past")]
)
async def test_headers_of_32_kib(length: int, code: int) -> None:
    """The limit of the headers holds to the byte."""
    start = b"GET /"
    end = b" HTTP/1.1\r\n\r\n"
    (reply,) = await exchange(start + b"x" * (length - len(start) - len(end)) + end)
    assert reply.code == code


async def test_malformed_request_after_an_answered_one_is_refused() -> None:
    """Each request has an answer of its own."""
    for first in (request("POST", PATH, PING), request("POST", UNKNOWN_PATH, PING)):
        _, refusal = await exchange(first, b"\0\r\n\r\n")
        assert refusal.code == 400


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent without waiting are served one after the other, refused bodies in between."""
    first = FakeRefresh(1)
    async with running(Site(first)) as site:
        wire = await Wire.open(site.port)
        await wire.send(
            request("POST", PATH, PUSH)
            + request("POST", UNKNOWN_PATH, b"x" * 5000)
            + request("GET", "/healthz")
            + request("POST", PATH, PING)
        )
        await until(lambda: site.dispatcher.dispatched)
        first.persist()
        assert [(await wire.reply()).code for _ in range(4)] == [200, 404, 200, 200]
        await wire.close()


async def test_http_1_0_closes_unless_asked_to_stay() -> None:
    """Old proxies and health checks are served."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await wire.closed()).startswith(b"HTTP/1.1 200 OK\r\n")
        await wire.close()
