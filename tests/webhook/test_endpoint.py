"""Whose a request is, and the order of the checks."""

import json

import pytest
from structlog.testing import capture_logs
from tornado.httputil import HTTPHeaders

from tests.support.clock import FakeClock
from tests.support.fakes import (
    FakeDispatcher,
    FakeJournal,
    FakeLookup,
    FakeReceiver,
    FakeWebhookMetrics,
    digest,
)
from webhook.answers import Answer
from webhook.delivery import Deliveries
from webhook.endpoint import Endpoint, path_digest
from webhook.limits import Limits

DIGEST = digest("kargo-demo/az")
PATH = f"/azure/{DIGEST}"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(PATH, id="bare"),
        pytest.param(f"/webhooks{PATH}", id="prefix"),
        pytest.param(f"/a/b/c{PATH}", id="long-prefix"),
        pytest.param(f"//{PATH}", id="empty-segments"),
        pytest.param(f"/../..{PATH}", id="dots-before"),
        pytest.param(f"{PATH}?code=1&x=/azure/0", id="query"),
        pytest.param(f"{PATH}/", id="trailing-slash"),
        pytest.param(f"{PATH}/?code=1", id="trailing-slash-and-query"),
        pytest.param(f"http://localhost:8080{PATH}", id="absolute-form"),
        pytest.param(f"/azure/{'0' * 64}{PATH}", id="another-digest-before"),
    ],
)
def test_last_two_segments_decide(target: str) -> None:
    """Whatever an ingress leaves before them, or one slash after them: the receiver is found."""
    assert path_digest(target) == DIGEST


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/", id="root"),
        pytest.param("", id="empty"),
        pytest.param("*", id="asterisk"),
        pytest.param(f"azure/{DIGEST}", id="no-slash"),
        pytest.param(f"/xazure/{DIGEST}", id="other-segment"),
        pytest.param(f"/AZURE/{DIGEST}", id="upper-case-segment"),
        pytest.param(f"/azure/{DIGEST.upper()}", id="upper-case-digest"),
        pytest.param(f"{PATH}//", id="trailing-slashes"),
        pytest.param(f"{PATH}/.", id="trailing-dot"),
        pytest.param(f"{PATH}/x/..", id="traversal-after"),
        pytest.param(f"/azure/x/../{DIGEST}", id="traversal-between"),
        pytest.param(f"/azure//{DIGEST}", id="empty-segment-between"),
        pytest.param(f"/%61zure/{DIGEST}", id="encoded-segment"),
        pytest.param(f"/azure%2f{DIGEST}", id="encoded-slash"),
        pytest.param(f"/azure/%{DIGEST[1:]}", id="percent"),
        pytest.param(f"/azure/{DIGEST[:-1]}", id="short"),
        pytest.param(f"/azure/{DIGEST}0", id="long"),
        pytest.param(f"/azure/{DIGEST[:-1]}g", id="not-hex"),
        pytest.param(f"/azure/{DIGEST[:-1]}\u0661", id="other-digits"),
        pytest.param(f"/azure/{DIGEST};x=1", id="parameters"),
        pytest.param(f"/azure/{DIGEST}%00", id="encoded-nul"),
        pytest.param(f"\\azure\\{DIGEST}", id="backslashes"),
        pytest.param(f"/healthz?{PATH}", id="in-the-query"),
    ],
)
def test_what_is_not_written_exactly_so_is_no_path(target: str) -> None:
    """Nothing is decoded, resolved or folded, so no second spelling of a URL exists."""
    assert path_digest(target) is None


class World:
    """A receiver over fakes that serves ``kargo-demo/az``, which demands ``Basic good``."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.lookup = FakeLookup(FakeReceiver("kargo-demo/az", ["Basic good"]))
        self.metrics = FakeWebhookMetrics()
        clock = FakeClock()
        self.dispatcher = FakeDispatcher()
        self.journal = FakeJournal()
        deliveries = Deliveries(self.dispatcher, self.journal, self.metrics, clock=clock)
        self.endpoint = Endpoint(
            self.lookup, deliveries, self.metrics, clock=clock, limits=limits or Limits()
        )

    def check(self, method: str = "POST", path: str = PATH, **headers: str) -> Answer | None:
        named = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
        return self.endpoint.check(self.endpoint.arrived(), method, path, named)


def code(answer: Answer | None) -> int | None:
    return None if answer is None else answer.code


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        pytest.param(
            "GET",
            f"/azure/{'0' * 64}",
            {"Content_Length": "99999999", "Content_Encoding": "gzip"},
            404,
            id="path-before-all",
        ),
        pytest.param("GET", PATH, {"Content_Length": "99999999"}, 405, id="method-before-authorization"),
        pytest.param("PUT", PATH, {"Authorization": "Basic good"}, 405, id="put"),
        pytest.param("HEAD", PATH, {}, 405, id="head"),
        pytest.param("OPTIONS", PATH, {"Authorization": "Basic good"}, 405, id="options-without-origin"),
        pytest.param("POST", PATH, {"Content_Length": "99999999"}, 401, id="authorization-before-size"),
        pytest.param("POST", PATH, {"Authorization": "Basic bad"}, 401, id="wrong-authorization"),
        pytest.param("OPTIONS", PATH, {"WebHook_Request_Origin": "x"}, 401, id="handshake-too"),
        pytest.param(
            "POST",
            PATH,
            {"Authorization": "Basic good", "Content_Length": "2097153", "Content_Encoding": "gzip"},
            413,
            id="size-before-encoding",
        ),
        pytest.param(
            "POST",
            PATH,
            {"Authorization": "Basic good", "Content_Length": "9" * 5000},
            413,
            id="size-of-5000-digits",
        ),
        pytest.param(
            "POST", PATH, {"Authorization": "Basic good", "Content_Encoding": "gzip"}, 400, id="encoding"
        ),
        pytest.param(
            "POST",
            PATH,
            {"Authorization": "Basic good", "Content_Length": "2097152", "Content_Encoding": "Identity"},
            None,
            id="size-at-limit",
        ),
        pytest.param(
            "POST", PATH, {"Authorization": "Basic good", "Content_Encoding": ""}, None, id="empty-encoding"
        ),
    ],
)
def test_order_of_the_checks(method: str, path: str, headers: dict[str, str], expected: int | None) -> None:
    """Nobody learns more than they have shown to know: path, method, authorization, size, content."""
    assert code(World().check(method, path, **headers)) == expected


def test_expected_path_is_a_503_that_asks_to_come_again() -> None:
    """A receiver whose Secret is on its way is no unknown path: Azure DevOps would give it up."""
    world = World()
    coming = digest("kargo-demo/coming")
    world.lookup.coming[coming] = "kargo-demo/coming"
    arrival = world.endpoint.arrived()
    answer = world.endpoint.check(arrival, "POST", f"/azure/{coming}", HTTPHeaders())
    assert answer is not None
    assert answer.code == 503
    assert dict(answer.headers)["Retry-After"] == "5"
    with capture_logs() as lines:
        world.endpoint.answered(arrival, answer)
    assert (lines[0]["event"], lines[0]["receiver"]) == ("request_refused", "kargo-demo/coming")
    reason = "the receiver's Secret is not known yet"
    assert world.journal.notices == [("kargo-demo/coming", "refused", 503, reason)]


def test_what_came_to_an_unknown_path_is_not_kept() -> None:
    """Anyone could fill the history with it."""
    world = World()
    arrival = world.endpoint.arrived()
    answer = world.endpoint.check(arrival, "POST", f"/azure/{'0' * 64}", HTTPHeaders())
    assert answer is not None
    world.endpoint.answered(arrival, answer)
    assert world.journal.notices == []


def test_unknown_digest_is_the_only_one_that_is_looked_up() -> None:
    """Paths of another shape cost no lookup."""
    world = World()
    world.check(path="/favicon.ico")
    assert world.lookup.asked == []


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param(Limits(requests=1), 503, id="in-all"),
        pytest.param(Limits(requests=4), None, id="two-of-four-to-one-receiver"),
        pytest.param(Limits(requests=3), 503, id="one-receiver"),
        pytest.param(Limits(), None, id="room"),
    ],
)
def test_too_many_requests_in_progress(limits: Limits, expected: int | None) -> None:
    """The request past the limit is asked to come again."""
    world = World(limits)
    assert world.check(Authorization="Basic good") is None
    assert code(world.check(Authorization="Basic good")) == expected


def test_no_new_request_while_shutting_down() -> None:
    """After the server stopped accepting, a request on an open connection is sent elsewhere."""
    world = World()
    world.endpoint.gate.closed = True
    answer = world.check(Authorization="Basic good")
    assert answer is not None
    assert json.loads(answer.body) == {"error": "the server is shutting down"}


@pytest.mark.parametrize(
    ("length", "expected"), [pytest.param(1024, 200, id="at"), pytest.param(1025, 400, id="past")]
)
def test_origin_is_bounded(length: int, expected: int) -> None:
    """What is echoed is no longer than a host name needs."""
    answer = World().check("OPTIONS", Authorization="Basic good", WebHook_Request_Origin="o" * length)
    assert code(answer) == expected


def test_refusals_are_logged_without_the_path() -> None:
    """An operator sees who was refused and why; the URL stays secret, and unknown paths cost no line."""
    world = World()
    with capture_logs() as lines:
        for path in (PATH, f"/azure/{'0' * 64}", "/healthz"):
            arrival = world.endpoint.arrived()
            answer = world.endpoint.check(arrival, "GET", path, HTTPHeaders())
            assert answer is not None
            world.endpoint.answered(arrival, answer)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("request_refused", "info"),
        ("request_unknown", "debug"),
    ]
    assert lines[0]["reason"] == "this URL takes events by POST"
    assert DIGEST not in repr(lines)
    assert world.metrics.requests == [
        ("unknown", "unknown", 405),
        ("unknown", "unknown", 404),
        ("unknown", "healthz", 200),
    ]


def batch(repositories: int) -> bytes:
    """Return an Event Grid batch of pushes to so many repositories."""
    pushes = [
        {
            "id": f"e{number}",
            "eventType": "Microsoft.ContainerRegistry.ImagePushed",
            "data": {
                "action": "push",
                "target": {"repository": f"app-{number}"},
                "request": {"host": "example.azurecr.io"},
            },
        }
        for number in range(repositories)
    ]
    return json.dumps(pushes).encode()


async def test_delivery_without_room_is_refused_before_it_begins() -> None:
    """Whoever has used up the bytes of their Project is asked to come again; nothing has been dispatched."""
    world = World(Limits(delivery_bytes=1_000_000))
    arrival = world.endpoint.arrived()
    arrival.receiver = "kargo-demo/az"
    answer = world.endpoint.act(arrival, HTTPHeaders(), batch(1000))
    assert isinstance(answer, Answer)
    assert (answer.code, dict(answer.headers)["Retry-After"]) == (503, "5")
    assert world.dispatcher.dispatched == []
    assert world.endpoint.gate.bytes == 0
    with capture_logs() as logged:
        world.endpoint.answered(arrival, answer)
    assert [line["event"] for line in logged] == ["request_refused"]
    assert world.journal.notices == [("kargo-demo/az", "refused", 503, "too much is in progress")]


async def test_a_fault_while_a_delivery_begins_holds_no_bytes() -> None:
    """What could not begin takes no room."""
    world = World()

    def broken() -> None:
        raise RuntimeError("broken")

    world.dispatcher.on_dispatch = broken
    arrival = world.endpoint.arrived()
    arrival.receiver = "kargo-demo/az"
    with pytest.raises(RuntimeError):
        world.endpoint.act(arrival, HTTPHeaders(), batch(1))
    assert world.endpoint.gate.bytes == 0
