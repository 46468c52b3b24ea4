"""Events by Azure Storage Queue: a real API server, a real receiver, and Azurite in place of Azure."""

import asyncio
import base64
import json
from collections.abc import Callable

from e2e.controlplane.waiting import eventually
from e2e.demo.events import acr_push
from e2e.kargo.project import Project, git, image
from tests.support.event_queue import EventQueue
from tests.support.receiver_process import ReceiverFactory
from webhook.payloads.samples import cloud_event_push, event_grid_push, git_push
from webhook.queues.ports import Message
from webhook.queues.storage import StorageQueue

REGISTRY = "kargodemo.azurecr.io"
PROJECT = "https://dev.azure.com/kargo-demo/shop/_git"
DONE = "kargo_azure_receiver_queue_messages_total"
PATCHES = "kargo_azure_receiver_refresh_total"


def _encoded(event: object) -> str:
    return base64.b64encode(json.dumps(event).encode()).decode()


IMAGES: dict[str, Callable[[str], str]] = {
    "acr-plain": lambda it: json.dumps(acr_push(it, "1")),
    "acr-base64": lambda it: _encoded(acr_push(it, "1")),
    "event-grid-array": lambda it: _encoded(event_grid_push(f"{REGISTRY}/{it}:1")),
    "event-grid-one": lambda it: _encoded(event_grid_push(f"{REGISTRY}/{it}:1")[0]),
    "cloud-event": lambda it: _encoded(cloud_event_push(f"{REGISTRY}/{it}:1")),
    "cloud-events": lambda it: _encoded([cloud_event_push(f"{REGISTRY}/{it}:1")]),
}
CODE: dict[str, Callable[[str], str]] = {
    "azure-devops-plain": lambda it: json.dumps(git_push(f"{PROJECT}/{it}", "refs/heads/main")),
    "azure-devops-base64": lambda it: _encoded(git_push(f"{PROJECT}/{it}", "refs/heads/main")),
}
"""A message of each shape, for a repository of this name."""


def test_each_shape_is_refreshed_and_deleted(
    start_receiver: ReceiverFactory, queue: EventQueue, project: Project
) -> None:
    """Each shape of message refreshes its Warehouse; what can't be understood is set aside, with reason."""
    for shape in IMAGES:
        project.add_warehouse(shape, image(f"{REGISTRY}/{shape}"))
    for shape in CODE:
        project.add_warehouse(shape, git(f"{PROJECT}/{shape}"))
    garbage = {"neither JSON nor base64", '{"some": "JSON"}'}
    messages = [message(shape) for shape, message in {**IMAGES, **CODE}.items()]
    queue.send(*garbage, *messages)
    receiver = queue.read_by(start_receiver)
    eventually(lambda: all(project.refreshes().values()))
    eventually(lambda: queue.left() == 0)
    assert receiver.metric(DONE, result="done") == len(messages)
    assert queue.poisoned() == garbage
    reasons = {line["reason"] for line in receiver.events("queue_message_poison")}
    assert "the message is neither JSON nor base64" in reasons


async def test_poison_of_one_moment_finds_one_queue(queue: EventQueue) -> None:
    """Messages set aside at the same time make the poison queue once, and none of them fails for it."""
    storage = StorageQueue(queue.url(), queue.name, queue.storage.connection_string)
    texts = {f"message {number}" for number in range(20)}
    await asyncio.gather(*(storage.poison(Message("id", "receipt", text, 1)) for text in texts))
    await storage.close()
    assert queue.poisoned() == texts


def test_scope_and_sas(
    start_receiver: ReceiverFactory, queue: EventQueue, new_project: Callable[..., Project]
) -> None:
    """A queue of one Project refreshes no other's; a SAS suffices, and is written nowhere."""
    mine, other = new_project().create(), new_project().create()
    for each in (mine, other):
        each.add_warehouse("app", image(f"{REGISTRY}/app"))
    sas = queue.sas("rup")
    receiver = start_receiver(
        f"--queue={queue.url()}?{sas};project={mine.name}", environment={"LOG_LEVEL": "trace"}
    )
    queue.send(json.dumps(acr_push("app", "1")))
    eventually(lambda: bool(mine.refreshes()["app"]) and queue.left() == 0)
    assert not other.refreshes()["app"]
    signature = sas.partition("sig=")[2].partition("&")[0]
    assert signature not in receiver.process.output() + receiver.admin("/metrics").text
    assert queue.name in receiver.admin("/metrics").text


def _dequeue(queue: EventQueue, times: int) -> None:
    """Receive its one message so often, and leave it visible."""
    for _ in range(times):
        [message] = queue.client.receive_messages(max_messages=1)
        queue.client.update_message(message, visibility_timeout=0)


def test_a_worn_out_message(start_receiver: ReceiverFactory, queue: EventQueue, project: Project) -> None:
    """What was received 10 times without an end is set aside, not carried out."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    queue.send(json.dumps(acr_push("app", "1")))
    _dequeue(queue, 10)
    receiver = queue.read_by(start_receiver)
    eventually(lambda: queue.left() == 0)
    assert not project.refreshes()["app"]
    [line] = receiver.events("queue_message_poison")
    assert line["reason"] == "it was received 10 times without an end"


def test_a_right_to_read_only(start_receiver: ReceiverFactory, queue: EventQueue, project: Project) -> None:
    """It can't renew: one warning that says what it needs, and a message that came often is carried out."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    queue.send(json.dumps(acr_push("app", "1")))
    _dequeue(queue, 10)
    queue.send(json.dumps(acr_push("app", "2")))
    receiver = start_receiver(f"--queue={queue.url()}?{queue.sas('rp')}")
    eventually(lambda: queue.left() == 0 and bool(project.refreshes()["app"]))
    [line] = receiver.events("queue_renewal_refused")
    assert "Storage Queue Data Contributor" in line["error"]
    assert not receiver.events("queue_message_poison")


def test_many_messages_for_few_warehouses_are_few_patches(
    start_receiver: ReceiverFactory, queue: EventQueue, project: Project
) -> None:
    """2,000 messages for 50 Warehouses cost a tenth as many patches at the most, and leave nothing."""
    names = [f"app-{number}" for number in range(50)]
    for name in names:
        project.add_warehouse(name, image(f"{REGISTRY}/{name}"))
    messages = 2000
    queue.fill(json.dumps(acr_push(names[number % len(names)], str(number))) for number in range(messages))
    receiver = queue.read_by(start_receiver)
    eventually(lambda: receiver.metric(DONE, result="done") == messages, 180.0)
    assert queue.left() == 0
    patches = receiver.metric(PATCHES, kind="Warehouse", result="persisted")
    assert len(names) <= patches <= messages / 10, f"{patches} patches"
    assert len([line for line in receiver.events("delivery_completed") if line["matched"]]) == messages


def test_a_queue_without_a_credential(start_receiver: ReceiverFactory, queue: EventQueue) -> None:
    """Azure's identity is not sent over plain HTTP: exit code 2, and one line on standard error."""
    receiver = start_receiver(f"--queue={queue.url()}", wait=False)
    assert receiver.process.wait(10.0) == 2
    errors = [line for line in receiver.process.output().splitlines() if not line.startswith("{")]
    assert errors == [
        f"kargo-azure-receiver run: {queue.name}: Token credential is only supported with HTTPS."
    ]
    assert "Unclosed" not in receiver.process.output()
