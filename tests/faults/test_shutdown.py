"""SIGTERM under load, and a rolling restart behind a load balancer."""

import time

from tests.faults.stage import ANSWERS, Stage
from tests.support.api_faults import Delay, fault
from tests.support.balancer import Backend, Balancer
from tests.support.fault_proxy import FaultProxy
from tests.support.sender import Sender

DRAIN_SECONDS = 5.0
TIMEOUT_SECONDS = 2
MARGIN_SECONDS = 3.0


def test_sigterm_under_load(stage: Stage, proxy: FaultProxy) -> None:
    """Every accepted request is answered, it exits with 0 in time, and the next process does the rest."""
    field = stage.field(fan_out=stage.scale(300, 2000))
    flags = (f"--shutdown-timeout={TIMEOUT_SECONDS}s", "--reply-timeout=1s")
    receiver = stage.receiver(*flags, proxy=proxy)
    # In the time it has to end, 64 at once, it carries out two thirds of the fan-out.
    slow = fault(Delay(3.0), "patch", share=0.8)
    with stage.sender(field, receiver) as sender, proxy.going_wrong(slow):
        sending = sender.begin(field.endless(stage.rng), rate=40)
        time.sleep(1.0)
        fan_out = sender.begin([field.push("base")])
        time.sleep(0.5)
        receiver.process.terminate()
        began = time.monotonic()
        code = receiver.process.wait(DRAIN_SECONDS + TIMEOUT_SECONDS + MARGIN_SECONDS)
        took = time.monotonic() - began
        sender.stopping = True
        sender.all_sent(sending, 30.0)
        sender.all_sent(fan_out, 30.0)
        left = len(sender.ledger.missing(stage.probe))
        assert code == 0, receiver.process.last_lines()
        unanswered = [entry for entry in sender.ledger.entries if not entry.status]
        broken = [entry.text for entry in unanswered if "ConnectorError" not in entry.text]
        assert not broken  # those that connected were answered
        receiver.start()
        account = stage.settle(sender)
        stage.report(f"ended with {code} after {took:.1f} s, leaving {left} deliveries to the next process")
        stage.judge(account, allowed=ANSWERS | {503})
        assert left > 0


def test_rolling_restart(stage: Stage) -> None:
    """Two replicas are replaced one after the other; no sender notices."""
    field = stage.field()
    replicas = []
    for number in range(2):
        data = stage.data / str(number)
        data.mkdir()
        replicas.append(stage.receiver("--shutdown-timeout=10s", data=data))
    backends = [Backend(replica.port, replica.admin_port) for replica in replicas]
    with Balancer(stage.background, backends) as balancer:
        url = f"http://127.0.0.1:{balancer.port}{field.project.path}"
        with Sender(lambda: url, stage.background) as sender:
            sending = sender.begin(field.endless(stage.rng), rate=50)
            for _ in range(stage.scale(1, 3)):
                for replica in replicas:
                    time.sleep(1.0)
                    assert replica.stop() == 0
                    replica.start()
            time.sleep(1.0)
            sender.stopping = True
            sender.all_sent(sending, 30.0)
            account = stage.settle(sender)
    stage.report(f"{balancer.connections} connections, {len(replicas)} replicas replaced")
    stage.judge(account, allowed=frozenset({200, 202}))
