"""Events by Azure Storage Queue while things go wrong: nothing is missing, nothing is left."""

import html
import json
import time
from collections.abc import Sequence
from typing import Any

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import image
from e2e.tools.azurite import ACCOUNT, KEY
from tests.faults.field import Field
from tests.faults.stage import Stage
from tests.support.event_queue import EventQueue
from tests.support.full_storage import FullStorage
from tests.support.ledger import Ledger
from tests.support.process_stats import MIB, memory, peak_memory
from tests.support.receiver_process import ReceiverProcess
from tests.support.storage_proxy import ANSWERS, StorageProxy
from webhook.payloads.samples import image_push

MESSAGES = 500
REGISTRY = "contoso.azurecr.io"
DONE = "kargo_azure_receiver_queue_messages_total"
FAILING = "kargo_azure_receiver_queue_failing"
COME_BACK_SECONDS = 120.0
"""Until what a lost process had in flight is visible again (30 s), and is worked off."""


def send(queue: EventQueue, field: Field, ledger: Ledger, count: int) -> None:
    """Put pushes to all repositories in turn into the queue; each owes what an accepted request owes."""
    names = list(field.names)
    events = [field.push(names[number % len(names)]) for number in range(count)]
    for event in events:
        ledger.begin(event.owed).status = 201
    queue.fill(json.dumps(event.body) for event in events)


def storage_queue(receiver: ReceiverProcess) -> Any:
    """What ``/api/`` says of the only queue."""
    [queue] = receiver.admin("/api/").json["storageQueues"]
    return queue


def settle(stage: Stage, queue: EventQueue, ledger: Ledger, readers: Sequence[ReceiverProcess]) -> None:
    """Wait until the queue is empty; report what was counted; fail if a refresh is missing."""
    eventually(lambda: queue.left() == 0, COME_BACK_SECONDS, "an empty queue")
    account = ledger.settle(stage.probe, 30.0)
    owed = {key for entry in ledger.entries for key in entry.owed}
    patches = sum(len(stage.probe.sightings[key]) for key in owed)
    completed = sum(len(reader.events("delivery_completed")) for reader in readers)
    stage.report(
        f"{account.sent} sent owing {account.owed} refreshes, {account.missing} missing, {queue.left()} left;"
        f" {completed - account.sent} carried out twice, {patches} patches"
    )
    assert account.missing == 0, account.examples
    assert not queue.poisoned()


def test_killed_with_messages_in_flight(stage: Stage, queue: EventQueue) -> None:
    """kill -9 with 500 messages in flight, some refreshed: two other replicas share what comes back."""
    field, ledger = stage.field(repositories=25), Ledger()
    lost = queue.read_by(stage.start)
    stage.plane.pause()  # until all are in flight: a fast machine refreshes many before the last one comes
    try:
        send(queue, field, ledger, MESSAGES)
        eventually(lambda: storage_queue(lost)["inFlight"] == MESSAGES)
    finally:
        stage.plane.resume()
    eventually(lambda: bool(stage.probe.sightings))
    lost.kill()
    assert queue.left() > MESSAGES / 2
    assert not queue.client.peek_messages(), "not all were in flight"
    others = [queue.read_by(stage.start, "--refresh-concurrency=1") for _ in range(2)]
    settle(stage, queue, ledger, [lost, *others])
    assert all(each.metric(DONE, result="done") for each in others), "one did nothing"


def test_the_api_server_is_down(stage: Stage, queue: EventQueue) -> None:
    """For a minute: what is in flight stays there, and is refreshed when the API server is back."""
    field, ledger = stage.field(repositories=25), Ledger()
    receiver = queue.read_by(stage.start)
    stage.plane.kill_apiserver()
    try:
        send(queue, field, ledger, MESSAGES)
        eventually(lambda: storage_queue(receiver)["inFlight"] == MESSAGES)
        assert not queue.client.peek_messages()
        time.sleep(stage.scale(3, 60))
        assert queue.left() == MESSAGES
    finally:
        stage.plane.start_apiserver()
        stage.plane.api.close()
    settle(stage, queue, ledger, [receiver])
    assert receiver.metric(DONE, result="done") == MESSAGES, "some were received twice"


def test_storage_stopped_and_started(stage: Stage, queue: EventQueue) -> None:
    """A queue that can't be read is one line when it begins and one when it ends; the rest stays ready."""
    field, ledger = stage.field(repositories=25), Ledger()
    receiver = queue.read_by(stage.start)
    send(queue, field, ledger, stage.scale(0, MESSAGES))
    queue.storage.process.stop()
    try:
        eventually(lambda: receiver.metric(FAILING) == 1)
        assert receiver.admin("/readyz").status == 200
        assert "receive: " in storage_queue(receiver)["problem"]
        assert storage_queue(receiver)["problem"] in html.unescape(receiver.admin("/").text)
    finally:
        queue.storage.start()
    send(queue, field, ledger, 25)
    settle(stage, queue, ledger, [receiver])
    eventually(lambda: receiver.metric(FAILING) == 0)
    assert storage_queue(receiver)["problem"] == ""
    assert storage_queue(receiver)["lastMessage"]
    failing, recovered = receiver.events("queue_failing"), receiver.events("queue_recovered")
    assert sorted(line["request"] for line in failing) == sorted(line["request"] for line in recovered)
    assert len({line["request"] for line in failing}) == len(failing)


def test_answers_that_no_storage_account_gives(stage: Stage, queue: EventQueue) -> None:
    """Each is one line when it begins and one when it ends; the rest stays ready, memory as it was."""
    field, ledger = stage.field(repositories=25), Ledger()
    with StorageProxy(queue.storage.port, stage.background) as proxy:
        receiver = queue.read_by(stage.start, port=proxy.port)
        resident = memory(receiver.process.pid)
        faults = [*ANSWERS, "cut", *(["stall"] if stage.full else [])]
        for fault in faults:
            proxy.break_with(fault)
            eventually(lambda: receiver.metric(FAILING) == 1, 20.0, fault)
            assert receiver.admin("/readyz").status == 200
            push = field.push("app-0")
            answer = receiver.post(field.project.path, push.body)
            assert (answer.status, answer.json) == (200, {"msg": "refreshed 4 warehouse(s)"})
            proxy.break_with("")
            send(queue, field, ledger, 25)
            eventually(lambda: receiver.metric(FAILING) == 0, 20.0, f"the end of {fault}")
            eventually(lambda: queue.left() == 0)
        settle(stage, queue, ledger, [receiver])
        assert peak_memory(receiver.process.pid) - resident < 40 * MIB, "an answer of 100 MB is in memory"
    lines = [receiver.events(event) for event in ("queue_failing", "queue_recovered")]
    begun, ended = ([line["request"] for line in each] for each in lines)
    assert begun == ended
    assert begun.count("receive") == len(faults)


def test_a_full_queue(stage: Stage) -> None:
    """100,000 messages for 50 Warehouses are worked off with few patches, and in little memory."""
    messages, project = stage.scale(5_000, 100_000), stage.new_project().create()
    repositories = [f"app-{number}" for number in range(50)]
    for each in repositories:
        project.add_warehouse(each, image(f"{REGISTRY}/{each}"))

    def push(number: int) -> str:
        return json.dumps(image_push(f"{REGISTRY}/{repositories[number % 50]}:{number}"))

    with FullStorage(messages, push, stage.background) as storage:
        key = f"AccountName={ACCOUNT};AccountKey={KEY}"
        environment = {"AZURE_STORAGE_CONNECTION_STRING": key, "LOG_LEVEL": "info"}
        began = time.monotonic()
        receiver = stage.receiver(f"--queue={storage.url}", environment=environment)
        resident = memory(receiver.process.pid)
        eventually(lambda: not storage.left, 600.0, "an empty queue")
        seconds = time.monotonic() - began
        patches = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted")
        grown = (peak_memory(receiver.process.pid) - resident) / MIB
    stage.report(
        f"{messages:,} messages worked off in {seconds:.0f} s, {storage.most_in_flight:,} in flight at most:"
        f" {patches:,.0f} patches, {resident / MIB:.0f} MiB at the start, {grown:.0f} MiB more at the most"
    )
    assert all(project.refreshes().values())
    assert patches <= messages / 10
    assert grown < 50
