"""The API server, or etcd behind it, dies or freezes in the middle of the work, and comes back."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from e2e.controlplane import ControlPlane
from tests.faults.stage import Stage

Outage = Callable[[ControlPlane, float], None]
CATCH_UP = 90.0
"""Seconds after the end of an outage: retries come at most 10 s apart."""


@contextmanager
def _mended(plane: ControlPlane) -> Iterator[None]:
    """Leave a control plane that works to the next test, also when this one fails."""
    try:
        yield
    finally:
        plane.etcd.resume()
        plane.resume()
        if not plane.apiserver.running:
            plane.start_apiserver()
        plane.api.close()  # its connection broke too


def _killed(plane: ControlPlane, seconds: float) -> None:
    plane.kill_apiserver()
    time.sleep(seconds)
    plane.start_apiserver()


def _frozen(plane: ControlPlane, seconds: float) -> None:
    plane.pause()
    time.sleep(seconds)
    plane.resume()


def _without_etcd(plane: ControlPlane, seconds: float) -> None:
    plane.etcd.pause()
    time.sleep(seconds)
    plane.etcd.resume()


OUTAGES = [
    pytest.param(_killed, 1, 10, id="killed"),
    pytest.param(_frozen, 6, 60, id="frozen"),
    pytest.param(_without_etcd, 6, 60, id="etcd-stopped"),
]


@pytest.mark.parametrize(("outage", "short", "long"), OUTAGES)
def test_outage_during_many_events(stage: Stage, outage: Outage, short: int, long: int) -> None:
    """Events that come in an outage are answered in time, with 202, and refreshed after it."""
    field = stage.field()
    receiver = stage.receiver()
    seconds = stage.scale(short, long)
    with stage.sender(field, receiver) as sender, _mended(stage.plane):
        sending = sender.begin(field.endless(stage.rng), rate=stage.scale(30, 50))
        time.sleep(1.0)
        outage(stage.plane, seconds)
        time.sleep(1.0)
        sender.stopping = True
        sender.all_sent(sending, 30.0)
        account = stage.settle(sender, CATCH_UP)
        stage.judge(account)
        assert account.statuses[0] == 0
        assert account.statuses[202] > 0


@pytest.mark.parametrize(("outage", "short", "long"), OUTAGES)
def test_outage_during_a_fan_out(stage: Stage, outage: Outage, short: int, long: int) -> None:
    """A fan-out that an outage interrupts is finished after it."""
    warehouses = stage.scale(300, 2000)
    field = stage.field(repositories=1, fan_out=warehouses)
    receiver = stage.receiver()
    with stage.sender(field, receiver) as sender, _mended(stage.plane):
        sending = sender.begin([field.push("base"), field.push("app-0")])
        time.sleep(warehouses / 300 / 3)
        outage(stage.plane, stage.scale(min(short, 3), long))
        sender.all_sent(sending, 30.0)
        account = stage.settle(sender, CATCH_UP)
        stage.judge(account)
        assert account.statuses[0] == 0
