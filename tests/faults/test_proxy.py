"""What stands before the API server resets, cuts, delays and refuses, at moments that a seed chooses."""

import time

import pytest

from tests.faults.stage import Stage
from tests.support.api_faults import Cut, Delay, Expire, Fault, Refuse, Reset, fault
from tests.support.fault_proxy import FaultProxy

FAULTS = [
    pytest.param([fault(Reset(), share=0.3), fault(Reset(answered=True), share=0.3)], id="resets"),
    pytest.param([fault(Cut(), "watch")], id="cut-watches"),
    pytest.param([fault(Delay(2.0))], id="delays"),
    pytest.param([fault(Refuse(429, retry_after=1), share=0.5)], id="429"),
    pytest.param([fault(Refuse(500), share=0.5)], id="500"),
    pytest.param([fault(Refuse(503, html=True), share=0.5)], id="503"),
    pytest.param([fault(Refuse(200, html=True), share=0.5)], id="200-html"),
    pytest.param([fault(Refuse(204, html=True), "patch", "get", "create", share=0.5)], id="204"),
    pytest.param([fault(Refuse(504), share=0.5)], id="504"),
    pytest.param(
        [fault(Refuse(410, "Expired"), "watch", "list", share=0.5), fault(Expire(), "watch")], id="410"
    ),
]
BREAKS = 0.5
"""Seconds between breaks of the watches, so that lists and watches are struck too."""


@pytest.mark.parametrize("faults", FAULTS)
def test_faults_before_the_api_server(stage: Stage, proxy: FaultProxy, faults: list[Fault]) -> None:
    """Whatever goes wrong in between: answers are in time, and nothing that was accepted is missing."""
    field = stage.field()
    receiver = stage.receiver(proxy=proxy)
    with stage.sender(field, receiver) as sender:
        with proxy.going_wrong(*faults):
            sending = sender.begin(field.endless(stage.rng), rate=40)
            end = time.monotonic() + stage.scale(3, 30)
            while time.monotonic() < end:
                proxy.break_watches()
                time.sleep(BREAKS)
            sender.stopping = True
            sender.all_sent(sending, 30.0)
        stage.report(f"faults dealt: {dict(proxy.traffic.faults())}")
        account = stage.settle(sender)
        stage.judge(account)
        assert account.statuses[0] == 0
        assert proxy.traffic.faults()
