"""The demonstration on a control plane of its own: everything is real but Azure and Kargo's controller."""

import json
import secrets
import shlex
import sys
import time
from pathlib import Path

from e2e import kargo
from e2e.controlplane import ControlPlane, ControlPlaneError
from e2e.controlplane.binaries import Say
from e2e.controlplane.ports import require_free
from e2e.demo.events import Event, acr_push, sample_events
from e2e.kargo.project import Project, webhook_path
from e2e.receiver import ROOT, ReceiverProcess

PROJECT = "kargo-demo"
RECEIVER = "azure"
SECRET = "azure-wh-secret"

STATUS_LIMIT = 10.0
"""Seconds until the receiver must have published its URL."""

_SAMPLE = Path(__file__).parent / "project.yaml"
_COLUMNS = r"custom-columns=WAREHOUSE:.metadata.name,REFRESH:.metadata.annotations.kargo\.akuity\.io/refresh"


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
        project = _create_project(plane)
        count = len(project.refreshes())
        say(f"  sample Project  {PROJECT}: one Azure receiver, {count} Warehouses{_since(began)}")
        began = time.monotonic()
        receiver = ReceiverProcess(
            kargo.receiver_kubeconfig(plane),
            plane.folder,
            port=port,
            admin_port=admin_port,
            flags=["--log-format=console", f"--data-dir={plane.folder / 'deliveries'}"],
        )
        try:
            receiver.start()
            who = f"ServiceAccount {kargo.SERVICE_ACCOUNT}"
            say(f"  receiver        port {port}, as {who}{_since(began)}")
            url = _published_url(plane, project, receiver)
            say("")
            say("The webhook's URL, to be registered with Azure:")
            say(f"  {url}")
            say("It stands in the ProjectConfig's status, where Kargo's users look for it:")
            say(f"  {_url_command()}")
            for event in sample_events():
                _show(event, project, receiver, url, say)
            if stay:
                _explain(plane, receiver, url, say)
                _wait(plane, receiver)
        finally:
            say("")
            say("Stopping the receiver, the API server and etcd …")
            _stop(receiver)


def _create_project(plane: ControlPlane) -> Project:
    """Create the sample as a user would, with a new secret each time."""
    kargo.install(plane)
    plane.apply(_SAMPLE)
    kargo.bind_project(plane, PROJECT)
    secret = secrets.token_urlsafe(24)
    project = Project(plane, PROJECT, receiver=RECEIVER, secret=secret)
    project.put_secret({"secret": secret}, SECRET)
    return project


def _published_url(plane: ControlPlane, project: Project, receiver: ReceiverProcess) -> str:
    """Wait for the URL in the ProjectConfig's status, and check it against Kargo's formula."""
    expected = receiver.base_url + webhook_path(PROJECT, RECEIVER, project.secret)
    deadline = time.monotonic() + STATUS_LIMIT
    while time.monotonic() < deadline:
        printed = plane.kubectl(*_JSONPATH_COMMAND)
        for entry in json.loads(printed) if printed.strip() else []:
            if entry["name"] == RECEIVER:
                if entry["url"] != expected:
                    raise ControlPlaneError("the published URL is not the one that Kargo computes")
                return expected
        time.sleep(0.1)
    raise ControlPlaneError(
        f"the receiver did not publish its URL within {STATUS_LIMIT:g} s:{receiver.process.last_lines()}"
    )


_JSONPATH_COMMAND = (
    "get",
    "projectconfigs",
    PROJECT,
    "-n",
    PROJECT,
    "-o=jsonpath={.status.webhookReceivers}",
)


def _url_command() -> str:
    return "kubectl " + " ".join(_JSONPATH_COMMAND[:-1]) + " -o=jsonpath='{.status.webhookReceivers}'"


def _show(event: Event, project: Project, receiver: ReceiverProcess, url: str, say: Say) -> None:
    """Send one event and show the answer, and what changed in the API server."""
    before = project.refreshes()
    path = url.removeprefix(receiver.base_url)
    answer = receiver.post(path, event.body, {"User-Agent": event.user_agent})
    after = project.refreshes()
    changed = {name: value for name, value in after.items() if value != before.get(name)}
    say("")
    say(f"{event.title}: {event.about}")
    say(f"  answer     {answer.status} in {answer.seconds * 1000:.0f} ms   {answer.text.strip()}")
    if not changed:
        say("  refreshed  no Warehouse")
    for number, (name, value) in enumerate(sorted(changed.items())):
        say(f"  {'refreshed' if number == 0 else '':9}  {name:16} {before[name] or 'never'} -> {value}")
    if answer.status != 200 or set(changed) != event.refreshes:
        wanted = ", ".join(sorted(event.refreshes)) or "nothing"
        raise ControlPlaneError(f"{event.title} must be answered with 200 and refresh {wanted}")


def _explain(plane: ControlPlane, receiver: ReceiverProcess, url: str, say: Say) -> None:
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
    say(f"  URL={url}")
    say("  # an ACR push; change the repository, or save a Warehouse with another subscription")
    say(f"  curl -i $URL -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(small))}")
    say("  # what was refreshed, and when")
    say(f"  kubectl get warehouses -n {PROJECT} -o '{_COLUMNS}'")
    say("  # another secret: the URL changes at once, and the old one is answered with 404")
    patch = json.dumps({"stringData": {"secret": secrets.token_urlsafe(24)}})
    say(f"  kubectl patch secret {SECRET} -n {PROJECT} -p {shlex.quote(patch)}")
    say(f"  {_url_command()}")
    say("  # what came in, what is measured, and the log")
    say(f"  {_python()} -m controller deliveries --data-dir {plane.folder / 'deliveries'}")
    say(f"  curl http://127.0.0.1:{receiver.admin_port}/metrics")
    say(f"  tail -f {receiver.process.log}")
    say("")
    say("Ctrl-C stops everything.")


def _wait(plane: ControlPlane, receiver: ReceiverProcess) -> None:
    """Wait for Ctrl-C; raises ControlPlaneError if one of the processes ends by itself."""
    while True:
        for process in (receiver.process, plane.apiserver, plane.etcd):
            if not process.running:
                raise ControlPlaneError(f"{process.name} ended by itself:{process.last_lines()}")
        time.sleep(0.2)


def _stop(receiver: ReceiverProcess) -> None:
    """Ask twice: nobody here has to learn that the endpoint goes away, so no time is given for it."""
    receiver.process.terminate()
    time.sleep(0.2)
    receiver.stop()


def _python() -> str:
    python = Path(sys.executable)
    return str(python.relative_to(ROOT)) if python.is_relative_to(ROOT) else str(python)


def _since(began: float) -> str:
    return f" ({time.monotonic() - began:.1f} s)"
