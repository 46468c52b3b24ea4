"""Requests and their answers on the wire."""

import pytest

from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, UNKNOWN_PATH, Site, exchange, running
from tests.support.wire import Wire, request, until


async def test_ping() -> None:
    """The sender's test of the webhook is answered in Kargo's words, as JSON, with our id of it."""
    (reply,) = await exchange(request("POST", PATH, PING))
    assert reply.code == 200
    assert reply.json == {"msg": "ping event received, webhook is configured correctly"}
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.headers["x-delivery-id"]) == 16
    assert reply.headers["date"].endswith(" GMT")
    assert "server" not in reply.headers


async def test_push_is_answered_when_persisted() -> None:
    """An event is dispatched for its repository, and answered when the API server has it."""
    refresh = FakeRefresh(2)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", f"/webhooks{PATH}?x=1", PUSH, Content_Type="application/json"))
        await until(lambda: site.dispatcher.dispatched)
        refresh.persist(2)
        reply = await wire.reply()
        await wire.close()
    assert (reply.code, reply.json) == (200, {"msg": "refreshed 2 warehouse(s)"})
    (receiver, subjects, _, delivery), *_ = site.dispatcher.dispatched
    assert (receiver, subjects[0].url) == ("kargo-demo/az", "example.azurecr.io/app")
    assert delivery == reply.headers["x-delivery-id"] == site.journal.arrivals[delivery].id
    assert [code for _, _, code in site.metrics.requests] == [200]


async def test_push_that_takes_too_long_is_a_202_within_the_budget() -> None:
    """The answer comes at the reply timeout, and the work goes on."""
    refresh = FakeRefresh(2)
    async with running(Site(refresh, reply_seconds=0.1)) as site:
        wire = await Wire.open(site.port)
        reply = await wire.request("POST", PATH, PUSH)
        await wire.close()
        assert (reply.code, reply.json) == (
            202,
            {"msg": "refreshed 0 of 2 warehouse(s); the rest will follow"},
        )
        assert 0.1 <= site.metrics.seconds[0] < 1.0
        refresh.persist(2)
        await until(lambda: site.journal.calls[-1][0] == "finish")


async def test_every_answer_has_an_id_of_its_own() -> None:
    """What a sender reports can be found in the log, whatever the answer was."""
    replies = await exchange(
        request("POST", PATH, PING),
        request("POST", UNKNOWN_PATH, PING),
        request("GET", PATH),
        request("POST", PATH, b"{"),
        request("GET", "/healthz"),
        request("POST", PATH, PING, Content_Encoding="gzip"),
    )
    assert [reply.code for reply in replies] == [200, 404, 405, 400, 200, 400]
    assert len({reply.headers["x-delivery-id"] for reply in replies}) == 6
    assert all(reply.headers["content-type"] == "application/json" for reply in replies)
    assert replies[1].body == b"{}"


@pytest.mark.parametrize(
    ("method", "code"),
    [
        pytest.param("GET", 200, id="get"),
        pytest.param("HEAD", 200, id="head"),
        pytest.param("POST", 405, id="post"),
    ],
)
async def test_health_check(method: str, code: int) -> None:
    """A probe of the public port always succeeds, and HEAD has the headers of GET without a body."""
    reply, again = await exchange(request(method, "/healthz"), request("GET", "/healthz"))
    assert reply.code == code
    assert again.code == 200
    if method == "POST":
        assert reply.headers["allow"] == "GET, HEAD"
    else:
        assert reply.headers["content-length"] == again.headers["content-length"]


async def test_cloud_events_handshake() -> None:
    """Event Grid's OPTIONS is answered with its origin and any rate."""
    (reply,) = await exchange(request("OPTIONS", PATH, WebHook_Request_Origin="eventgrid.azure.net"))
    assert reply.code == 200
    assert reply.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert reply.headers["webhook-allowed-rate"] == "*"


async def test_second_factor() -> None:
    """Without the header a ping is a 401 that says how to authenticate; with it, it is let in."""
    async with running(Site(accepted=("Bearer x",))) as site:
        wire = await Wire.open(site.port)
        refused = await wire.request("POST", PATH, PING)
        let_in = await wire.request("POST", PATH, PING, Authorization="Bearer x")
        await wire.close()
    assert (refused.code, let_in.code) == (401, 200)
    assert "Basic" in refused.headers["www-authenticate"]
