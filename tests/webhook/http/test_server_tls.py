"""The public server with TLS."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from tests.support.aio import run
from tests.support.site import PATH, PING, Site, running
from tests.support.wire import Wire, until
from webhook.http.tls import Certificate
from webhook.limits import Limits


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, folder: Path) -> Certificate:
    leaf = authority.issue_cert("localhost")
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())
    return Certificate(folder / "tls.crt", folder / "tls.key")


def client(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serial(wire: Wire) -> object:
    return wire.writer.get_extra_info("peercert")["serialNumber"]


async def test_tls_serves_and_takes_up_new_files(authority: trustme.CA, tmp_path: Path) -> None:
    """New connections get the new certificate, and open ones go on."""
    serving = certificate(authority, tmp_path)
    async with running(Site(certificate=serving)) as site:
        wire = await Wire.open(site.port, client(authority))
        assert (await wire.request("POST", PATH, PING)).code == 200
        certificate(authority, tmp_path)
        serving.check()
        new = await Wire.open(site.port, client(authority))
        assert serial(new) != serial(wire)
        for each in (wire, new):
            assert (await each.request("POST", PATH, PING)).code == 200
            await each.close()


async def test_tls_watches_its_files(authority: trustme.CA, tmp_path: Path) -> None:
    """The task that looks at the files takes up what is new without being told."""
    serving = certificate(authority, tmp_path)
    before = serving.context
    watching = asyncio.ensure_future(serving.run(poll=0.01))
    certificate(authority, tmp_path)
    await until(lambda: serving.context is not before)
    watching.cancel()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_1_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    """A client that knows only older versions gets no connection."""
    async with running(Site(certificate=certificate(authority, tmp_path))) as site:
        old = client(authority)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Wire.open(site.port, old)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"POST / HTTP/1.1\r\n\r\n", id="plain-http"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", id="broken-hello"),
        pytest.param(b"", id="silence"),
    ],
)
def test_bad_tls_stops_nobody(
    authority: trustme.CA, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever speaks something else is closed without a line in the log, and others are served."""

    async def scenario() -> None:
        limits = Limits(first_request=0.2)
        async with running(Site(certificate=certificate(authority, tmp_path), limits=limits)) as site:
            bad = await Wire.open(site.port)
            await bad.send(data)
            good = await Wire.open(site.port, client(authority))
            assert (await good.request("POST", PATH, PING)).code == 200
            await bad.closed()
            await bad.close()
            await good.close()

    run(scenario())
    assert [
        record for record in caplog.records if record.name != "asyncio"
    ] == []  # slow turns: a busy machine
