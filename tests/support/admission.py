"""An admission webhook that a real API server calls: denies, allows, or can't be called, as a test wants."""

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import trustme

from e2e.controlplane import ControlPlane

NAME = "promotion.kargo.akuity.io"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class _Handler(BaseHTTPRequestHandler):
    """Answers an AdmissionReview with what the server's webhook holds."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        webhook: AdmissionWebhook = self.server.webhook  # type: ignore[attr-defined]
        response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": webhook.status is None}
        if webhook.status is not None:
            response["status"] = webhook.status
        answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        body = json.dumps(answer).encode() if webhook.answers else b"out of order"
        self.send_response(200 if webhook.answers else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


class AdmissionWebhook:
    """Validates updates of the Warehouses of one namespace, within ``with``.

    ``status`` is the metav1.Status that it denies with, None to allow; while ``answers`` is False, calling it
    fails.
    """

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.status: dict[str, Any] | None = None
        self.answers = True
        self._plane = plane
        self._namespace = namespace
        self._authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.webhook = self  # type: ignore[attr-defined]
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        bundle = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        rule = {"apiGroups": ["kargo.akuity.io"], "apiVersions": ["v1alpha1"]}
        webhook = {
            "name": NAME,
            "clientConfig": {"url": f"https://127.0.0.1:{self._server.server_port}/", "caBundle": bundle},
            "rules": [{**rule, "operations": ["UPDATE"], "resources": ["warehouses"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
            "timeoutSeconds": 5,
        }
        self._plane.api.create(
            CONFIGURATIONS,
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": self._namespace},
                "webhooks": [webhook],
            },
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._plane.api.delete(f"{CONFIGURATIONS}/{self._namespace}")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
