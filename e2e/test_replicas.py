"""Pods that end: one without warning, and all of them, one after the other, in an upgrade."""

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from e2e.clusters import Cluster
from e2e.clusters.user import User, deliver, exchange
from e2e.controlplane.waiting import eventually
from e2e.demo.events import REGISTRY, acr_push, ping
from e2e.kargo.project import image
from e2e.test_journey import EFFECT_LIMIT, STATUS_LIMIT, everywhere, refreshed

PACE = 0.1
"""Seconds between two events of one prober."""
MOST = 400
"""Events of one prober, each for a Warehouse of its own: 40 s, or more."""
UNNOTICED_LIMIT = 10.0
"""Seconds after which nobody is sent to a dead Pod any more."""
GOOD_IN_A_ROW = 30
"""Answered events after which nobody is sent to the dead Pod: by chance, one time in a thousand million."""
ANSWER_LIMIT = 5.0
"""Seconds after which ACR gives up."""


@dataclass
class Delivery:
    """One event that the prober sent; ``status`` 0 for no answer."""

    warehouse: str
    status: int = 0
    text: str = ""
    seconds: float = 0.0


@dataclass
class Prober:
    """Azure, at a steady pace, in a thread: each event is for a Warehouse that no other event is for."""

    url: str
    name: str
    keep_alive: bool
    """One connection for all, as a proxy keeps to a Pod; else one for each, as Azure's own."""
    deliveries: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        target = urlsplit(self.url)
        assert target.hostname is not None
        self._connection = http.client.HTTPConnection(target.hostname, target.port, timeout=15)
        self._path = target.path

    def warehouses(self) -> list[str]:
        """The names that it may send events for; the repository has the same name."""
        return [f"{self.name}-{number}" for number in range(MOST)]

    def _run(self) -> None:
        for warehouse in self.warehouses():
            if self._ending.wait(PACE):
                return
            delivery = Delivery(warehouse)
            self.deliveries.append(delivery)
            began = time.monotonic()
            try:
                answer = exchange(self._connection, self._path, acr_push(warehouse, "v1"))
                delivery.status, delivery.text = answer.status, answer.text
            except OSError as error:
                delivery.text = repr(error)
                self._connection.close()
            delivery.seconds = time.monotonic() - began
            if not self.keep_alive:
                self._connection.close()

    @contextlib.contextmanager
    def probing(self) -> Iterator[None]:
        """Send while the block runs; fails if there was nothing left to send before its end."""
        self._thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._thread.join()
            self._connection.close()
        assert len(self.deliveries) < MOST, "the block took longer than there was to send"


@pytest.fixture
def new_prober(cluster: Cluster, user: User) -> Callable[..., Prober]:
    """Make probers of one Project, with the Warehouses that they send for."""
    user.set_up(secret="a-secret-for-the-probers")
    url = eventually(user.url, STATUS_LIMIT, "the URL")
    eventually(lambda: everywhere(url, 200), EFFECT_LIMIT, "the URL in every Pod")

    def make(name: str, *, keep_alive: bool = False) -> Prober:
        prober = Prober(url, name, keep_alive)
        cluster.create(*(user.warehouse(each, image(f"{REGISTRY}/{each}")) for each in prober.warehouses()))
        eventually(lambda: deliver(url, acr_push(f"{name}-{MOST - 1}", "v1")).json == refreshed(1), 10)
        return prober

    return make


def judge(prober: Prober, user: User) -> None:
    """Every delivery was accepted in time, and each is in the API server."""
    statuses = Counter(each.status for each in prober.deliveries)
    slowest = max(each.seconds for each in prober.deliveries)
    kept = "kept" if prober.keep_alive else "new"
    print(f"{len(prober.deliveries)} events, {kept} connections: {dict(statuses)}, slowest {slowest:.2f} s")
    assert statuses.keys() <= {200, 202}, [
        each for each in prober.deliveries if each.status not in (200, 202)
    ]
    assert slowest < ANSWER_LIMIT

    def missing() -> list[str]:
        values = user.refreshes()
        return [each.warehouse for each in prober.deliveries if values[each.warehouse] is None]

    eventually(lambda: not missing(), EFFECT_LIMIT, "the refresh of every Warehouse")


def test_an_upgrade_loses_no_event(cluster: Cluster, user: User, new_prober: Callable[..., Prober]) -> None:
    """All Pods are replaced while events come in without a pause: no delivery fails, each has its refresh."""
    new, kept = new_prober("new"), new_prober("kept", keep_alive=True)
    before = cluster.pods()
    with new.probing(), kept.probing():
        cluster.upgrade()
        ended = time.monotonic()
        eventually(lambda: time.monotonic() - ended > 1.0, 2.0)
    assert not set(cluster.pods()) & set(before)
    for prober in (new, kept):
        assert len(prober.deliveries) > 30
        judge(prober, user)


def test_one_pod_is_enough_when_the_other_dies(
    cluster: Cluster, user: User, new_prober: Callable[..., Prober]
) -> None:
    """After a kill -9 the other Pod takes every event, and a changed Secret; what was answered is done."""
    prober = new_prober("app")
    first, _ = cluster.pods()
    with prober.probing():
        eventually(lambda: len(prober.deliveries) > 20, 10)
        cluster.kill(first)
        killed = len(prober.deliveries)
        old = prober.url
        eventually(
            lambda: (
                len(prober.deliveries) - killed > GOOD_IN_A_ROW
                and all(each.status for each in prober.deliveries[-GOOD_IN_A_ROW - 1 : -1])
            ),
            UNNOTICED_LIMIT,
            "an end to connections to the dead Pod",
        )
        noticed = len(prober.deliveries)
        cluster.apply(user.secret("azure", "another-secret-for-the-probers"))
        eventually(lambda: user.url() not in (None, old), STATUS_LIMIT, "another URL")
        url = user.url()
        assert url is not None
        eventually(lambda: deliver(url, ping()).status == 200, EFFECT_LIMIT, "the new URL")
        assert deliver(url, acr_push(f"app-{MOST - 2}", "v1")).json == refreshed(1)
        cluster.apply(user.secret("azure", "a-secret-for-the-probers"))
        eventually(lambda: deliver(old, ping()).status == 200, EFFECT_LIMIT, "the first URL again")
        back = len(prober.deliveries)
        eventually(lambda: len(prober.deliveries) > back + 20, 10)
    cluster.rolled_out()
    lost = [each for each in prober.deliveries[killed - 1 : noticed + 1] if not each.status]
    print(f"kill -9: {len(lost)} of {len(prober.deliveries)} events got no answer")
    changed = [each for each in prober.deliveries[noticed:back] if each.status == 404]
    for each in (*lost, *changed):
        prober.deliveries.remove(each)
    judge(prober, user)
    assert len(cluster.pods()) == 2
