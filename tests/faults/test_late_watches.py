"""Watches that are late, silent or broken while Warehouses come and move, and pushes for them arrive."""

import time
from collections.abc import Callable

import pytest

from e2e.controlplane.waiting import eventually
from tests.faults.field import Field
from tests.faults.stage import Stage
from tests.support.api_faults import Delay, Fault, Late, Reset, Silent, fault
from tests.support.fault_proxy import FaultProxy
from tests.support.sender import Sender

IDLE_SECONDS = 120.0
"""After so many seconds of silence the receiver itself takes a watch for dead."""


def _come_and_move(field: Field, sender: Sender, round_: int) -> None:
    """A Warehouse is created, another subscribes anew, and the pushes for both come at once."""
    field.add(f"new-{round_}", f"fresh-{round_}")
    sender.send(field.push(f"fresh-{round_}"))
    field.move(f"app-{round_}-0", f"other-{round_}")
    sender.send(field.push(f"other-{round_}"))
    sender.send(field.push(f"app-{round_}"))


def _late(stage: Stage, proxy: FaultProxy) -> None:
    time.sleep(1.0)


def _silent(stage: Stage, proxy: FaultProxy) -> None:
    """The silence ends when the receiver gives up, or, to save time, when a device in between does."""
    if stage.full:
        proxy.faults = ()  # a watch that is silent stays so; the next one will not be
        time.sleep(IDLE_SECONDS + 10.0)
    else:
        proxy.break_watches("warehouses")


def _relisting(stage: Stage, proxy: FaultProxy) -> None:
    time.sleep(stage.scale(1, 10))


RESTARTS = "kargo_azure_receiver_watch_restarts_total"

WATCHES = [
    pytest.param([fault(Late(3.0), "watch", resources=("warehouses",))], _late, 0, id="late"),
    pytest.param([fault(Silent(), "watch", resources=("warehouses",))], _silent, 0, id="silent"),
    pytest.param(
        [
            fault(Reset(), "watch", resources=("warehouses",)),  # so it has to list again
            fault(Reset(), "list", resources=("warehouses",), continued=True),
            fault(Delay(1.0), "list", resources=("warehouses",)),
        ],
        _relisting,
        550,  # more than one page
        id="broken-relist",
    ),
]


@pytest.mark.parametrize("killed", [False, True], ids=["lives-on", "killed"])
@pytest.mark.parametrize(("faults", "meanwhile", "more"), WATCHES)
def test_pushes_for_warehouses_not_seen_yet(
    stage: Stage,
    proxy: FaultProxy,
    faults: list[Fault],
    meanwhile: Callable[[Stage, FaultProxy], None],
    more: int,
    killed: bool,
) -> None:
    """Once the receiver has caught up, each Warehouse is refreshed after the push that came too early."""
    field = stage.field(fan_out=more)
    receiver = stage.receiver(proxy=proxy)
    with stage.sender(field, receiver) as sender:
        with proxy.going_wrong(*faults):
            if more:
                begun = receiver.metric(RESTARTS, kind="Warehouse")
                proxy.break_watches("warehouses")
                eventually(lambda: receiver.metric(RESTARTS, kind="Warehouse") > begun)
            for round_ in range(stage.scale(3, 10)):
                _come_and_move(field, sender, round_)
            early = len(sender.ledger.missing(stage.probe))
            if killed:
                receiver.kill()
            meanwhile(stage, proxy)
        if killed:
            receiver.start()
        elif more:
            proxy.break_watches("warehouses")
        account = stage.settle(sender)
        stage.judge(account)
        stage.report(f"{early} deliveries came before their Warehouses were seen")
        assert early > 0
