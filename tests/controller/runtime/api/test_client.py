"""The client, against a server that sends bytes."""

import asyncio
import contextlib
import datetime
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from controller.runtime.api import configuration, errors
from controller.runtime.api.client import Client, Configuration, Resource, load_configuration
from tests.support import apiserver
from tests.support.apiserver import ApiServer, Connection
from tests.support.clock import FakeClock

WAREHOUSES = Resource("kargo.akuity.io", "v1alpha1", "warehouses")
SECRETS = Resource("", "v1", "secrets")


class Requests:
    """Records what a RequestObserver is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def request(self, verb: str, method: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((verb, method, code))


@contextlib.asynccontextmanager
async def connected(server: ApiServer, **options: Any) -> AsyncIterator[Client]:
    client = Client(server.configuration(), clock=FakeClock(), **options)
    try:
        yield client
    finally:
        await client.close()


async def lines(client: Client, *, idle_seconds: float = 20.0, **options: Any) -> list[bytes]:
    """Watch until the end and return every line."""
    stream = client.watch(WAREHOUSES, version="5", timeout_seconds=300, idle_seconds=idle_seconds, **options)
    async with contextlib.aclosing(stream):
        return [line async for line in stream]


@pytest.mark.parametrize(
    ("resource", "args", "path"),
    [
        pytest.param(WAREHOUSES, (), "/apis/kargo.akuity.io/v1alpha1/warehouses", id="all"),
        pytest.param(
            WAREHOUSES, ("demo",), "/apis/kargo.akuity.io/v1alpha1/namespaces/demo/warehouses", id="namespace"
        ),
        pytest.param(SECRETS, ("demo", "s"), "/api/v1/namespaces/demo/secrets/s", id="core object"),
        pytest.param(
            WAREHOUSES,
            (None, "cluster", "status"),
            "/apis/kargo.akuity.io/v1alpha1/warehouses/cluster/status",
            id="cluster-scoped status",
        ),
        pytest.param(SECRETS, ("a/b", "../c?d"), "/api/v1/namespaces/a%2Fb/secrets/..%2Fc%3Fd", id="escaped"),
    ],
)
def test_paths(resource: Resource, args: tuple[str | None, ...], path: str) -> None:
    """A resource's path follows the API's conventions, and no name can leave its place."""
    assert resource.path(*args) == path


async def test_row_01_lists_are_consistent_and_lean() -> None:
    """A list carries no version, asks for JSON without managed fields, uncompressed, and for its page."""
    observer = Requests()
    async with ApiServer(apiserver.page([])) as server, connected(server, observer=observer) as client:
        await client.list_page(WAREHOUSES, limit=500)
        await client.list_page(
            SECRETS, namespace="demo", field_selector="metadata.name=s", limit=7, continue_token="a/b=="
        )
    first, second = server.requests
    assert first.query == {"limit": "500"}
    assert first.headers["accept"].startswith("application/json;drop=metadata.managedFields")
    assert first.headers["accept"].endswith(", application/json")
    assert first.headers["accept-encoding"] == "identity"
    assert second.path == "/api/v1/namespaces/demo/secrets"
    assert second.query == {"limit": "7", "fieldSelector": "metadata.name=s", "continue": "a/b=="}
    assert observer.seen == [("list", "GET", "200")] * 2


async def test_a_patch_is_a_merge_patch_and_can_ask_for_metadata_only() -> None:
    """Body, content type, field manager and Accept arrive as the API server wants them."""

    async def answer(connection: Connection) -> None:
        name = {"name": "app"} if connection.request.method == "PATCH" else {}
        await connection.answer(200, {"kind": "Warehouse", "metadata": name})

    body = {"metadata": {"annotations": {"a": "ü"}}}
    async with ApiServer(answer) as server, connected(server, field_manager="me") as client:
        answered = await client.patch(
            WAREHOUSES,
            namespace="demo",
            name="app",
            body=json.dumps(body).encode(),
            metadata_only=True,
        )
        await client.create(SECRETS, namespace="demo", body=b'{"a":1}')
    assert json.loads(answered) == {"kind": "Warehouse", "metadata": {"name": "app"}}
    patch, create = server.requests
    assert (patch.method, patch.query) == ("PATCH", {"fieldManager": "me"})
    assert patch.headers["content-type"] == "application/merge-patch+json"
    assert "as=PartialObjectMetadata;g=meta.k8s.io;v=v1" in patch.headers["accept"]
    assert json.loads(patch.body) == body
    assert (create.method, json.loads(create.body)) == ("POST", {"a": 1})


async def _garbage_chunk(connection: Connection) -> None:
    await connection.head()
    await connection.send(b"this is no chunk\r\n")
    connection.writer.close()


async def _cut_in_chunk(connection: Connection) -> None:
    await connection.head()
    await connection.send(b"ff\r\nonly this")
    connection.writer.close()


def _answer(body: bytes | dict[str, Any]) -> apiserver.Script:
    async def script(connection: Connection) -> None:
        await connection.answer(200, body)

    return script


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(apiserver.reset, errors.ConnectionFailed, id="reset"),
        pytest.param(apiserver.raw(b""), errors.ConnectionFailed, id="hangs up"),
        pytest.param(apiserver.raw(b"SSH-2.0-OpenSSH\r\n"), errors.ConnectionFailed, id="not HTTP"),
        pytest.param(_garbage_chunk, errors.ConnectionFailed, id="garbage chunk"),
        pytest.param(_cut_in_chunk, errors.ConnectionFailed, id="cut short"),
        pytest.param(apiserver.html(503), errors.ServerFault, id="proxy page"),
        pytest.param(apiserver.status(403, reason="Forbidden"), errors.Forbidden, id="403"),
        pytest.param(apiserver.status(410, reason="Expired"), errors.Expired, id="410"),
    ],
)
async def test_every_failure_is_an_api_error(script: apiserver.Script, kind: type[errors.ApiError]) -> None:
    """Whatever the other side does, the caller gets an ApiError that names the request."""
    async with ApiServer(script) as server, connected(server) as client:
        for attempt in (
            client.get(WAREHOUSES, namespace="demo", name="app"),
            client.patch(WAREHOUSES, namespace="demo", name="app", body=b"{}"),
            lines(client),
        ):
            with pytest.raises(kind) as caught:
                await attempt
            assert caught.value.resource == "warehouses.kargo.akuity.io"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(apiserver.html(200), id="a proxy's page"),
        pytest.param(apiserver.raw(b"HTTP/1.1 204 No Content\r\n\r\n", close=False), id="204"),
        pytest.param(apiserver.status(200), id="a Status"),
        pytest.param(_answer({}), id="no kind"),
        pytest.param(_answer({"kind": "Warehouse", "metadata": {"name": "other"}}), id="another object"),
    ],
)
async def test_a_success_that_is_not_the_object_is_none(script: apiserver.Script) -> None:
    """Whoever counts a patch as persisted must have seen the object that the API server stored."""
    async with ApiServer(script) as server, connected(server) as client:
        for attempt in (
            client.get(WAREHOUSES, namespace="demo", name="app"),
            client.patch(WAREHOUSES, namespace="demo", name="app", body=b"{}", metadata_only=True),
        ):
            with pytest.raises(errors.MalformedResponse):
                await attempt


async def test_a_created_object_may_have_no_name() -> None:
    """A review has none; a proxy's page is no review all the same."""
    review = _answer({"kind": "SelfSubjectAccessReview", "metadata": {"creationTimestamp": None}})
    async with ApiServer(review, apiserver.html(201)) as server, connected(server) as client:
        assert await client.create(SECRETS, body=b"{}")
        with pytest.raises(errors.MalformedResponse):
            await client.create(SECRETS, body=b"{}")


async def test_an_object_nested_too_deeply_to_decode_is_the_object() -> None:
    """The API server stores 10,000 levels; what is read of the object decides what becomes of it."""
    body = b'{"kind":"Warehouse","metadata":{"name":"app"},"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    async with ApiServer(_answer(body)) as server, connected(server) as client:
        assert await client.get(WAREHOUSES, name="app") == body


async def test_a_refused_connection_is_counted_as_an_error() -> None:
    """With nobody listening: ConnectionFailed, and the observer is told of a request without an answer."""
    observer = Requests()
    async with ApiServer(apiserver.reset) as server:
        pass
    async with connected(server, observer=observer) as client:
        with pytest.raises(errors.ConnectionFailed):
            await client.get(WAREHOUSES, namespace="demo", name="app")
        with pytest.raises(errors.ConnectionFailed):
            await lines(client)
    assert observer.seen == [("get", "GET", "<error>"), ("watch", "GET", "<error>")]


async def test_retry_after_is_handed_on() -> None:
    """The header counts for any refusal, as seconds or as a date."""
    async with ApiServer(apiserver.status(429, Retry_After="3")) as server, connected(server) as client:
        with pytest.raises(errors.TooManyRequests) as caught:
            await client.list_page(WAREHOUSES, limit=500)
        assert caught.value.retry_after == 3.0


@pytest.mark.parametrize("length", [pytest.param(1_000, id="at"), pytest.param(1_001, id="beyond")])
async def test_an_answer_is_bounded(length: int) -> None:
    """An answer at the limit is read, one byte more is refused, and the client goes on working."""

    body = b'{"kind":"Warehouse","metadata":{"name":"app"},"x":"'
    body += b"x" * (length - len(body) - 2) + b'"}'

    async def answer(connection: Connection) -> None:
        await connection.head()
        for start in range(0, length, 100):
            await connection.chunk(body[start : start + 100])
        await connection.end()

    server = ApiServer(answer, apiserver.page([]))
    async with server, connected(server, answer_limit=1_000) as client:
        if length <= 1_000:
            assert len(await client.get(WAREHOUSES, name="app")) == length
        else:
            with pytest.raises(errors.ResponseTooLarge):
                await client.get(WAREHOUSES, name="app")
        assert await client.list_page(WAREHOUSES, limit=500)


async def test_row_03_a_watch_asks_for_bookmarks_from_a_version() -> None:
    """A watch names its version, its timeout, and wants bookmarks; its lines come one by one."""
    opened: list[bool] = []
    script = apiserver.watch(("ADDED", {"a": 1}), ("DELETED", {"a": 2}), hold=False)
    async with ApiServer(script) as server, connected(server) as client:
        got = await lines(
            client, namespace="demo", field_selector="metadata.name=s", opened=lambda: opened.append(True)
        )
    assert [json.loads(line)["type"] for line in got] == ["ADDED", "DELETED"]
    assert opened == [True]
    assert server.requests[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "timeoutSeconds": "300",
        "fieldSelector": "metadata.name=s",
    }


async def test_lines_come_whole_however_they_are_cut() -> None:
    """Half lines, several at once, an event of 3 MB: each comes once and whole; a last half is dropped."""
    big = b'{"big":"' + b"x" * 3_000_000 + b'"}'

    async def script(connection: Connection) -> None:
        await connection.head()
        for piece in (
            b'{"a"',
            b":1}\n\n{",
            b'"b":2}\n{"c":3}\n',
            big[:1_000],
            big[1_000:] + b"\n",
            b'{"cut',
        ):
            await connection.chunk(piece)
        await connection.end()

    async with ApiServer(script) as server, connected(server) as client:
        got = await lines(client)
    assert got == [b'{"a":1}', b'{"b":2}', b'{"c":3}', big]


async def test_row_14_a_silent_watch_ends_with_a_reason() -> None:
    """When no byte comes for the idle bound the watch ends, though the connection stays open."""
    async with ApiServer(apiserver.watch(("ADDED", {}))) as server, connected(server) as client:
        with pytest.raises(errors.WatchIdle):
            await lines(client, idle_seconds=0.05)


async def test_row_14_the_kernel_asks_whether_a_watchs_peer_is_there() -> None:
    """A peer that vanished ends the watch in half a minute, though nothing is ever sent on it."""
    async with ApiServer(apiserver.watch(("ADDED", {}))) as server, connected(server) as client:
        stream = client.watch(WAREHOUSES, version="5", timeout_seconds=300, idle_seconds=60)
        async with contextlib.aclosing(stream):
            await anext(stream)
            timers = keepalive_timers(server.port)
    assert len(timers) == 1
    assert 0 < int(timers[0], 16) <= 15 * 100


def keepalive_timers(port: int) -> list[str]:
    """Return when, in hundredths of a second (hex), the kernel will ask the peers at this port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [cells[5].split(":") for cells in lines if cells[2].endswith(f":{port:04X}")]
    return [when for kind, when in timers if kind == "02"]


async def test_watches_do_not_use_up_the_connections_of_requests() -> None:
    """With more watches open than any pool has room for, a request still gets through."""
    watching = asyncio.Semaphore(0)

    async def script(connection: Connection) -> None:
        if connection.request.verb == "watch":
            await connection.head()
            await connection.event("ADDED", {})
            await asyncio.Event().wait()
        name = connection.request.path.rsplit("/", 1)[-1]
        await connection.answer(200, {"kind": "Warehouse", "metadata": {"name": name}})

    async with ApiServer(script) as server, connected(server, concurrency=2) as client:

        async def follow() -> None:
            stream = client.watch(WAREHOUSES, version="5", timeout_seconds=300, idle_seconds=60)
            async with contextlib.aclosing(stream):
                async for _ in stream:
                    watching.release()

        tasks = [asyncio.create_task(follow()) for _ in range(150)]
        for _ in tasks:
            await watching.acquire()
        await asyncio.gather(*(client.get(WAREHOUSES, name=f"w-{i}") for i in range(10)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
    configuration: Any = await load_configuration(None, FakeClock())
    assert configuration.host == "https://127.0.0.1:1"
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer first"
    token.write_text("second\n")
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer first"
    monkeypatch.setattr(f"{library}.datetime.datetime", _Tomorrow)
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer second"


class _Tomorrow(datetime.datetime):
    """The library asks the time of nobody that could be injected."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Tomorrow":
        return super().now(tz) + datetime.timedelta(days=1)


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
