"""Requests about objects and lists, against a server that sends bytes."""

import json
from typing import Any

import pytest

from controller.runtime.api import errors
from controller.runtime.api.client import Resource
from tests.controller.runtime.api.connecting import SECRETS, WAREHOUSES, connected, lines
from tests.support import apiserver
from tests.support.apiserver import ApiServer, Connection


class Requests:
    """Records the requests that a client reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def request(self, verb: str, method: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((verb, method, code))


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
    async with ApiServer(apiserver.page([])) as server, connected(server, observe=observer.request) as client:
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
    async with connected(server, observe=observer.request) as client:
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
