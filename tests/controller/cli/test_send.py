"""``send``: what it prints and returns, against a real public server; and that it never prints a URL."""

import argparse
import json

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
