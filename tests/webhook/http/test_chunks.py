"""Bodies in chunks: what RFC 9112 allows is read, anything else ends the connection."""

import pytest

from tests.support.site import PATH, PING, Site, running
from tests.support.wire import Wire, request
from webhook.http.chunks import LINE, TRAILERS

HALF = len(PING) // 2
SIZES = b"%x" % HALF, b"%x" % (len(PING) - HALF)


def body(*, extension: bytes = b"", end: bytes = b"\r\n", trailers: bytes = b"", last: bytes = b"0") -> bytes:
    """A ping in two chunks."""
    first = SIZES[0] + extension + end + PING[:HALF] + b"\r\n"
    return first + SIZES[1] + b"\r\n" + PING[HALF:] + b"\r\n" + last + b"\r\n" + trailers + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(body(), id="plain"),
        pytest.param(body(extension=b";name"), id="extension"),
        pytest.param(body(extension=b' ; name="a; value";other=1'), id="extensions"),
        pytest.param(body(last=b"0;name=value"), id="extension of the last chunk"),
        pytest.param(body(last=b"000"), id="zeros"),
        pytest.param(body(trailers=b"Digest: x\r\nX-Empty:\r\n"), id="trailers"),
        pytest.param(body(trailers=b"A: b\r\n" * TRAILERS), id="as many trailers as may be"),
    ],
)
async def test_what_the_standard_allows_is_read(data: bytes) -> None:
    """Whatever a proxy adds, the event is understood and the connection goes on, however it is cut."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, Transfer_Encoding="chunked") + data)
        assert (await wire.reply()).code == 200
        await wire.send(request("POST", PATH, Transfer_Encoding="chunked"))
        for each in data:
            await wire.send(bytes([each]))
        assert (await wire.reply()).code == 200
        assert (await wire.request("POST", PATH, PING)).code == 200
        await wire.close()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(body(end=b"\n"), id="bare line feed"),
        pytest.param(body(extension=b";a\nb"), id="line feed in an extension"),
        pytest.param(body(extension=b" x"), id="no extension"),
        pytest.param(body(extension=b";" + b"x" * LINE), id="long extension"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"0x1\r\n", id="prefix"),
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"fffffffff\r\n", id="endless"),
        pytest.param(body(trailers=b"no colon\r\n"), id="no trailer"),
        pytest.param(body(trailers=b"A : b\r\n"), id="space before a colon"),
        pytest.param(body(trailers=b"A: b\nC: d\r\n"), id="line feed in a trailer"),
        pytest.param(body(trailers=b"A: " + b"x" * LINE + b"\r\n"), id="long trailer"),
        pytest.param(body(trailers=b"A: b\r\n" * (TRAILERS + 1)), id="too many trailers"),
    ],
)
async def test_anything_else_is_a_400_and_the_end(data: bytes) -> None:
    """What two readers might read differently is read by none, and nothing behind it is a request."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(
            request("POST", PATH, Transfer_Encoding="chunked") + data + request("POST", PATH, PING)
        )
        said = await wire.closed()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"HTTP/1.1 ") == 1
        await wire.close()
