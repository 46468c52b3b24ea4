"""An admin port over what a test says that the program holds."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from tests.support.background import Background
from tests.support.journal import StoppedClock
from webhook.admin.deliveries import Delivery
from webhook.admin.fleet import Fleet, fleet
from webhook.admin.history import JournalHistory
from webhook.admin.ports import Cache, JournalState, Pickup, Queue, ReceiverState, StorageQueue, Subject
from webhook.admin.server import AdminServer
from webhook.journal.history import Query, Summary
from webhook.journal.reading import HistoryError

NOW = datetime.now(UTC)


def delivery(number: int, **fields: object) -> Delivery:
    """Return a delivery; the higher its number, the older."""
    given: dict[str, object] = {
        "id": f"d-{number:05}",
        "received": NOW - timedelta(seconds=37 * number + 5),
        "unix": NOW.timestamp() - 37 * number - 5.0000003,
        "receiver": "kargo-demo/azure",
        "source": "acr",
        "event": "push",
        "outcome": "refreshed",
        "sender_id": f"0f6c1a70-{number:04}",
        "subjects": (Subject("image", "kargodemo.azurecr.io/guestbook"),),
        "code": 200,
        "refs": ("v1.2.3",),
        "matched": 2,
        "refreshed": 2,
        "seconds": 0.021,
    }
    return Delivery(**{**given, **fields})  # type: ignore[arg-type]


class FakeProgram:
    """What the page shows of the program."""

    def __init__(self, *receivers: ReceiverState) -> None:
        self.states = receivers or (ReceiverState("kargo-demo/azure", "served"),)
        self.targets: Sequence[tuple[str, str, str]] = ()
        self.pickups: Mapping[str, Pickup] = {}
        self.error = ""
        self.storage: Sequence[StorageQueue] = ()

    def not_ready(self) -> Sequence[str]:
        return ()

    def receivers(self) -> Sequence[ReceiverState]:
        return self.states

    def caches(self) -> Sequence[Cache]:
        kinds = {"Warehouse": 1_204, "ProjectConfig": 57, "ClusterConfig": 1, "Promotion": 3, "Secret": 58}
        return [Cache(kind, objects, True, 12.0) for kind, objects in kinds.items()]

    def queues(self) -> Sequence[Queue]:
        return [Queue("refresh", 0, 0.0), Queue("status", 0, 0.0)]

    def storage_queues(self) -> Sequence[StorageQueue]:
        return self.storage

    def unhandled(self) -> tuple[int, float]:
        return 0, 0.0

    def journal(self) -> JournalState:
        return JournalState(True, 0, 10_000, self.error)

    def pickup(self, kind: str, namespace: str, name: str, since: datetime) -> Pickup:
        return self.pickups.get(name, Pickup.PICKED_UP)

    def matching(
        self, receiver: str, subjects: Sequence[Subject], most: int
    ) -> Sequence[tuple[str, str, str]]:
        return self.targets[:most]


class FakeHistory(JournalHistory):
    """A history of these deliveries."""

    def __init__(self, *kept: Delivery) -> None:
        self.kept = kept
        self.broken = ""

    async def deliveries(self, query: Query) -> Sequence[Delivery]:
        self._check()
        found = sorted(self.kept, key=lambda each: (each.unix, each.id), reverse=True)
        if query.before is not None:
            found = [each for each in found if (each.unix, each.id) < (query.before, query.before_id)]
        if query.outcome:
            found = [each for each in found if each.outcome == query.outcome]
        if query.receiver:
            found = [each for each in found if each.receiver == query.receiver]
        return found[: query.limit]

    async def delivery(self, delivery: str) -> Delivery | None:
        self._check()
        return next((each for each in self.kept if each.id == delivery), None)

    async def summaries(self, now: datetime) -> Mapping[str, Summary]:
        self._check()
        found: dict[str, Summary] = {}
        for each in self.kept:
            before = found.get(
                each.receiver, Summary(each.received, each.code, each.outcome, each.received, {})
            )
            code = str(each.code)
            before.answers[code] = before.answers.get(code, 0) + 1
            found[each.receiver] = before
        return found

    def _check(self) -> None:
        if self.broken:
            raise HistoryError(self.broken)


def own_fleet(
    program: FakeProgram | None = None,
    history: FakeHistory | None = None,
    peers: tuple[str, int] | None = None,
) -> Fleet:
    """Return what an admin port serves; for it, it is always ``NOW``."""
    clock = StoppedClock(NOW.timestamp())
    return fleet(program or FakeProgram(), history or FakeHistory(), peers, clock=clock, version="1.2.3")


@contextlib.asynccontextmanager
async def served(
    program: FakeProgram | None = None,
    history: FakeHistory | None = None,
    *,
    peers: tuple[str, int] | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[AdminServer]:
    """Serve an admin port on a loopback address."""
    server = AdminServer(
        CollectorRegistry(),
        alive=list,
        ready=list,
        fleet=own_fleet(program, history, peers),
        address=address,
        port=port,
    )
    server.start()
    try:
        yield server
    finally:
        await server.close()


@contextlib.contextmanager
def site(program: FakeProgram | None = None, history: FakeHistory | None = None) -> Iterator[str]:
    """Serve it in the background; give its URL."""
    with Background() as background:
        serving = served(program, history)
        server = background.call(serving.__aenter__())
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            background.call(serving.__aexit__(None, None, None))
