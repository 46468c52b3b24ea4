"""The command of `helm test`, as the chart renders it, against a real receiver: here no Pods run."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.support.chart import POD_BASE_URL, Helm, hooks_apart, run_test_pod
from tests.support.configs import url_of
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("no_other_configs")]

BASE_URL = f"--base-url={POD_BASE_URL}"
SECOND_FACTOR = {"receiver-username": "user", "receiver-password": "password"}

Ping = Callable[..., tuple[int, str]]


@pytest.fixture
def ping(helm: Helm, receiver_kubeconfig: Path) -> Ping:
    """Run the Pod's command for an address, as the receiver's user; returns exit code and output."""
    _, (pod,) = hooks_apart(helm.render({"mode": "in-place", "baseUrl": "https://kargo.example.com"}))
    (container,) = pod["spec"]["containers"]
    assert container["args"][1] == "http://kargo-azure-receiver.kargo.svc:80"
    return lambda service, seconds="": run_test_pod(pod, service, receiver_kubeconfig, seconds)


def address(receiver: ReceiverProcess, scheme: str = "http") -> str:
    """The receiver's public port, in place of the Service."""
    return f"{scheme}://127.0.0.1:{receiver.port}"


def test_a_receiver_answers_the_ping(ping: Ping, project: Project, start_receiver: ReceiverFactory) -> None:
    """With the base URL's prefix, which nobody strips on this way."""
    receiver = start_receiver(BASE_URL)
    eventually(lambda: url_of(project.config(), "azure"))
    code, printed = ping(address(receiver))
    assert code == 0
    assert printed == (
        f"receiver {project.name}/azure answers 200"
        ' {"msg":"ping event received, webhook is configured correctly"}'
    )


def test_before_the_first_receiver(ping: Ping, start_receiver: ReceiverFactory) -> None:
    """Right after installing there may be none: that it is this receiver is shown all the same."""
    code, printed = ping(address(start_receiver()))
    assert (code, printed) == (0, "no receiver is served yet; a path that nobody has is answered 404")


def test_the_second_factor_is_sent(ping: Ping, project: Project, start_receiver: ReceiverFactory) -> None:
    """It is read from the Secret, as the receiver does."""
    project.put_secret({"secret": project.secret, **SECOND_FACTOR})
    receiver = start_receiver(BASE_URL)
    assert eventually(lambda: receiver.post(project.path, {"action": "ping"}).status == 401)
    eventually(lambda: url_of(project.config(), "azure"))
    code, printed = ping(address(receiver))
    assert code == 0, printed
    assert f"receiver {project.name}/azure answers 200" in printed


def test_over_tls(ping: Ping, project: Project, start_receiver: ReceiverFactory, tmp_path: Path) -> None:
    """Whatever the certificate is for."""
    certificate = trustme.CA().issue_cert("kargo.example.com")
    chain, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    receiver = start_receiver(BASE_URL, f"--tls-cert={chain}", f"--tls-key={key}", wait=False)
    eventually(lambda: url_of(project.config(), "azure"))
    code, printed = ping(address(receiver, "https"))
    assert code == 0, printed
    assert f"receiver {project.name}/azure answers 200" in printed


@pytest.fixture
def somebody_else() -> Iterator[str]:
    """A server that is not the receiver, such as Kargo's own: it answers 404 without our header."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_server_behind_the_service_is_a_failure(ping: Ping, somebody_else: str) -> None:
    """Answers of others don't pass for ours."""
    code, printed = ping(somebody_else, "0")
    assert code == 1
    assert "but not as this receiver does" in printed


def test_nobody_behind_the_service_is_a_failure(ping: Ping) -> None:
    """One line, no traceback."""
    code, printed = ping("http://127.0.0.1:9", "0")
    assert code == 1
    assert printed.startswith("kargo-azure-receiver send: 127.0.0.1:9 does not answer: ")
    assert "\n" not in printed
