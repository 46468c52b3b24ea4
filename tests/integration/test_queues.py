"""Events by Azure Storage Queue: a real API server, a real receiver, and Azurite in place of Azure."""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.queue import QueueClient, generate_queue_sas

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.waiting import eventually
from e2e.demo.events import acr_push
from e2e.kargo.project import Project, git, image
from e2e.tools import azurite
from e2e.tools.azurite import ACCOUNT, KEY, Azurite
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess
from webhook.payloads.samples import cloud_event_push, event_grid_push, git_push

REGISTRY = "kargodemo.azurecr.io"
FULL = os.environ.get("FAULTS") == "full"
REPOSITORY = "https://dev.azure.com/kargo-demo/shop/_git/manifests"


@pytest.fixture
def storage(announce: Callable[[str], None], tmp_path: Path) -> Iterator[Azurite]:
    """A running Azurite; the test is skipped where it can't be had."""
    try:
        command = azurite.ensure(announce)
    except ControlPlaneError as error:
        pytest.skip(f"no Azurite: {error}")
    folder = tmp_path / "azurite"
    folder.mkdir()
    running = Azurite(command, folder)
    running.start()
    yield running
    running.process.kill()


@pytest.fixture
def queue(storage: Azurite) -> Iterator[QueueClient]:
    """An empty queue called ``events``."""
    with QueueClient.from_connection_string(storage.connection_string, "events") as client:
        client.create_queue()
        yield client


def _receiver(
    start: ReceiverFactory, storage: Azurite, *flags: str, project: Project | None = None
) -> ReceiverProcess:
    scope = f";project={project.name}" if project else ""
    environment = {"AZURE_STORAGE_CONNECTION_STRING": storage.connection_string}
    return start(f"--queue={storage.url('events')}{scope}", *flags, environment=environment)


def _left(queue: QueueClient) -> int:
    return queue.get_queue_properties().approximate_message_count or 0


def _encoded(event: object) -> str:
    return base64.b64encode(json.dumps(event).encode()).decode()


MESSAGES = [
    pytest.param(json.dumps(acr_push("app", "1")), "app", id="acr-plain"),
    pytest.param(_encoded(acr_push("app", "1")), "app", id="acr-base64"),
    pytest.param(_encoded(event_grid_push(f"{REGISTRY}/app:1")), "app", id="event-grid-array"),
    pytest.param(_encoded(event_grid_push(f"{REGISTRY}/app:1")[0]), "app", id="event-grid-one"),
    pytest.param(_encoded(cloud_event_push(f"{REGISTRY}/app:1")), "app", id="cloud-event"),
    pytest.param(_encoded([cloud_event_push(f"{REGISTRY}/app:1")]), "app", id="cloud-events"),
    pytest.param(json.dumps(git_push(REPOSITORY, "refs/heads/main")), "code", id="azure-devops-plain"),
    pytest.param(_encoded(git_push(REPOSITORY, "refs/heads/main")), "code", id="azure-devops-base64"),
]


def test_each_shape_is_refreshed_and_deleted(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """Each shape of message refreshes its Warehouse, and nothing is left in the queue."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    project.add_warehouse("code", git(REPOSITORY))
    receiver = _receiver(start_receiver, storage, project=project)
    for parameters in MESSAGES:
        text, name = (str(value) for value in parameters.values)
        before = project.refreshes()[name]
        queue.send_message(text)
        eventually(lambda name=name, before=before: project.refreshes()[name] != before)  # type: ignore[misc]
    eventually(lambda: _left(queue) == 0)
    assert receiver.metric("kargo_azure_receiver_queue_messages_total", result="done") == len(MESSAGES)


def test_poison(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """What can't be understood goes to the poison queue, with the reason in the log, and blocks nothing."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    queue.send_message("neither JSON nor base64")
    queue.send_message('{"some": "JSON"}')
    receiver = _receiver(start_receiver, storage)
    queue.send_message(json.dumps(acr_push("app", "1")))
    eventually(lambda: bool(project.refreshes()["app"]))
    with QueueClient.from_connection_string(storage.connection_string, "events-poison") as poison:
        eventually(lambda: _left(queue) == 0)
        texts = {message.content for message in poison.receive_messages()}
    assert texts == {"neither JSON nor base64", '{"some": "JSON"}'}
    reasons = {line["reason"] for line in receiver.events("queue_message_poison")}
    assert "the message is neither JSON nor base64" in reasons


def test_scope_and_sas(
    start_receiver: ReceiverFactory,
    storage: Azurite,
    queue: QueueClient,
    new_project: Callable[..., Project],
) -> None:
    """A queue of one Project refreshes no other's; a SAS suffices, and is written nowhere."""
    mine, other = new_project().create(), new_project().create()
    for each in (mine, other):
        each.add_warehouse("app", image(f"{REGISTRY}/app"))
    sas = generate_queue_sas(
        ACCOUNT, "events", KEY, permission="rup", expiry=datetime.now(UTC) + timedelta(hours=1)
    )
    receiver = start_receiver(
        f"--queue={storage.url('events')}?{sas};project={mine.name}", environment={"LOG_LEVEL": "trace"}
    )
    queue.send_message(json.dumps(acr_push("app", "1")))
    eventually(lambda: bool(mine.refreshes()["app"]) and _left(queue) == 0)
    assert not other.refreshes()["app"]
    signature = sas.partition("sig=")[2].partition("&")[0]
    assert signature not in receiver.process.output() + receiver.admin("/metrics").text
    assert f"queue:{ACCOUNT}/events" in receiver.admin("/metrics").text


def _dequeue(queue: QueueClient, times: int) -> None:
    """Receive its one message so often, and leave it visible."""
    for _ in range(times):
        [message] = queue.receive_messages(max_messages=1)
        queue.update_message(message, visibility_timeout=0)


def test_a_worn_out_message(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """What was received 10 times without an end is set aside, not carried out."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    queue.send_message(json.dumps(acr_push("app", "1")))
    _dequeue(queue, 10)
    receiver = _receiver(start_receiver, storage)
    eventually(lambda: _left(queue) == 0)
    assert not project.refreshes()["app"]
    [line] = receiver.events("queue_message_poison")
    assert line["reason"] == "it was received 10 times without an end"


def test_a_right_to_read_only(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """It can't renew: one warning that says what it needs, and a message that came often is carried out."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    queue.send_message(json.dumps(acr_push("app", "1")))
    _dequeue(queue, 10)
    queue.send_message(json.dumps(acr_push("app", "2")))
    sas = generate_queue_sas(
        ACCOUNT, "events", KEY, permission="rp", expiry=datetime.now(UTC) + timedelta(hours=1)
    )
    receiver = start_receiver(f"--queue={storage.url('events')}?{sas}")
    eventually(lambda: _left(queue) == 0 and bool(project.refreshes()["app"]))
    [line] = receiver.events("queue_renewal_refused")
    assert "Storage Queue Data Contributor" in line["error"]
    assert not receiver.events("queue_message_poison")


def test_many_messages_for_few_warehouses_are_few_patches(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """Those in work at the same time share a patch of their Warehouse."""
    names = [f"app-{number}" for number in range(5)]
    for name in names:
        project.add_warehouse(name, image(f"{REGISTRY}/{name}"))
    messages = 2000 if FULL else 400
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: queue.send_message(json.dumps(acr_push(names[n % 5], str(n)))), range(messages)
            )
        )
    receiver = _receiver(start_receiver, storage, project=project)
    done = "kargo_azure_receiver_queue_messages_total"
    eventually(lambda: receiver.metric(done, result="done") == messages, 60.0)
    assert _left(queue) == 0
    patches = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="persisted")
    assert len(names) <= patches <= messages / 4, f"{patches} patches"


def test_storage_stopped_and_started(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """A queue that can't be read is one line when it begins and one when it ends; the rest stays ready."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = _receiver(start_receiver, storage)
    storage.process.stop()
    eventually(lambda: receiver.metric("kargo_azure_receiver_queue_failing") == 1)
    assert receiver.admin("/readyz").status == 200
    time.sleep(2.0)  # further attempts, which are not logged
    storage.start()
    queue.send_message(json.dumps(acr_push("app", "1")))
    eventually(lambda: bool(project.refreshes()["app"]) and _left(queue) == 0)
    assert len(receiver.events("queue_failing")) == len(receiver.events("queue_recovered")) == 1


def test_killed_with_messages_in_work(
    start_receiver: ReceiverFactory, storage: Azurite, queue: QueueClient, project: Project
) -> None:
    """kill -9 in the middle, with two replicas: no refresh is missing, and no message is left."""
    names = [f"app-{number}" for number in range(50 if FULL else 20)]
    for name in names:
        project.add_warehouse(name, image(f"{REGISTRY}/{name}"))
    for number in range(500 if FULL else 60):
        queue.send_message(json.dumps(acr_push(names[number % len(names)], "1")))
    first = _receiver(start_receiver, storage, project=project)
    eventually(lambda: any(project.refreshes().values()))
    first.kill()
    for _ in range(2):
        _receiver(start_receiver, storage, project=project)
    eventually(lambda: _left(queue) == 0, 90.0)
    assert all(project.refreshes().values())


def test_a_queue_without_a_credential(start_receiver: ReceiverFactory, storage: Azurite) -> None:
    """Azure's identity is not sent over plain HTTP: exit code 2, and one line on standard error."""
    receiver = start_receiver(f"--queue={storage.url('events')}", wait=False)
    assert receiver.process.wait(10.0) == 2
    errors = [line for line in receiver.process.output().splitlines() if not line.startswith("{")]
    assert errors == [
        f"kargo-azure-receiver run: queue:{ACCOUNT}/events: Token credential is only supported with HTTPS."
    ]
    assert "Unclosed" not in receiver.process.output()
