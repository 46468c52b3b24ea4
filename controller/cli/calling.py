"""Calls a receiver's URL as Azure does. The URL is a credential: no error holds any of it but the host."""

import argparse
import asyncio
import contextlib
import os
import re
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import aiohttp
from yarl import URL

from controller.cli import setting_values
from controller.cli.command import WRONG_USE, CommandError

LONGEST_ANSWER = 64 * 1024
"""Bytes that are read of an answer: a receiver's have some hundred."""
_DELIVERY = re.compile("[0-9A-Za-z-]{1,64}")

SECONDS = "10s"
"""For a call, unless ``--timeout`` says otherwise."""


class Answer(NamedTuple):
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    """In any case."""
    text: str
    seconds: float

    @property
    def delivery(self) -> str:
        """The receiver's own id of the delivery; empty where somebody else answered."""
        given = self.headers.get("X-Delivery-Id", "")
        return given if _DELIVERY.fullmatch(given) else ""


class Place(NamedTuple):
    """Where a request goes."""

    url: URL
    host: str
    """The ``Host`` header, and the name that the certificate must have."""
    direct: bool
    """Past the URL's host, straight to a port."""


def place(url: str, to: str = "") -> Place:
    """Return where to call ``url``; ``to`` is ``[https://]HOST:PORT`` to connect to instead of its host.

    Raises CommandError.
    """
    called = _url(url, "the URL is no absolute http or https URL")
    if not to:
        return Place(called, called.host or "", direct=False)
    port = _url(
        to if "://" in to else f"http://{to}", "--to is no HOST:PORT, http://HOST:PORT or https://HOST:PORT"
    )
    if port.raw_path != "/" or port.raw_query_string:
        raise CommandError("--to must not hold a path", WRONG_USE)
    target = URL(f"{port.scheme}://{port.raw_authority}{called.raw_path_qs}", encoded=True)
    return Place(target, called.host or "", direct=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that calls."""
    parser.add_argument(
        "--timeout", default=SECONDS, metavar="DURATION", help=f"of a call; default {SECONDS}"
    )
    parser.add_argument("--ca-file", metavar="FILE", help="authorities (PEM), instead of the system's")


def timeout(arguments: argparse.Namespace) -> float:
    """Return the seconds of ``--timeout``. Raises CommandError."""
    try:
        return setting_values.positive_duration(arguments.timeout)
    except ValueError as error:
        raise CommandError(f"--timeout: {arguments.timeout!a} {error}", WRONG_USE) from error


def trust(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return what certificates are checked against: the system's authorities, or those in ``ca_file``.

    Raises CommandError.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"--ca-file: {ca_file} can't be used: {reason}", WRONG_USE) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def call(
    where: Place,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    context: ssl.SSLContext,
    seconds: float,
) -> Answer:
    """Send one request on a connection of its own, follow no redirect, and return the answer.

    Raises CommandError in one line, without the URL, if there is none within ``seconds``.
    """
    began = time.monotonic()
    sent = {"Host": where.host, **headers} if where.direct else dict(headers)
    proxy = None if where.direct else _proxy(where.url)
    # Without trust_env, which would add credentials of ~/.netrc.
    async with (
        _explained(where, seconds, " through the environment's proxy" if proxy else ""),
        asyncio.timeout(seconds),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.request(
            method,
            where.url,
            data=body,
            headers=sent,
            ssl=context,
            server_hostname=where.host if where.url.scheme == "https" else None,
            proxy=proxy,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as response,
    ):
        body = b""
        while len(body) < LONGEST_ANSWER and (part := await response.content.read(LONGEST_ANSWER)):
            body += part  # each is what one packet brought, maybe
        text = body[:LONGEST_ANSWER].decode("utf-8", "replace")
        return Answer(response.status, response.headers.copy(), text, time.monotonic() - began)


def _url(text: str, problem: str) -> URL:
    try:
        url = URL(text.strip(), encoded=True)
        usable = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        usable = False
    if not usable or url.raw_user is not None:
        raise CommandError(problem, WRONG_USE)  # not what was given: it is a credential
    return url


def _proxy(url: URL) -> str | None:
    if urllib.request.proxy_bypass(url.host or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)


@contextlib.asynccontextmanager
async def _explained(where: Place, seconds: float, way: str) -> AsyncIterator[None]:
    """Turn what the library raises into one line: its own texts may hold the whole URL."""
    try:
        yield
    except TimeoutError:
        reason = f"no answer within {seconds:g} s"
    except aiohttp.ClientConnectorCertificateError as error:
        reason = f"its certificate is not accepted: {getattr(error.certificate_error, 'verify_message', '')}"
    except aiohttp.ClientSSLError:
        reason = "TLS failed: is it an HTTPS port?"
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno or 0  # asyncio's own text repeats the address
        reason = os.strerror(number) if number > 0 else error.os_error.strerror or "no connection"
    except aiohttp.ServerDisconnectedError:
        reason = "it closed the connection without an answer"
    except aiohttp.ClientOSError as error:
        reason = error.strerror or "the connection broke"
    except aiohttp.ClientPayloadError:
        reason = "its answer breaks off, or is not encoded as it says"
    except (aiohttp.ClientError, ValueError):
        reason = "its answer is not HTTP (is it an HTTPS port?)"
    else:
        return
    raise CommandError(f"{where.url.host}:{where.url.port} does not answer{way}: {reason}") from None
