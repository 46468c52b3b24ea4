"""Where the API server is, the credentials for it, and TLS."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from controller.runtime.api import configuration, errors
from controller.runtime.api.client import Client, Configuration, load_configuration
from tests.controller.runtime.api.connecting import WAREHOUSES
from tests.support import apiserver
from tests.support.apiserver import ApiServer
from tests.support.clock import FakeClock


def kubeconfig(folder: Path, server: str, **user: object) -> str:
    """Write a kubeconfig (JSON is YAML) and return its path."""
    path = folder / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": user}],
    }
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "no kubeconfig at", id="missing"),
        pytest.param("a: [", "not valid YAML", id="no YAML"),
        pytest.param("just text", "is not a kubeconfig", id="text"),
        pytest.param("{}", "not valid|current-context", id="empty"),
        pytest.param('{"current-context": "x", "contexts": 5}', "is not valid", id="wrong types"),
    ],
)
async def test_an_unusable_kubeconfig_is_one_line(tmp_path: Path, content: str | None, says: str) -> None:
    """Whatever is wrong with the file, the error is a single line that says so."""
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.ConfigurationError, match=says) as caught:
        await load_configuration(str(path), FakeClock())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "token", "says"),
    [
        pytest.param("https://h:1", "s3cret\nheader", "the token .* holds a line break", id="token"),
        pytest.param(":::", "s3cret", "server is no URL", id="no URL"),
        pytest.param("https://h:port", "s3cret", "server is no URL", id="port"),
        pytest.param("https://user:s3cret@h", "s3cret", "server is no URL", id="user"),
    ],
)
async def test_what_no_request_can_be_made_with_is_one_line(
    tmp_path: Path, server: str, token: str, says: str
) -> None:
    """At once, not at each request; without the credential."""
    path = kubeconfig(tmp_path, server, token=token)
    with pytest.raises(errors.ConfigurationError, match=says) as caught:
        await load_configuration(path, FakeClock())
    assert "s3cret" not in str(caught.value)


async def test_a_failing_exec_plugin_is_one_line(tmp_path: Path) -> None:
    """The reason a credential plugin failed for reaches the user."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/plugin"}
    with pytest.raises(errors.ConfigurationError, match=r"exec plugin gave no credentials.*no/such/plugin"):
        await load_configuration(kubeconfig(tmp_path, "https://127.0.0.1:1", exec=plugin), FakeClock())


CREDENTIAL = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": {"token": "t"},
}


def exec_plugin(folder: Path, *, answers: int) -> dict[str, object]:
    """Build a plugin that answers so often, and then writes its process id to ``hung`` and hangs."""
    script = f"""
        echo x >> {folder}/runs
        if [ $(wc -l < {folder}/runs) -gt {answers} ]; then echo $$ > {folder}/hung; exec sleep 60; fi
        echo '{json.dumps(CREDENTIAL)}'
    """
    return {"apiVersion": CREDENTIAL["apiVersion"], "command": "/bin/sh", "args": ["-c", script]}


def runs(folder: Path) -> bool:
    """Whether the plugin that hung is still there."""
    return Path("/proc", (folder / "hung").read_text().strip()).exists()


async def killed(folder: Path) -> bool:
    """Wait until the plugin that hung is gone, and the event loop has closed its pipes."""
    for _ in range(500):
        await asyncio.sleep(0.01)
        if not runs(folder):
            await asyncio.sleep(0.1)
            return True
    return False


async def test_a_hung_exec_plugin_does_not_block_requests_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed after a while and logged: one request fails, and those after it use the old token."""
    monkeypatch.setattr(configuration, "PLUGIN_SECONDS", 0.5)
    clock = FakeClock()
    async with ApiServer(apiserver.page([])) as server:
        user = exec_plugin(tmp_path, answers=1)
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}", exec=user)
        client = Client(await load_configuration(path, clock), clock=clock)
        await client.list_page(WAREHOUSES, limit=500)
        await clock.advance(61.0)
        with capture_logs() as logs, pytest.raises(errors.ConnectionFailed, match=r"within 0\.5 s"):
            await client.list_page(WAREHOUSES, limit=500)
        await client.list_page(WAREHOUSES, limit=500)
        await client.close()
    assert [entry["event"] for entry in logs] == ["credentials_not_renewed"]
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer t"] * 2
    assert await killed(tmp_path)


async def test_a_plugin_that_hangs_at_the_start_is_a_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start does not wait for it for ever."""
    monkeypatch.setattr(configuration, "PLUGIN_SECONDS", 0.5)
    path = kubeconfig(tmp_path, "https://127.0.0.1:1", exec=exec_plugin(tmp_path, answers=0))
    with pytest.raises(errors.ConfigurationError, match=r"no credentials within 0\.5 s"):
        await load_configuration(path, FakeClock())
    assert await killed(tmp_path)


async def test_a_token_file_is_read_again_and_its_newline_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated token is used within a minute, without a restart."""
    token = tmp_path / "token"
    token.write_text("first\n")
    clock = FakeClock()
    async with ApiServer(apiserver.page([])) as server:
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}", tokenFile=str(token))
        monkeypatch.setenv("KUBECONFIG", path)
        client = Client(await load_configuration(None, clock), clock=clock)
        await client.list_page(WAREHOUSES, limit=500)
        token.write_text("second\n")
        await client.list_page(WAREHOUSES, limit=500)
        await clock.advance(61.0)
        await client.list_page(WAREHOUSES, limit=500)
        await client.close()
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer first", "Bearer second"]


async def test_in_a_pod_the_service_account_is_used_and_its_token_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no kubeconfig named and a service account at hand, that is taken; a rotated token is picked up."""
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    trustme.CA().cert_pem.write_to_path(str(ca))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr("controller.runtime.api.configuration.SERVICE_TOKEN_FILENAME", str(token))
    library = "kubernetes.aio.config.incluster_config"
    monkeypatch.setattr(f"{library}.SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(f"{library}.SERVICE_CERT_FILENAME", str(ca))
    clock = FakeClock()
    configuration: Any = await load_configuration(None, clock)
    assert configuration.host == "https://127.0.0.1:1"
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer first"
    token.write_text("second\n")
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer first"
    await clock.advance(61.0)
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer second"


async def test_unreadable_credentials_are_a_failed_request(tmp_path: Path) -> None:
    """A token file that vanishes while running fails the request, not the process."""

    async def hook(configuration: Configuration) -> None:
        raise FileNotFoundError(2, "No such file", "token")

    async with ApiServer(apiserver.page([])) as server:
        configuration: Any = server.configuration()
        configuration.api_key["BearerToken"] = "Bearer x"
        configuration.refresh_api_key_hook = hook
        client = Client(configuration, clock=FakeClock())
        with pytest.raises(errors.ConnectionFailed, match="credentials"):
            await client.list_page(WAREHOUSES, limit=500)
        await client.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_api_server_must_show_a_certificate_of_the_right_authority(
    tmp_path: Path, trusted: bool
) -> None:
    """TLS is checked against the configured authority: another one is a failed connection."""
    ca, other = trustme.CA(), trustme.CA()
    file = tmp_path / "ca.pem"
    (ca if trusted else other).cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    async with ApiServer(apiserver.page([]), tls=context) as server:
        configuration = Configuration(host=f"https://127.0.0.1:{server.port}", ssl_ca_cert=str(file))
        client = Client(configuration, clock=FakeClock())
        if trusted:
            assert await client.list_page(WAREHOUSES, limit=500)
        else:
            with pytest.raises(errors.ConnectionFailed):
                await client.list_page(WAREHOUSES, limit=500)
        await client.close()


async def test_an_unusable_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    """A broken CA file is found when the client is built, with one line."""
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")
    with pytest.raises(errors.ConfigurationError, match="certificate"):
        Client(Configuration(host="https://127.0.0.1:1", ssl_ca_cert=str(file)), clock=FakeClock())
