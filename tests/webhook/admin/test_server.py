"""The admin port."""

import gzip
from collections.abc import Awaitable, Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from tests.support.admin import own_fleet
from tests.support.aio import run
from tests.support.wire import Wire
from webhook.admin.server import AdminServer
from webhook.http.listener import ServerError
from webhook.limits import ADMIN_BODY


def with_admin(
    test: Callable[[Wire], Awaitable[None]],
    *,
    alive: Callable[[], Sequence[str]] = list,
    ready: Callable[[], Sequence[str]] = list,
) -> None:
    """Run ``test`` on a connection to an admin server that has one metric."""

    async def scenario() -> None:
        registry = CollectorRegistry()
        Counter("pushes", "Pushes seen.", registry=registry).inc(3)
        server = AdminServer(
            registry, alive=alive, ready=ready, fleet=own_fleet(), address="127.0.0.1", port=0
        )
        server.start()
        wire = await Wire.open(server.port)
        try:
            await test(wire)
        finally:
            await wire.close()
            await server.close()

    run(scenario())


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        pytest.param("*/*", "text/plain; version=", id="text"),
        pytest.param(
            "application/openmetrics-text; version=1.0.0", "application/openmetrics-text", id="open"
        ),
    ],
)
def test_metrics_in_the_format_that_the_scraper_asks_for(accept: str, content_type: str) -> None:
    """Prometheus and a person with curl each get what they can read."""

    async def test(wire: Wire) -> None:
        reply = await wire.request("GET", "/metrics", Accept=accept)
        assert reply.code == 200
        assert reply.headers["content-type"].startswith(content_type)
        assert b"pushes_total 3.0" in reply.body

    with_admin(test)


def test_metrics_are_compressed_for_who_asks() -> None:
    """Prometheus always offers gzip."""

    async def test(wire: Wire) -> None:
        reply = await wire.request("GET", "/metrics", Accept_Encoding="gzip")
        assert reply.headers["content-encoding"] == "gzip"
        assert b"pushes_total 3.0" in gzip.decompress(reply.body)

    with_admin(test)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_a_200(path: str) -> None:
    """Nothing is in the way, so the probe succeeds, by GET and HEAD."""

    async def test(wire: Wire) -> None:
        assert (await wire.request("GET", path)).json == {"ok": True, "missing": []}
        assert (await wire.request("HEAD", path)).code == 200

    with_admin(test)


def test_not_ready_says_what_is_missing() -> None:
    """A person who asks sees what is waited for; liveness is another matter."""

    async def test(wire: Wire) -> None:
        reply = await wire.request("GET", "/readyz")
        assert (reply.code, reply.json) == (503, {"ok": False, "missing": ["Warehouses not synced"]})
        assert (await wire.request("GET", "/livez")).code == 200

    with_admin(test, ready=lambda: ["Warehouses not synced"])


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        pytest.param("GET", "/nothing", 404, id="unknown"),
        pytest.param("GET", "/server.py", 404, id="no-file-of-ours"),
        pytest.param("GET", "/metrics/", 404, id="trailing-slash"),
        pytest.param("GET", "/healthz", 404, id="public-port's"),
        pytest.param("POST", "/readyz", 405, id="post"),
        pytest.param("DELETE", "/api/deliveries/d1", 405, id="delete"),
    ],
)
def test_anything_else_is_refused_in_json(method: str, path: str, code: int) -> None:
    """Whatever is no page of ours."""

    async def test(wire: Wire) -> None:
        reply = await wire.request(method, path)
        assert reply.code == code
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.json) == {"error"}

    with_admin(test)


def test_a_fault_is_logged_and_answered() -> None:
    """A check that fails makes a 500 in JSON and one line in the log."""

    def broken() -> Sequence[str]:
        raise RuntimeError("broken")

    async def test(wire: Wire) -> None:
        with capture_logs() as lines:
            reply = await wire.request("GET", "/readyz")
        assert (reply.code, reply.json) == (500, {"error": "internal server error"})
        assert [line["event"] for line in lines] == ["admin_request_failed"]

    with_admin(test, ready=broken)


@pytest.mark.parametrize(
    ("length", "closed"),
    [pytest.param(ADMIN_BODY, False, id="at"), pytest.param(ADMIN_BODY + 1, True, id="past")],
)
def test_bodies_are_small(length: int, closed: bool) -> None:
    """Nobody needs to send the admin port anything."""

    async def test(wire: Wire) -> None:
        reply = await wire.request("GET", "/livez", b"x" * length)
        assert (reply.code == 400) is closed

    with_admin(test)


def test_busy_port_is_one_clear_line() -> None:
    """A second process on the same port says so and names it."""

    async def test(wire: Wire) -> None:
        port = wire.writer.get_extra_info("peername")[1]
        second = AdminServer(
            CollectorRegistry(),
            alive=list,
            ready=list,
            fleet=own_fleet(),
            address="127.0.0.1",
            port=port,
        )
        with pytest.raises(ServerError) as raised:
            second.start()
        assert str(raised.value) == f"can't listen on 127.0.0.1:{port}: the port is in use by another process"

    with_admin(test)
