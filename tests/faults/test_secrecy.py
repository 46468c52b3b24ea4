"""The path, which is the credential, and the secrets behind it leave the process in status only."""

import base64
import json
import time
from pathlib import Path

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import image
from tests.faults.stage import Stage
from tests.support.api_faults import Refuse, Reset, fault
from tests.support.azure import REGISTRY, git_push, image_push, ping
from tests.support.fault_proxy import FaultProxy
from tests.support.receiver_process import ReceiverProcess

SECRET = "hush-9f2c81e7"
USER, PASSWORD = "azure-user-5d31", "password-77ab12"
TOKEN = "url-token-0c44e1"


def _folder_text(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def _mixed_run(receiver: ReceiverProcess, path: str, project_path: str) -> list[str]:
    """Send what senders send, right and wrong; return everything answered, headers too."""
    digest = path.rpartition("/")[2]
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    right = {"Authorization": f"Basic {basic}"}
    wrong = {"Authorization": f"Basic {base64.b64encode(f'{USER}:{PASSWORD}x'.encode()).decode()}"}
    answers = [
        receiver.post(path, image_push("app"), right),
        receiver.post(f"/webhooks{path}", ping(), right),
        receiver.post(path, git_push(f"https://user:{TOKEN}@dev.azure.com/org/p/_git/r"), right),
        receiver.post(path, image_push("app"), wrong),
        receiver.post(path, image_push("app")),
        receiver.post(path, b"{not json", right),
        receiver.post(path, json.dumps({"action": "push", "path": path, "target": 7}).encode(), right),
        receiver.post(path, b"x" * (3 * 1024 * 1024), right),
        receiver.post(path, image_push("app"), {**right, "Content-Encoding": "gzip"}),
        receiver.request("GET", path, None, right),
        receiver.request("OPTIONS", path, None, {**right, "WebHook-Request-Origin": "eventgrid.azure.net"}),
        receiver.post(path[:-1], image_push("app"), right),
        receiver.post(f"{path}/", image_push("app"), right),
        receiver.post(f"/azure/{digest.upper()}", image_push("app"), right),
        receiver.post(f"{path}?x=1", image_push("app"), right),
        receiver.post(project_path, image_push("app")),
    ]
    assert {answer.status for answer in answers} >= {200, 400, 401, 404, 405, 413}
    return [f"{answer.status} {answer.headers} {answer.text}" for answer in answers]


def test_nothing_secret_leaves_the_process(stage: Stage, proxy: FaultProxy) -> None:
    """Logs at debug, metrics, answers, Events and journal of a run with faults hold none of the secrets."""
    project = stage.new_project(secret=SECRET).create()
    project.put_secret({"secret": SECRET, "receiver-username": USER, "receiver-password": PASSWORD})
    other = stage.new_project(secret=SECRET + "-2").create()
    other.add_warehouse("app", image(f"{REGISTRY}/app"))
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = stage.receiver("--log-level=trace", proxy=proxy)
    said = _mixed_run(receiver, project.path, other.path)
    with proxy.going_wrong(fault(Refuse(500), share=0.5), fault(Reset(), share=0.2)):
        said += _mixed_run(receiver, project.path, other.path)
        proxy.break_watches()
        time.sleep(1.0)
        receiver.kill()
    receiver.start()
    old = project.path
    project.secret = SECRET + "-new"
    project.put_secret({"secret": project.secret})
    eventually(lambda: receiver.post(project.path, ping()).status == 200)
    said.append(receiver.post(old, ping()).text)
    project.put_secret({"secret": ""})
    eventually(lambda: receiver.post(project.path, ping()).status == 404)
    said.append(receiver.admin("/metrics").text)
    receiver.stop()
    events = json.dumps(stage.plane.api.get(f"/api/v1/namespaces/{project.name}/events"))
    places = {
        "log": receiver.process.log.read_bytes(),
        "answers and metrics": "\n".join(said).encode(),
        "Events": events.encode(),
        "journal": _folder_text(stage.data),
    }
    secrets = [SECRET, PASSWORD, TOKEN, other.path, old, project.path]
    secrets += [path.rpartition("/")[2] for path in (old, project.path, other.path)]
    secrets += [base64.b64encode(text.encode()).decode().rstrip("=") for text in (SECRET, PASSWORD)]
    secrets += [base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()[:-3]]
    found = [
        f"{place}: {secret[:24]}"
        for place, text in places.items()
        for secret in secrets
        if secret.encode() in text or secret.upper().encode() in text
    ]
    sizes = {place: len(text) for place, text in places.items()}
    stage.report(f"searched {sizes} bytes for {len(secrets)} secrets: {found or 'none found'}")
    assert b"contoso.azurecr.io/app" in places["journal"]  # it is searched where it would be
    assert b'"event"' in places["log"]
    assert not found
