"""``urls``: what it prints, and one line for each way in which it can fail."""

import argparse
import json
from pathlib import Path

import pytest

from controller.cli import urls
from controller.cli.command import exit_code
from controller.kargo.objects import SECRETS, SERVED_RECEIVERS
from controller.runtime.api.resource import Resource
from tests.support.apiserver import ApiServer, Script, html, raw
from tests.support.kube import FakeKube, refused
from tests.support.publishing import BASE, Publishing, azure, entry


class Listed(FakeKube):
    """Lists its objects, too."""

    async def list_page(self, resource: Resource, **_: object) -> bytes:
        items = [found for (plural, _, _), found in self.objects.items() if plural == resource.plural]
        return json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()


async def rows(site: Publishing, base_url: str = BASE) -> dict[str, urls.Row]:
    found = await urls.listing(site.kube, None, base_url, "kargo-system-resources")
    return {row.receiver: row for row in found}


async def test_a_reference_that_is_no_name_is_a_problem_of_that_receiver_alone() -> None:
    """The API server is not asked for such a Secret, and the others are listed."""
    site = Publishing(Listed())
    site.secret("p")
    names = ("50%", "..", "a,b", "a/b")
    site.config("p", *(azure(name, name) for name in names), azure("az"))
    found = await rows(site)
    assert all("is no name of a Secret" in found[name].problem for name in names)
    assert (found["az"].problem, found["az"].url) == ("", entry("p", "az")["url"])
    assert [request.name for request in site.kube.made("get", SECRETS.plural)] == ["s"]


async def test_another_url_in_status_is_a_problem() -> None:
    """With another base URL than the receiver's, the listing says that other URLs are published."""
    site = Publishing(Listed())
    site.secret("p")
    site.config("p", azure("az"), status={"webhookReceivers": [entry("p", "az")]})
    assert (await rows(site))["az"].problem == ""
    other = (await rows(site, "https://other.example.com"))["az"]
    assert other.url.startswith("https://other.example.com/azure/")
    assert "status has another URL" in other.problem


async def test_a_secret_that_cannot_be_read_costs_only_its_row() -> None:
    """And each Secret is read once, however many receivers refer to it, as many as are served."""
    site = Publishing(Listed())
    site.secret("p")
    site.secret("q")
    site.config("p", *(azure(f"r-{number}") for number in range(SERVED_RECEIVERS + 7)))
    site.config("q", azure("az"))
    site.kube.fail(refused(500), plural=SECRETS.plural, namespace="q")
    found = await rows(site)
    assert "can't be read" in found["az"].problem
    assert found["(7 more)"].problem.startswith(f"only the first {SERVED_RECEIVERS}")
    assert len(found) == SERVED_RECEIVERS + 2
    assert len(site.kube.made("get", SECRETS.plural)) == 2


PAGE = b"<html>log in first</html>"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(PAGE)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(raw(OK + PAGE), "is not one of the Kubernetes API", id="a proxy's page with 200"),
        pytest.param(raw(OK.replace(b"25", b"2") + b"{}"), "is not one of the Kubernetes API", id="no list"),
        pytest.param(html(502), "502", id="a proxy's page with 502"),
    ],
)
async def test_an_answer_that_is_no_list_is_one_line(
    script: Script, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and no traceback."""
    async with ApiServer(script) as server:
        assert await run(_kubeconfig(tmp_path, server.port)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kargo-azure-receiver urls: ")
    assert words in line


@pytest.mark.parametrize(
    ("flags", "environ", "source"),
    [
        (["--base-url=kargo"], {}, "--base-url"),
        ([], {"EXTERNAL_WEBHOOK_SERVER_BASE_URL": "kargo"}, "EXTERNAL_WEBHOOK_SERVER_BASE_URL"),
    ],
)
async def test_a_wrong_base_url_is_named_with_its_flag_or_variable(
    flags: list[str], environ: dict[str, str], source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``run`` does."""
    assert await run(*flags, environ=environ) == 2
    assert capsys.readouterr().err.startswith(
        f"kargo-azure-receiver urls: {source}: 'kargo' is no absolute URL such as"
    )


async def run(*flags: str, environ: dict[str, str] | None = None) -> int:
    """Run the command with these flags and variables."""
    parser = argparse.ArgumentParser()
    urls.add_arguments(parser)
    return await exit_code("urls", urls.run(parser.parse_args(flags), environ or {}))


def _kubeconfig(folder: Path, port: int) -> str:
    path = folder / "kubeconfig"
    named = {"name": "x"}
    config = {
        "current-context": "x",
        "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{**named, "user": {"token": "t"}}],
        "contexts": [{**named, "context": {"cluster": "x", "user": "x"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return f"--kubeconfig={path}"
