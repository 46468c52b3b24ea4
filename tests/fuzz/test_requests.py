"""Requests, connections and handshakes that no sender would make, against the running server."""

import asyncio
import gzip
import os
import ssl
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.fuzz.conftest import Victim
from tests.support.wire import Reply, Wire, request
from webhook.limits import Limits

LIMITS = Limits()
in_full = pytest.mark.skipif(not os.environ.get("FUZZ"), reason="waits for time limits: see make fuzz")
SLACK = 3.0
"""Seconds that a closing may be late: the sweep, and a busy machine."""


def _post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _until_closed(wire: Wire, drip: bytes = b"", every: float = 0.5) -> tuple[float, bytes]:
    """Send ``drip`` again and again until the server closes; return after how long, and what it said."""
    began = time.monotonic()

    async def dripping() -> None:
        while drip:
            wire.writer.write(drip)
            await asyncio.sleep(every)

    writing = asyncio.ensure_future(dripping())
    said = b""
    try:
        async with asyncio.timeout(60.0):
            while chunk := await wire.reader.read(4096):
                said += chunk
    except ConnectionError:
        pass
    finally:
        writing.cancel()
        wire.writer.transport.abort()
    return time.monotonic() - began, said


@in_full
def test_slow_headers_and_slow_bodies(victim: Victim, report: Callable[[str], None]) -> None:
    """Hundreds of connections that drip bytes are closed when their time is up, a slow body with a 408."""

    async def attack() -> None:
        head = f"POST {victim.path} HTTP/1.1\r\nHost: x\r\n".encode()
        slow_heads = [await Wire.open(victim.port) for _ in range(150)]
        slow_bodies = [await Wire.open(victim.port) for _ in range(150)]
        for wire in slow_heads:
            await wire.send(head)
        for wire in slow_bodies:
            await wire.send(head + b"Content-Length: 1000\r\n\r\n{")
        heads, bodies = await asyncio.gather(
            asyncio.gather(*(_until_closed(wire, b"X: y\r\n") for wire in slow_heads)),
            asyncio.gather(*(_until_closed(wire, b" ") for wire in slow_bodies)),
        )
        slowest = max(seconds for seconds, _ in (*heads, *bodies))
        report(f"{len(heads)} slow headers and {len(bodies)} slow bodies closed after {slowest:.1f} s")
        assert slowest < max(LIMITS.first_request, LIMITS.body_seconds) + SLACK
        assert all(said.startswith(b"HTTP/1.1 408 ") for _, said in bodies)

    victim.run(attack())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"X: " + b"a" * 40_000, 400, id="one header of 40 KB"),
        pytest.param(b"\r\n".join(b"X-%d: y" % each for each in range(5_000)), 400, id="5,000 headers"),
        pytest.param(b"Content-Length: 99999999999999999999", 413, id="endless length"),
        pytest.param(b"Content-Length: -1", 400, id="negative length"),
        pytest.param(b"Content-Length: 1\r\nContent-Length: 2", 400, id="two lengths"),
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400, id="length and chunks"),
        pytest.param(b"Transfer-Encoding: gzip, chunked", 400, id="coded transfer"),
        pytest.param(b"Broken header line", 400, id="no colon"),
        pytest.param(b"X: a\x00b", 400, id="NUL"),
    ],
)
def test_huge_and_broken_headers(victim: Victim, data: bytes, code: int) -> None:
    """Refused with a 4xx, at once."""

    async def attack() -> Reply:
        wire = await Wire.open(victim.port)
        await wire.send(f"POST {victim.path} HTTP/1.1\r\nHost: x\r\n".encode() + data + b"\r\n\r\n")
        try:
            return await wire.reply()
        finally:
            wire.writer.transport.abort()

    for _ in range(20):
        assert victim.run(attack()).code == code


def test_oversize_in_chunks(victim: Victim) -> None:
    """A body without a length is refused once it is beyond the limit, however many come at a time."""

    async def attack() -> int:
        wire = await Wire.open(victim.port)
        head = f"POST {victim.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await wire.send(head)
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"

        async def write() -> None:
            for _ in range(64):
                await wire.send(chunk)

        writing = asyncio.ensure_future(write())
        try:
            return (await wire.reply()).code
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            wire.writer.transport.abort()

    async def many() -> Counter[int]:
        return Counter(await asyncio.gather(*(attack() for _ in range(40))))

    codes = victim.run(many())
    assert set(codes) <= {413, 503}
    assert codes[413] > 0


def test_gzip_bombs(victim: Victim) -> None:
    """Nothing is ever unpacked: a body with a Content-Encoding is refused."""
    bomb = gzip.compress(b"\0" * 100_000_000, 9)
    for coding in ("gzip", "deflate", "br", "gzip, gzip"):
        answer = victim.receiver.post(victim.path, bomb, {"Content-Encoding": coding})
        assert answer.status == 400


def test_pipelining(victim: Victim) -> None:
    """Requests sent before their predecessors are answered get their answers, in order."""

    async def attack() -> list[Reply]:
        wire = await Wire.open(victim.port)
        good, bad = _post(victim.path, b'{"action":"ping"}'), _post(victim.path, b"nonsense")
        writing = asyncio.ensure_future(wire.send((good + bad) * 500))
        replies = [await wire.reply() for _ in range(1000)]
        await writing
        wire.writer.transport.abort()
        return replies

    assert [reply.code for reply in victim.run(attack())] == [200, 400] * 500


@pytest.mark.parametrize(
    "path",
    [
        "/azure/../azure/{digest}/..",
        "/../../etc/passwd",
        "/azure/..%2f..%2fetc%2fpasswd",
        "/azure/{digest}%00",
        "/azure/%2e%2e/{digest}/",
        "//azure//{digest}",
        "/azure\\{digest}",
        "/azure/{digest};x",
        "/azure/{digest}#x/azure/",
        "http://x/azure/{digest}/x",
        "*",
        "/" + "a/" * 5000,
    ],
)
def test_path_traversal(victim: Victim, path: str) -> None:
    """What is not written exactly as a receiver's path is none."""
    target = path.format(digest=victim.path.rpartition("/")[2])

    async def attack() -> int:
        wire = await Wire.open(victim.port)
        await wire.send(_post(target, b'{"action":"ping"}'))
        code = (await wire.reply()).code
        wire.writer.transport.abort()
        return code

    assert victim.run(attack()) == 404


def test_unknown_paths_at_a_high_rate(victim: Victim, report: Callable[[str], None]) -> None:
    """Guessing gets nobody anything but 404."""

    async def attack(number: int) -> Counter[int]:
        wire = await Wire.open(victim.port)
        codes: Counter[int] = Counter()
        for turn in range(10):
            guesses = [f"/azure/{number:032x}{turn * 50 + each:032x}" for each in range(50)]
            await wire.send(b"".join(_post(guess, b"{}") for guess in guesses))
            codes.update([(await wire.reply()).code for _ in guesses])
        wire.writer.transport.abort()
        return codes

    async def many() -> Counter[int]:
        return sum(await asyncio.gather(*(attack(number) for number in range(20))), Counter())

    began = time.monotonic()
    codes = victim.run(many())
    report(f"{codes.total()} guesses in {time.monotonic() - began:.1f} s: {dict(codes)}")
    assert set(codes) == {404}


def test_more_connections_than_it_takes(victim: Victim) -> None:
    """Thousands of idle connections shut nobody out."""

    async def attack() -> None:
        wires = [await Wire.open(victim.port) for _ in range(3_000)]
        await asyncio.sleep(1.0)  # honest senders go on meanwhile: what is looked at is them
        for wire in wires:
            wire.writer.transport.abort()

    victim.run(attack())


@in_full
def test_bytes_that_are_not_http(victim: Victim) -> None:
    """A TLS handshake, another protocol or noise on the plain port: closed, and nobody notices."""
    hellos = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00" * 100_000,
        b"\r\n" * 10_000,
    ]

    async def attack(hello: bytes) -> None:
        wire = await Wire.open(victim.port)
        wire.writer.write(hello)
        _, said = await _until_closed(wire)
        assert b" 5" not in said[:12]

    async def many() -> None:
        await asyncio.gather(*(attack(hello) for hello in hellos * 20))

    victim.run(many())


@in_full
def test_bad_tls(victim: Victim, tmp_path: Path) -> None:
    """On a port with TLS: old versions and noise are refused, others are served."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    data = tmp_path / "data"
    data.mkdir()
    receiver = victim.stage.receiver(f"--tls-cert={cert}", f"--tls-key={key}", data=data)
    good = ssl.create_default_context()
    authority.configure_trust(good)

    async def noise(bytes_: bytes) -> None:
        wire = await Wire.open(receiver.port)
        wire.writer.write(bytes_)
        await _until_closed(wire)

    async def attack() -> int:
        hellos = [b"\x16\x03\x01\x00\x05nope!", _post(victim.path, b"{}"), b"\x00" * 5000]
        silent = [await Wire.open(receiver.port) for _ in range(100)]
        noisy = asyncio.gather(*(noise(hello) for hello in hellos * 30))
        served = 0
        for _ in range(50):
            wire = await Wire.open(receiver.port, good)
            await wire.send(request("POST", victim.path, b'{"action":"ping"}'))
            served += (await wire.reply()).code == 200
            wire.writer.transport.abort()
        await noisy
        closed = await asyncio.gather(*(_until_closed(wire) for wire in silent))
        assert max(seconds for seconds, _ in closed) < LIMITS.first_request + SLACK
        return served

    assert victim.run(attack()) == 50
    assert not receiver.events("request_failed")
    assert receiver.stop() == 0
