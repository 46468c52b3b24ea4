"""The demonstration on a control plane of its own: everything is real but Azure and Kargo's controller."""

import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from e2e import kargo
from e2e.controlplane import ControlPlane, ControlPlaneError
from e2e.controlplane.binaries import Say
from e2e.controlplane.ports import require_free
from e2e.controlplane.process import Process
from e2e.demo.events import REGISTRY, acr_push
from e2e.demo.queueing import DemoQueue, demo_queue
from e2e.demo.sample import PROJECT, URLS_COMMAND, Sample, new_secret_patch, secret_name
from e2e.demo.script import GUARDED, GUESTBOOK, OPEN, USERNAME, chapters
from e2e.demo.showing import Stage
from e2e.receiver import ROOT, ReceiverProcess
from webhook.payloads.samples import event_grid_push

_COLUMNS = r"custom-columns=NAME:.metadata.name,REFRESH:.metadata.annotations.kargo\.akuity\.io/refresh"


def demonstrate(port: int, admin_port: int, say: Say, *, stay: bool) -> None:
    """Bring everything up, show the events, stay until Ctrl-C if asked to, and take everything down.

    Raises KeyboardInterrupt when all is down, and ControlPlaneError, in one line, if something can't be
    started or an event did not do what it must.
    """
    require_free(port, "the webhook", "choose another one with PORT=…")
    require_free(admin_port, "metrics and health", "choose another one with ADMIN_PORT=…")
    say("Kargo Azure receiver: a demonstration on a control plane of its own")
    say("")
    began = time.monotonic()
    with ControlPlane(say=say) as plane:
        say(f"  control plane   etcd and kube-apiserver at {plane.url}{_since(began)}")
        began = time.monotonic()
        sample = Sample(plane)
        sample.create()
        say(f"  sample Project  {PROJECT}: {sample.counts()}{_since(began)}")
        began = time.monotonic()
        with demo_queue(plane.folder / "azurite", say) as queue:
            if queue:
                say(f"  storage queue   Azurite at {queue.url}{_since(began)}")
            _show(plane, sample, queue, _receiver(plane, queue, port, admin_port), say, stay=stay)


def _receiver(plane: ControlPlane, queue: DemoQueue | None, port: int, admin_port: int) -> ReceiverProcess:
    return ReceiverProcess(
        kargo.receiver_kubeconfig(plane),
        plane.folder,
        port=port,
        admin_port=admin_port,
        flags=[
            "--log-format=console",
            f"--data-dir={plane.folder / 'deliveries'}",
            *([f"--queue={queue.url}"] if queue else []),
        ],
        environment={"AZURE_STORAGE_CONNECTION_STRING": queue.storage.connection_string} if queue else {},
    )


def _show(
    plane: ControlPlane,
    sample: Sample,
    queue: DemoQueue | None,
    receiver: ReceiverProcess,
    say: Say,
    *,
    stay: bool,
) -> None:
    """Run the receiver, and show it the events."""
    began = time.monotonic()
    try:
        receiver.start()
        who = f"ServiceAccount {kargo.SERVICE_ACCOUNT}"
        say(f"  receiver        port {receiver.port}, as {who}{_since(began)}")
        urls = sample.published_urls(receiver.base_url)
        say("")
        say("The receivers' URLs, to be registered with Azure, where Kargo's users look for them:")
        say(f"  $ {URLS_COMMAND}")
        for name, url in urls.items():
            say(f"  {name}")
            say(f"    {url}")
        say("")
        say("What Azure sends; the answer; and the annotations kargo.akuity.io/refresh that changed:")
        stage = Stage(sample.project, receiver, urls, say)
        stage.show(chapters(sample.password, sample.authorization))
        if queue:
            say("")
            say("Azure Storage Queue: the receiver pulls, so it needs no URL and no way into the cluster")
            push = event_grid_push(f"{REGISTRY}/guestbook:v1.2.7")
            stage.show_queued("ImagePushed guestbook:v1.2.7, put into the queue", queue.put, push, GUESTBOOK)
        if stay:
            _explain(plane, receiver, sample, urls, queue, say)
            _wait(receiver.process, plane.apiserver, plane.etcd, *([queue.storage.process] if queue else []))
    finally:
        say("")
        say("Stopping the receiver, the API server and etcd …")
        _stop(receiver)


def _explain(
    plane: ControlPlane,
    receiver: ReceiverProcess,
    sample: Sample,
    urls: Mapping[str, str],
    queue: DemoQueue | None,
    say: Say,
) -> None:
    """Print the lines with which a person goes on."""
    body = acr_push("guestbook", "v1.2.4")
    small = {
        "action": body["action"],
        "target": {"repository": body["target"]["repository"], "tag": body["target"]["tag"]},
        "request": {"host": body["request"]["host"]},
    }
    say("")
    say("Go on from another terminal:")
    say(f"  export KUBECONFIG={plane.kubeconfig} PATH={plane.binaries.kubectl.parent}:$PATH")
    say(f"  URL={urls[OPEN]}")
    say("  # an ACR push; change the repository, or save a Warehouse with another subscription")
    say(f"  curl -i $URL -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(small))}")
    say("  # the receiver with a second factor; without -u it answers 401")
    say(f'  curl -i {urls[GUARDED]} -u {USERNAME}:{sample.password} -d \'{{"action": "ping"}}\'')
    if queue:
        message = f"<QueueMessage><MessageText>{json.dumps(small)}</MessageText></QueueMessage>"
        say("  # the same by queue; the receiver looks into it every 5 s at the latest")
        say(f"  curl -i {shlex.quote(queue.messages_url())} -d {shlex.quote(message)}")
    say("  # what was refreshed, and when")
    say(f"  kubectl get warehouses,promotions -n {PROJECT} -o '{_COLUMNS}'")
    say("  # another secret: the URL changes at once, and the old one is answered with 404")
    say(f"  kubectl patch secret {secret_name(OPEN)} -n {PROJECT} -p {shlex.quote(new_secret_patch())}")
    say(f"  {URLS_COMMAND}")
    say("  # why a push refreshes what it does, or nothing, from the cluster alone")
    say(f"  {_program()} explain {REGISTRY}/guestbook")
    say("  # what came in, as a table and as a page; what is measured; the log")
    say(f"  {_program()} deliveries --data-dir {plane.folder / 'deliveries'}")
    say(f"  open http://127.0.0.1:{receiver.admin_port}/")
    say(f"  curl http://127.0.0.1:{receiver.admin_port}/metrics")
    say(f"  tail -f {receiver.process.log}")
    say("")
    say("Ctrl-C stops everything.")


def _wait(*processes: Process) -> None:
    """Wait for Ctrl-C; raises ControlPlaneError if one of the processes ends by itself."""
    while True:
        for process in processes:
            if not process.running:
                raise ControlPlaneError(f"{process.name} ended by itself:{process.last_lines()}")
        time.sleep(0.2)


def _stop(receiver: ReceiverProcess) -> None:
    """Ask twice: nobody here has to learn that the endpoint goes away, so no time is given for it."""
    receiver.process.terminate()
    time.sleep(0.2)
    receiver.stop()


def _program() -> str:
    program = Path(sys.executable).with_name("kargo-azure-receiver")
    return str(program.relative_to(ROOT)) if program.is_relative_to(ROOT) else str(program)


def _since(began: float) -> str:
    return f" ({time.monotonic() - began:.1f} s)"
