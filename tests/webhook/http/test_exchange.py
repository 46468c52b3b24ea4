"""Requests and answers on the wire."""

import asyncio
import contextlib
import json
import time

import pytest
import structlog
from structlog.testing import capture_logs

from tests.support.aio import run
from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, Site, running
from tests.support.wire import Reply, Wire, request, until
from webhook.limits import MIB, Limits

UNKNOWN_PATH = "/azure/" + "0" * 64


async def exchange(*requests: bytes, site: Site | None = None, limits: Limits | None = None) -> list[Reply]:
    """Send requests one after the other on one connection; return the answers."""
    async with running(site or Site(limits=limits)) as served:
        wire = await Wire.open(served.port)
        replies = []
        for data in requests:
            await wire.send(data)
            replies.append(await wire.reply(head=data.startswith(b"HEAD")))
        await wire.close()
        return replies


async def test_ping() -> None:
    """The sender's test of the webhook is answered in Kargo's words, as JSON, with our id of it."""
    (reply,) = await exchange(request("POST", PATH, PING))
    assert reply.code == 200
    assert reply.json == {"msg": "ping event received, webhook is configured correctly"}
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.headers["x-delivery-id"]) == 16
    assert reply.headers["date"].endswith(" GMT")
    assert "server" not in reply.headers


async def test_push_is_answered_when_persisted() -> None:
    """An event is dispatched for its repository, and answered when the API server has it."""
    refresh = FakeRefresh(2)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", f"/webhooks{PATH}?x=1", PUSH, Content_Type="application/json"))
        await until(lambda: site.dispatcher.dispatched)
        refresh.persist(2)
        reply = await wire.reply()
        await wire.close()
    assert (reply.code, reply.json) == (200, {"msg": "refreshed 2 warehouse(s)"})
    (receiver, subjects, _, delivery), *_ = site.dispatcher.dispatched
    assert (receiver, subjects[0].url) == ("kargo-demo/az", "example.azurecr.io/app")
    assert delivery == reply.headers["x-delivery-id"] == site.journal.arrivals[delivery].id
    assert [code for _, _, code in site.metrics.requests] == [200]


async def test_push_that_takes_too_long_is_a_202_within_the_budget() -> None:
    """The answer comes at the reply timeout, and the work goes on."""
    refresh = FakeRefresh(2)
    async with running(Site(refresh, reply_seconds=0.1)) as site:
        wire = await Wire.open(site.port)
        reply = await wire.request("POST", PATH, PUSH)
        await wire.close()
        assert (reply.code, reply.json) == (
            202,
            {"msg": "refreshed 0 of 2 warehouse(s); the rest will follow"},
        )
        assert 0.1 <= site.metrics.seconds[0] < 1.0
        refresh.persist(2)
        await until(lambda: site.journal.calls[-1][0] == "finish")


async def test_every_answer_has_an_id_of_its_own() -> None:
    """What a sender reports can be found in the log, whatever the answer was."""
    replies = await exchange(
        request("POST", PATH, PING),
        request("POST", UNKNOWN_PATH, PING),
        request("GET", PATH),
        request("POST", PATH, b"{"),
        request("GET", "/healthz"),
        request("POST", PATH, PING, Content_Encoding="gzip"),
    )
    assert [reply.code for reply in replies] == [200, 404, 405, 400, 200, 400]
    assert len({reply.headers["x-delivery-id"] for reply in replies}) == 6
    assert all(reply.headers["content-type"] == "application/json" for reply in replies)
    assert replies[1].body == b"{}"


@pytest.mark.parametrize(
    ("method", "code"),
    [
        pytest.param("GET", 200, id="get"),
        pytest.param("HEAD", 200, id="head"),
        pytest.param("POST", 405, id="post"),
    ],
)
async def test_health_check(method: str, code: int) -> None:
    """A probe of the public port always succeeds, and HEAD has the headers of GET without a body."""
    reply, again = await exchange(request(method, "/healthz"), request("GET", "/healthz"))
    assert reply.code == code
    assert again.code == 200
    if method == "POST":
        assert reply.headers["allow"] == "GET, HEAD"
    else:
        assert reply.headers["content-length"] == again.headers["content-length"]


async def test_cloud_events_handshake() -> None:
    """Event Grid's OPTIONS is answered with its origin and any rate."""
    (reply,) = await exchange(request("OPTIONS", PATH, WebHook_Request_Origin="eventgrid.azure.net"))
    assert reply.code == 200
    assert reply.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert reply.headers["webhook-allowed-rate"] == "*"


async def test_second_factor() -> None:
    """Without the header a ping is a 401 that says how to authenticate; with it, it is let in."""
    async with running(Site(accepted=("Bearer x",))) as site:
        wire = await Wire.open(site.port)
        refused = await wire.request("POST", PATH, PING)
        let_in = await wire.request("POST", PATH, PING, Authorization="Bearer x")
        await wire.close()
    assert (refused.code, let_in.code) == (401, 200)
    assert "Basic" in refused.headers["www-authenticate"]


# --- bodies ---


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def padded(length: int) -> bytes:
    """Return a ping of so many bytes."""
    head = b'{"action":"ping","pad":"'
    return head + b"x" * (length - len(head) - 2) + b'"}'


def sized(length: int) -> bytes:
    return request("POST", PATH, padded(length))


def sized_in_chunks(length: int) -> bytes:
    body = padded(length)
    pieces = [body[at : at + 100_000] for at in range(0, length, 100_000)]
    return request("POST", PATH, Transfer_Encoding="chunked") + chunked(*pieces)


def sized_in_one_chunk(length: int) -> bytes:
    return request("POST", PATH, Transfer_Encoding="chunked") + chunked(padded(length))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(sized, id="content-length"),
        pytest.param(sized_in_chunks, id="chunks"),
        pytest.param(sized_in_one_chunk, id="one-chunk"),
    ],
)
@pytest.mark.parametrize(
    ("length", "code"), [pytest.param(2 * MIB, 200, id="at"), pytest.param(2 * MIB + 1, 413, id="past")]
)
async def test_body_of_2_mib(build: object, length: int, code: int) -> None:
    """The limit holds to the byte, chunked or not, and the connection can still be used."""
    reply, again = await exchange(build(length), request("POST", PATH, PING))  # type: ignore[operator]
    assert (reply.code, again.code) == (code, 200)


async def test_413_comes_before_the_body() -> None:
    """A length over the limit is refused by the header alone."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, Content_Length="2097153"))
        assert (await wire.reply()).code == 413
        await wire.close()


async def test_404_leaves_the_body_unread() -> None:
    """An unknown path is answered without waiting for the body; what then comes of it is thrown away."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", UNKNOWN_PATH, Content_Length="100000"))
        assert (await wire.reply()).code == 404
        await wire.send(b"x" * 100_000)
        assert (await wire.request("POST", PATH, PING)).code == 200, "the connection is still in step"
        assert site.endpoint.gate.bytes == 0
        await wire.close()


async def test_refused_body_without_end_is_cut_off() -> None:
    """What is thrown away has a limit too."""
    async with running(Site(limits=Limits(discard=100_000))) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", UNKNOWN_PATH, Transfer_Encoding="chunked"))
        assert (await wire.reply()).code == 404

        async def flood() -> None:
            for _ in range(1000):
                await wire.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")

        with pytest.raises(ConnectionError):
            await flood()
        await wire.close()


async def test_announced_body_past_the_discard_limit_closes_at_once() -> None:
    """Nobody waits for a gigabyte that will be thrown away; the answer says so."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", UNKNOWN_PATH, Content_Length=str(1 << 30)))
        reply = await wire.reply()
        assert (reply.code, reply.headers["connection"]) == (404, "close")
        assert await wire.closed() == b""
        await wire.close()


@pytest.mark.parametrize(
    ("path", "expect", "expected"),
    [
        pytest.param(PATH, "100-continue", b"HTTP/1.1 100 (Continue)\r\n\r\n", id="known-is-told-to-go-on"),
        pytest.param(PATH, "100-Continue", b"HTTP/1.1 100 (Continue)\r\n\r\n", id="in-any-case"),
        pytest.param(UNKNOWN_PATH, "100-continue", b"HTTP/1.1 404 Not Found\r\n", id="unknown-is-not"),
    ],
)
async def test_expect_continue(path: str, expect: str, expected: bytes) -> None:
    """A careful sender learns before it sends a body whether there is a point in it."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", path, Content_Length=str(len(PING)), Expect=expect))
        assert await wire.reader.readexactly(len(expected)) == expected
        if path == PATH:
            await wire.send(PING)
            assert (await wire.reply()).code == 200
        else:
            assert b"Connection: close" in await wire.closed()
        await wire.close()


@pytest.mark.parametrize(
    ("limit", "codes"),
    [pytest.param(1780, [200], id="at"), pytest.param(1776, [503], id="past")],
)
async def test_bytes_of_bodies_in_progress(limit: int, codes: list[int]) -> None:
    """More than a receiver's share, 9/16 of all, is a 503, and what was held is given back."""
    async with running(Site(limits=Limits(held_bytes=limit))) as site:
        slow = await Wire.open(site.port)
        await slow.send(request("POST", PATH, Content_Length="600") + b" " * 500)
        await until(lambda: site.endpoint.gate.bytes == 500)
        wire = await Wire.open(site.port)
        replies = [await wire.request("POST", PATH, padded(500))]
        assert [reply.code for reply in replies] == codes
        assert "retry-after" in replies[0].headers or codes == [200]
        assert site.endpoint.gate.bytes == 500
        await slow.close()
        await until(lambda: site.endpoint.gate.bytes == 0)
        assert (await wire.request("POST", PATH, padded(500))).code == 200
        await wire.close()


async def test_bytes_of_a_delivery_count_until_its_end_and_its_row() -> None:
    """What is decoded takes room as long as anything holds it: the delivery, or the journal's queue."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        site.journal.holding = True
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        held = site.endpoint.gate.bytes
        assert held > len("example.azurecr.io/app")
        refresh.persist()
        assert (await wire.reply()).code == 200
        await until(lambda: not len(site.deliveries))
        assert site.endpoint.gate.bytes == held
        site.journal.commit()
        await until(lambda: site.endpoint.gate.bytes == 0)
        await wire.close()


async def test_slow_body_is_given_up() -> None:
    """A byte now and then does not hold a place: after the limit it is told so, and cut off."""
    site = Site(limits=Limits(body_seconds=0.3, requests=1))
    async with running(site):
        slow = await Wire.open(site.port)
        await slow.send(request("POST", PATH, Content_Length="1000"))
        await until(lambda: site.endpoint.gate.requests == 1)
        other = await Wire.open(site.port)
        assert (await other.request("POST", PATH, PING)).code == 503, "the only place is taken"

        async def dribble() -> None:
            while True:
                await slow.send(b" ")
                await asyncio.sleep(0.05)

        dribbling = asyncio.ensure_future(dribble())
        reply = await slow.reply()
        dribbling.cancel()
        assert (reply.code, reply.headers["connection"]) == (408, "close")
        assert (await other.request("POST", PATH, PING)).code == 200
        await slow.close()
        await other.close()


async def test_slow_refused_body_is_cut_off() -> None:
    """A body that is thrown away has no more time than another."""
    async with running(Site(limits=Limits(body_seconds=0.1))) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", UNKNOWN_PATH, Content_Length="1000"))
        assert (await wire.reply()).code == 404
        assert await wire.closed() == b""
        await wire.close()


# --- what is not quite HTTP ---


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
        pytest.param(
            request("POST", PATH, Transfer_Encoding="chunked") + b"1;" + b"x" * 100 + b"\r\nx", id="extension"
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


# --- faults ---


async def test_sender_that_disconnects_changes_nothing() -> None:
    """Accepted work is finished, and its outcome is in the journal."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        await wire.close()
        await asyncio.sleep(0.05)
        assert site.endpoint.gate.requests == 1
        refresh.persist()
        await until(lambda: site.journal.calls[-1][0] == "finish")
        await until(lambda: site.endpoint.gate.requests == 0)
        await until(lambda: site.server.connections == 0)


async def test_sender_that_has_ended_its_side_gets_its_answer() -> None:
    """A sender may say that it will send no more and wait for the answer, which then ends the connection."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        wire.writer.write_eof()
        began = time.process_time()
        await asyncio.sleep(0.2)
        assert time.process_time() - began < 0.1, "the end of its side is looked at once, not again and again"
        refresh.persist()
        assert (await wire.reply()).code == 200
        assert await wire.closed() == b""
        await wire.close()
        await until(lambda: site.server.connections == 0)


async def test_sender_that_ends_its_side_at_once_gets_its_answer() -> None:
    """The same where the end comes along with the request."""
    async with running(Site()) as site:
        for _ in range(10):
            wire = await Wire.open(site.port)
            wire.writer.write(request("POST", PATH, PUSH))
            wire.writer.write_eof()
            assert (await wire.reply()).code == 200
            assert await wire.closed() == b""
            await wire.close()


async def test_sender_that_disconnects_within_its_body_leaves_nothing() -> None:
    """Half an event is no event, and its place is free again."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, Content_Length="100") + PING[:20])
        await until(lambda: site.endpoint.gate.bytes == 20)
        await wire.close()
        await until(lambda: site.endpoint.gate.requests == 0)
        assert site.endpoint.gate.bytes == 0
        assert site.journal.calls == []
        assert site.metrics.requests == []


@pytest.mark.parametrize("where", ["find", "dispatch"])
async def test_a_fault_of_ours_is_a_500_that_tells_nothing(where: str) -> None:
    """The sender gets JSON and an id; the log says what and where, but not what the request held."""
    async with running(Site()) as site:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(f"{PATH} example.azurecr.io")

        target = site.lookup if where == "find" else site.dispatcher
        setattr(target, where, broken)
        wire = await Wire.open(site.port)
        with capture_logs() as lines:
            reply = await wire.request("POST", PATH, PUSH)
        assert reply.code == 500
        assert set(reply.json) == {"error"}
        failed = lines[0]
        assert (failed["event"], failed["error"]) == ("request_failed", "RuntimeError")
        assert failed["id"] == reply.headers["x-delivery-id"]
        assert "test_exchange.py" in failed["where"][-1]
        assert PATH not in json.dumps(lines)
        delattr(target, where)
        assert (await wire.request("POST", PATH, PING)).code == 200, "the connection goes on"
        await wire.close()


async def test_a_log_that_fails_leaves_nobody_unanswered_and_nothing_open() -> None:
    """Whatever becomes of the line, the answer is written, and a delivery holds no room after its end."""

    def full(*_: object) -> str:
        raise OSError("no space left on device")

    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        structlog.configure(processors=[full])
        try:
            for data, code in ((request("POST", PATH, PING), 200), (request("GET", PATH), 405)):
                wire = await Wire.open(site.port)
                await wire.send(data)
                assert (await wire.reply()).code == code
                await wire.close()
            wire = await Wire.open(site.port)
            await wire.send(request("POST", PATH, PUSH))
            await until(lambda: site.dispatcher.dispatched)
            refresh.persist()
            assert (await wire.reply()).code == 200
            await until(lambda: not len(site.deliveries))
            await until(lambda: site.endpoint.gate.requests == site.endpoint.gate.bytes == 0)
            await wire.close()
        finally:
            structlog.reset_defaults()


def test_the_path_never_comes_out(caplog: pytest.LogCaptureFixture) -> None:
    """The URL is the credential: no log line at any level, no metric and no answer holds it or the factor."""
    caplog.set_level("DEBUG")
    digest, factor = PATH.removeprefix("/azure/"), "Basic c2VjcmV0"

    async def scenario() -> list[object]:
        seen: list[object] = []
        async with running(Site(FakeRefresh(1, failing=True), accepted=(factor,))) as site:
            with capture_logs() as lines:
                for data in (
                    request("POST", PATH, PUSH, Authorization=factor),
                    request("POST", PATH, PING, Authorization=factor),
                    request("POST", PATH, b"[", Authorization=factor),
                    request("POST", PATH, PUSH, Authorization=factor + "x"),
                    request("POST", PATH + "/", PUSH, Authorization=factor),
                    request("GET", PATH, Authorization=factor),
                    request("POST", PATH, Content_Length="x", Authorization=factor),
                    request("POST", PATH, Authorization=factor + "\0"),
                ):
                    wire = await Wire.open(site.port)
                    await wire.send(data)
                    seen.append(await wire.reply())
                    await wire.close()
            seen += [lines, site.metrics.requests]
        return seen

    everything = repr(run(scenario())) + caplog.text
    assert "delivery" in everything
    assert digest not in everything
    assert factor not in everything
