"""Bodies: how long, how slow, how many at a time, and what is thrown away."""

import asyncio

import pytest

from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, UNKNOWN_PATH, Site, exchange, running
from tests.support.wire import Wire, request, until
from webhook.limits import MIB, Limits


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
    [pytest.param(1957, [200], id="at"), pytest.param(1953, [503], id="past")],
)
async def test_bytes_of_bodies_in_progress(limit: int, codes: list[int]) -> None:
    """More than a receiver's share, 9/16 of all, is a 503, and what was held is given back."""
    async with running(Site(limits=Limits(body_bytes=limit))) as site:
        slow = await Wire.open(site.port)
        await slow.send(request("POST", PATH, Content_Length="600") + b" " * 500)
        await until(lambda: site.endpoint.gate.bytes == 600)  # as declared: what is begun can be ended
        wire = await Wire.open(site.port)
        replies = [await wire.request("POST", PATH, padded(500))]
        assert [reply.code for reply in replies] == codes
        assert "retry-after" in replies[0].headers or codes == [200]
        assert site.endpoint.gate.bytes == 600
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
