"""``send``: what it prints and returns, against a real public server; and that it never prints a URL."""

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from controller.__main__ import main
from controller.cli import send
from controller.cli.command import exit_code
from tests.support.site import PATH, UNKNOWN_PATH, Site, running

IMAGE = "example.azurecr.io/app:v1"
GIT = "https://dev.azure.com/org/project/_git/repository"


async def sent(*flags: str, site: Site | None = None, path: str = PATH, **environ: str) -> int:
    """Send with these flags to a site; return the exit code."""
    parser = argparse.ArgumentParser()
    send.add_arguments(parser)
    with capture_logs():  # the server would log to standard output, too
        async with running(site or Site()) as served:
            url = f"http://127.0.0.1:{served.port}{path}"
            work = send.run(parser.parse_args(flags), {"RECEIVER_URL": url, **environ})
            return await exit_code("send", work)


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        pytest.param(["ping"], "ping event received", id="ping"),
        pytest.param(["acr", IMAGE], "refreshed", id="image"),
        pytest.param(["acr", IMAGE, "--chart"], "refreshed", id="chart"),
        pytest.param(["git", GIT, "--ref", "main", "--ref", "refs/tags/v1"], "refreshed", id="git"),
        pytest.param(["pr", f"{GIT}/pullrequest/7"], "promotion", id="merged"),
        pytest.param(["pr", f"{GIT}/pullrequest/7", "--status=active"], "is ignored", id="active"),
        pytest.param(["eventgrid", IMAGE], "refreshed", id="Event Grid"),
        pytest.param(["eventgrid", IMAGE, "--schema=cloudevents"], "refreshed", id="CloudEvents"),
        pytest.param(["eventgrid", "--validate"], "validationResponse", id="validation"),
        pytest.param(["eventgrid", "--validate", "--schema=cloudevents"], "{}", id="handshake"),
    ],
)
async def test_every_event_is_understood(
    flags: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer, its time and the delivery's id are printed; exit code 0."""
    assert await sent(*flags) == 0
    head, text = capsys.readouterr().out.splitlines()
    assert head.startswith("200 in ")
    assert ", delivery " in head
    assert answer in text


async def test_json_is_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    """With the answer as text: it may be anybody's."""
    assert await sent("ping", "-o", "json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == 200
    assert json.loads(printed["answer"])["msg"].startswith("ping event received")
    assert printed["delivery"]
    assert printed["seconds"] >= 0


async def test_another_answer_than_2xx_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown path, and a second factor that is missing or wrong."""
    assert await sent("ping", path=UNKNOWN_PATH) == 1
    assert capsys.readouterr().out.startswith("404 in ")
    guarded = Site(accepted=("Basic dXNlcjpwYXNzd29yZA==",))
    assert await sent("ping", site=guarded) == 1
    assert capsys.readouterr().out.startswith("401 in ")


async def test_a_second_factor_is_sent() -> None:
    """From flags and from the environment."""
    for_pair = ("Basic dXNlcjpwYXNzd29yZA==",)
    assert await sent("ping", "--username=user", "--password=password", site=Site(accepted=for_pair)) == 0
    environ = {"RECEIVER_USERNAME": "user", "RECEIVER_PASSWORD": "password"}
    assert await sent("ping", site=Site(accepted=for_pair), **environ) == 0
    assert await sent("ping", "--authorization=Bearer x", site=Site(accepted=("Bearer x",))) == 0


async def test_straight_to_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    """The URL's host need not exist; nobody on the port is one line without the URL, exit code 1."""
    url = f"https://nowhere.invalid/webhooks{PATH}"
    async with running(Site()) as site:
        parser = argparse.ArgumentParser()
        send.add_arguments(parser)
        flags = ["ping", f"--url={url}", f"--to=127.0.0.1:{site.port}"]
        assert await exit_code("send", send.run(parser.parse_args(flags), {})) == 0
    assert await exit_code("send", send.run(parser.parse_args(flags), {})) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kargo-azure-receiver send: 127.0.0.1:{site.port} does not answer: ")
    assert PATH not in line


@contextlib.asynccontextmanager
async def somebody_else(*parts: bytes) -> AsyncIterator[int]:
    """Serve a fixed answer in parts, each in a packet of its own; yield the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.05)  # the next packet
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def to_somebody_else(*parts: bytes) -> int:
    """Send a ping to a server that gives this answer; return the exit code."""
    parser = argparse.ArgumentParser()
    send.add_arguments(parser)
    async with somebody_else(*parts) as port:
        flags = parser.parse_args(["ping", f"--url=http://127.0.0.1:{port}{PATH}"])
        return await exit_code("send", send.run(flags, {}))


async def test_a_proxys_page_may_repeat_the_url_but_not_on_the_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor does a header of somebody else reach a terminal; the answer is read to its end."""
    head = b"HTTP/1.1 403 Forbidden\r\nX-Delivery-Id: \x1b[31mred\r\nConnection: close\r\n\r\n"
    assert await to_somebody_else(head, b"<p>blocked: ", f"{PATH}</p>".encode()) == 1
    printed = capsys.readouterr().out
    assert "<p>blocked: /azure/…</p>" in printed
    assert "another server answered" in printed
    assert printed.replace("\n", "").isprintable()


async def test_an_answer_that_breaks_off_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that ends in the middle may not have done anything."""
    assert await to_somebody_else(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"abc") == 1
    assert "its answer breaks off" in capsys.readouterr().err


async def test_a_proxy_that_refuses_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the receiver would be looked for, which was never asked."""
    monkeypatch.setenv("http_proxy", "http://user:password@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert await to_somebody_else(b"") == 1
    error = capsys.readouterr().err
    assert "does not answer through the environment's proxy: Connection refused" in error
    assert "password" not in error


async def test_tls_to_a_port_without_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And does not hold the URL."""
    async with running(Site()) as site:
        parser = argparse.ArgumentParser()
        send.add_arguments(parser)
        flags = parser.parse_args(["ping", f"--url=https://127.0.0.1:{site.port}{PATH}"])
        assert await exit_code("send", send.run(flags, {})) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not answer: " in line
    assert PATH not in line


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        pytest.param(["ping"], "give either --url (RECEIVER_URL) or --receiver", id="nowhere"),
        pytest.param(["ping", f"--url=host{PATH}"], "the URL is no absolute", id="no scheme"),
        pytest.param(["ping", f"--url=http://u:p@host{PATH}"], "the URL is no absolute", id="user"),
        pytest.param(["ping", f"--url=http://[{PATH}"], "the URL is no absolute", id="no URL"),
        pytest.param(["ping", f"--url=http://h{PATH}", "--to=http://"], "--to is no HOST:PORT", id="to"),
        pytest.param(["ping", f"--url=http://h{PATH}", "--to=h:1/x"], "must not hold a path", id="path"),
        pytest.param(["ping", f"--url=http://h{PATH}", "--timeout=x"], "--timeout: 'x' is not", id="time"),
        pytest.param(["ping", f"--url=http://h{PATH}", "--username=u"], "go together", id="half a pair"),
        pytest.param(["ping", f"--url=http://h{PATH}", "--ca-file=/none"], "--ca-file: /none can't", id="CA"),
        pytest.param(["acr", "app", f"--url=http://h{PATH}"], "give an image as", id="image"),
        pytest.param(["eventgrid", f"--url=http://h{PATH}"], "give an image as", id="no image"),
        pytest.param(["pr", GIT, f"--url=http://h{PATH}"], "/pullrequest/NUMBER", id="pull request"),
        pytest.param(["ping", "--receiver=x"], "must be PROJECT/NAME", id="receiver"),
        pytest.param(["ping", f"--receiver=http://h{PATH}"], "'http:' is no name of", id="URL for a name"),
        pytest.param(["ping", "--receiver=../x"], "'..' is no name of a namespace", id="dots"),
        pytest.param(["ping", f"--url=http://h{PATH}", "--authorization=a\nb"], "a line break", id="header"),
        pytest.param(
            ["ping", f"--url=http://h{PATH}", "--username=\udcff", "--password=x"], "UTF-8", id="bytes"
        ),
        pytest.param(["ping", f"http://h{PATH}"], "unrecognized arguments: http://h/azure/…", id="argument"),
    ],
)
def test_wrong_use_is_one_line_without_the_url(
    flags: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2."""
    monkeypatch.delenv("RECEIVER_URL", raising=False)
    try:
        code = main(["send", *flags])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert PATH not in line
