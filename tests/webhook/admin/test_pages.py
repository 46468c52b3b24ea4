"""The pages and ``/api``, over HTTP."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.admin import NOW, FakeHistory, FakeProgram, delivery, served
from tests.support.aio import run
from tests.support.wire import Reply, Wire
from webhook.admin import pages
from webhook.admin.deliveries import NearMiss
from webhook.admin.ports import Pickup, ReceiverState, StorageQueue

Get = Callable[[str], Awaitable[Reply]]


def browse(test: Callable[[Get], Awaitable[None]], program: FakeProgram | None = None, *kept: object) -> None:
    """Run ``test`` with a function that gets a path."""

    async def scenario() -> None:
        async with served(program, FakeHistory(*kept)) as server:  # type: ignore[arg-type]
            wire = await Wire.open(server.port)
            try:
                await test(lambda path: wire.request("GET", path))
            finally:
                await wire.close()

    run(scenario())


PATHS = ("/", "/deliveries", "/deliveries/d-00000", "/receivers/kargo-demo/azure")


@pytest.mark.parametrize("path", [*PATHS, "/page.css", "/deliveries/none", "/?page=x", "/api/", "/metrics"])
def test_nothing_may_run_or_be_framed(path: str) -> None:
    """Every answer forbids scripts, frames, sniffing, and whatever is not ours."""

    async def test(get: Get) -> None:
        headers = (await get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "script" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers

    browse(test, None, delivery(0))


@pytest.mark.parametrize("path", PATHS)
def test_pages_hold_no_script_and_no_style_of_their_own(path: str) -> None:
    """What the policy would refuse isn't there; every link is relative, so any path above will do."""

    async def test(get: Get) -> None:
        reply = await get(path)
        page = reply.body.decode()
        assert reply.code == 200
        assert not re.search(r"<script|\son\w+=|style=|<style|javascript:", page)
        assert not re.search(r'(?:href|src|action)="(?:/|http)', page)

    browse(test, None, delivery(0))


def test_head_is_answered() -> None:
    """Without a body."""

    async def scenario() -> None:
        async with served() as server:
            wire = await Wire.open(server.port)
            for path in ("/", "/api/deliveries"):
                reply = await wire.request("HEAD", path)
                assert reply.code == 200
                assert int(reply.headers["content-length"]) > 0
            assert (await wire.request("POST", "/")).code == 405
            await wire.close()

    run(scenario())


def test_what_is_wrong_comes_first() -> None:
    """Faulty receivers, pending ones, those with a warning, then the rest; a page at a time."""
    program = FakeProgram(
        *(ReceiverState(f"p{number:04}/azure", "served") for number in range(1000)),
        ReceiverState("z/warned", "served", "its URL can be guessed"),
        ReceiverState("z/faulty", "faulty", 'Secret "x" does not exist'),
        ReceiverState("z/pending", "pending", "was not read yet"),
    )

    async def test(get: Get) -> None:
        page = (await get("/")).body.decode()
        names = re.findall(r'receivers/([^"]+)"', page)
        assert names[:4] == ["z/faulty", "z/pending", "z/warned", "p0000/azure"]
        assert len(names) == pages.RECEIVERS
        assert "page 1 of 51" in page
        assert "1,003" in page
        last = (await get("/?page=51")).body.decode()
        assert re.findall(r'receivers/([^"]+)"', last) == ["p0997/azure", "p0998/azure", "p0999/azure"]
        found = (await get("/?q=0042&state=served")).body.decode()
        assert re.findall(r'receivers/([^"]+)"', found) == ["p0042/azure"]

    browse(test, program)


def test_deliveries_are_paged_without_gap_or_repetition() -> None:
    """Following *older* shows each once, the newest first, with two of the same moment."""
    kept = [delivery(number) for number in range(118)]
    kept += [delivery(200, id="twin-a"), delivery(200, id="twin-b")]

    async def test(get: Get) -> None:
        seen: list[str] = []
        path = "/deliveries"
        for _ in range(5):
            page = (await get(path)).body.decode()
            seen += re.findall(r'href="\./deliveries/([^"?]+)"', page)
            older = re.search(r'href="\./(deliveries\?[^"]*before=[^"]+)"', page)
            if older is None:
                break
            path = "/" + older[1].replace("&amp;", "&")
        assert seen == [each.id for each in kept[:118]] + ["twin-b", "twin-a"]

    browse(test, None, *kept)


def test_a_list_shows_only_what_says_something() -> None:
    """A ping matches nothing and could not; on a receiver's own page, all are its own."""
    ping = delivery(0, event="ping", outcome="answered", subjects=(), refs=(), matched=0, refreshed=0)

    async def test(get: Get) -> None:
        listed = (await get("/deliveries")).body.decode()
        assert '<td data-label="Matched" class="number"></td>' in listed
        assert "<th>Receiver</th>" in listed
        own = (await get("/receivers/kargo-demo/azure")).body.decode()
        assert "deliveries/d-00000" in own
        assert "<th>Receiver</th>" not in own

    browse(test, None, ping)


def test_filters_live_in_the_url() -> None:
    """An outcome's URL shows those only, and the form keeps it."""

    async def test(get: Get) -> None:
        page = (await get("/deliveries?outcome=rejected&receiver=kargo-demo%2Fazure")).body.decode()
        assert re.findall(r'href="\./deliveries/([^"?]+)"', page) == ["bad"]
        assert '<option value="rejected" selected>' in page
        assert 'value="kargo-demo/azure"' in page
        assert "No delivery matches these filters" in (await get("/deliveries?outcome=pending")).body.decode()

    browse(test, None, delivery(1), delivery(2, id="bad", outcome="rejected", refreshed=0, rejected=2))


def test_how_a_delivery_came_in_reads_as_words() -> None:
    """In the list: the time of day, the event without Azure's namespace, and whether it was no request."""

    async def test(get: Get) -> None:
        page = (await get("/deliveries")).body.decode()
        shown = [
            re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r'<td class="text event">(.*?)</td>', page)
        ]
        assert [each.strip() for each in shown] == [
            "ACR push",
            "Event Grid ImagePushed, from a queue",
            "ACR push, dispatched again",
            "catch-up",
        ]
        assert f"{NOW:%H:%M:%S}</a>" in page
        assert f"{NOW - timedelta(days=3):%Y-%m-%d %H:%M}</a>" in page
        assert "<b>1</b> ClusterConfig<" in (await get("/")).body.decode().replace("\n", "")

    browse(
        test,
        None,
        delivery(0, received=NOW),
        delivery(1, source="event-grid", event="Microsoft.ContainerRegistry.ImagePushed", via="queue"),
        delivery(2, via="again"),
        delivery(3, source="catch-up", event="catch-up", via="catch-up", received=NOW - timedelta(days=3)),
    )


def test_a_delivery_shows_what_became_of_it() -> None:
    """How it was read, near misses, and whether Kargo has looked at each Warehouse."""
    program = FakeProgram()
    program.targets = [("Warehouse", "kargo-demo", "here"), ("Warehouse", "kargo-demo", "there")]
    program.pickups = {"there": Pickup.WAITING}
    near = NearMiss("the same name in another registry", "kargo-demo", "mirror", "other.azurecr.io/guestbook")
    full = delivery(0, refs=("v7", "sha256:abc", "refs/heads/main"), near_misses=(near,), code=200)

    async def test(get: Get) -> None:
        page = (await get("/deliveries/d-00000")).body.decode()
        for said in (
            "v7",
            "sha256:abc",
            "refs/heads/main",
            "other.azurecr.io/guestbook",
            "200 OK",
            "0f6c1a70",
        ):
            assert said in page
        assert re.search(r"here.*Kargo has looked.*there.*waits for Kargo", page, re.DOTALL)
        shown = json.loads((await get("/api/deliveries/d-00000")).body)["delivery"]
        assert [each["pickup"] for each in shown["targets"]] == ["picked_up", "waiting"]
        assert (await get("/deliveries/d-1")).code == 404
        assert (await get("/api/deliveries/d-1")).code == 404

    browse(test, program, full)


def test_api_shows_the_same() -> None:
    """Receivers, state and deliveries, for scripts."""

    async def test(get: Get) -> None:
        found = (await get("/api/")).json
        assert found["receivers"][0]["state"]["name"] == "kargo-demo/azure"
        assert found["receivers"][0]["summary"]["answers"] == {"200": 1}
        assert found["journal"]["kept"] == 10_000
        assert [each["id"] for each in found["latest"]] == ["d-00000"]
        assert (await get("/api/receivers/kargo-demo/azure")).json["deliveries"][0]["matched"] == 2
        assert (await get("/api/receivers/kargo-demo/none")).code == 404
        before = (NOW - timedelta(days=9)).timestamp()
        assert (await get(f"/api/deliveries?before={before}")).json["deliveries"] == []

    browse(test, None, delivery(0))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("/?page=0", "page must be a whole number from 1 to 1000", id="page"),
        pytest.param("/deliveries?before=yesterday", "before must be a Unix time in seconds", id="before"),
        pytest.param("/api/deliveries?limit=201", "limit must be a whole number from 1 to 200", id="limit"),
        pytest.param("/receivers/a/%3Cb%3E%E2%80%AE", "&lt;b&gt;\\u{202e}", id="name"),
    ],
)
def test_nonsense_is_one_clear_line(path: str, line: str) -> None:
    """Refused, with what is wrong, as a page or as JSON."""

    async def test(get: Get) -> None:
        reply = await get(path)
        assert reply.code in (400, 404)
        assert line in reply.body.decode()

    browse(test)


def test_a_history_that_cannot_be_read_is_named() -> None:
    """The rest of the page is there."""

    async def scenario() -> None:
        history = FakeHistory()
        history.broken = "the history can't be read: disk I/O error"
        async with served(None, history) as server:
            wire = await Wire.open(server.port)
            reply = await wire.request("GET", "/")
            assert reply.code == 200
            assert b"disk I/O error" in reply.body
            assert b"kargo-demo/azure" in reply.body
            await wire.close()

    run(scenario())


def test_templates_escape_everything_but_what_is_made_here() -> None:
    """``raw`` stands only before functions that return HTML."""
    harmless = r"text\.(when|link)\(|(pill|state_of|outcome_of|meaning_of|answered|status_of|pickup_of)\("
    for path in Path(pages.FOLDER).glob("*.html"):
        for call in re.findall(r"{% raw (.*?)%}", path.read_text()):
            assert re.match(harmless, call), f"{path.name}: {call}"
        assert "autoescape" not in path.read_text()


def test_storage_queues_are_shown_with_their_faults() -> None:
    """Which one fails and since when, what is in flight and set aside; nothing where there is none."""
    program = FakeProgram()
    hour = timedelta(hours=1)
    program.storage = [
        StorageQueue("kargo-demo/queue:acct/events", "", NOW - hour, NOW - hour / 2, 12, 0),
        StorageQueue("cluster/queue:acct/<all>", "receive: 403 <b>", NOW - hour / 12, None, 0, 3),
    ]

    async def test(get: Get) -> None:
        page = (await get("/")).body.decode()
        _, _, section = page.partition("<h2>Storage Queues</h2>")
        rows = section.partition("</tbody>")[0].split("</tr>")
        assert all(
            each in rows[1] for each in ("kargo-demo/queue:acct/events", "reading", "30 min ago", ">12<")
        )
        assert all(each in rows[2] for each in ("receive: 403 &lt;b&gt;", "failing", "5 min ago", "none yet"))
        assert "<all>" not in page
        queues = (await get("/api/")).json["storageQueues"]
        assert queues[1]["poison"] == 3

    browse(test, program)

    async def none(get: Get) -> None:
        assert "Storage Queues" not in (await get("/")).body.decode()

    browse(none)
