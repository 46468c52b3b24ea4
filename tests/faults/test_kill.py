"""kill -9 of the receiver at random moments: what it had answered with 2xx is refreshed by the next one.

The reply timeout is short, so that much is answered 202 and still to be done when the process dies.
"""

import time

from e2e.controlplane.waiting import eventually
from tests.faults.stage import ANSWERS, Stage

PATCHES_PER_SECOND = 800
"""What this machine does when it is quiet: with less, the fan-out may be over each time before the kill."""
TOLD = ANSWERS | {503}
"""A commit may take longer than so short a reply timeout: then it is not accepted, and the sender is told."""


def test_killed_during_many_events(stage: Stage) -> None:
    """Whatever was answered before the kill is refreshed after the restart."""
    field = stage.field()
    receiver = stage.receiver("--reply-timeout=20ms")
    events = stage.scale(150, 500)
    with stage.sender(field, receiver, at_once=64) as sender:
        for number in range(3 * stage.scale(3, 20)):
            sending = sender.begin(field.pushes(events, stage.rng), rate=300)
            time.sleep(stage.rng.uniform(0.05, events / 300))
            receiver.kill()
            sender.all_sent(sending, 30.0)
            receiver.start()
            account = stage.settle(sender)
            if number + 1 >= stage.scale(3, 20) and account.statuses[202]:
                break  # on a slow machine no row may be written within so short a reply timeout
        stage.judge(account, allowed=TOLD)
        assert account.statuses[202] > 0


def test_killed_during_a_fan_out(stage: Stage) -> None:
    """One event for very many Warehouses reaches all of them, wherever in it the process dies."""
    warehouses = stage.scale(300, 2000)
    field = stage.field(repositories=1, fan_out=warehouses)
    receiver = stage.receiver("--reply-timeout=100ms")  # within 50 no row of a single delivery is written
    left = 0
    with stage.sender(field, receiver) as sender:
        for number in range(3 * stage.scale(4, 20)):
            sending = sender.begin([field.push("base")])
            time.sleep(stage.rng.uniform(0.0, warehouses / PATCHES_PER_SECOND))
            receiver.kill()
            sender.all_sent(sending, 30.0)
            left += sum(len(names) for _, names in sender.ledger.missing(stage.probe))
            receiver.start()
            account = stage.settle(sender)
            assert account.missing == 0
            if number + 1 >= stage.scale(4, 20) and left and account.statuses[202]:
                break
    stage.report(f"{left} refreshes were left to the next processes")
    stage.judge(account, allowed=TOLD)
    assert account.statuses[202] > 0
    assert left > 0


def test_killed_at_rest(stage: Stage) -> None:
    """What was refreshed before the kill is not refreshed again by the next process."""
    field = stage.field()
    receiver = stage.receiver("--log-level=info")
    with stage.sender(field, receiver) as sender:
        sender.all_sent(sender.begin(field.pushes(200, stage.rng)), 60.0)
        account = stage.settle(sender)
        time.sleep(1.0)  # the last outcomes are written a moment later
        receiver.kill()
        receiver.start()
        eventually(lambda: "deliveries_resumed" in receiver.process.output())
        sender.all_sent(
            sender.begin([field.push(next(iter(field.names)))]), 30.0
        )  # behind whatever would be refreshed again
        patches = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse")
    stage.report(f"{account.sent} deliveries; {patches:.0f} patches by the next process")
    assert account.statuses == {200: 200}
    assert patches == len(next(iter(field.names.values())))
