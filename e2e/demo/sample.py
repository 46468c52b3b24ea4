"""The sample Project of the demonstration: made as a user would, with new secrets each time."""

import json
import secrets
import time
from pathlib import Path
from urllib.parse import quote

import yaml

from e2e import kargo
from e2e.controlplane import ControlPlane, ControlPlaneError
from e2e.demo.script import GUARDED, OPEN, USERNAME
from e2e.kargo.project import Project, webhook_path

PROJECT = "kargo-demo"
URLS_COMMAND = f"kubectl get projectconfigs {PROJECT} -n {PROJECT} -o=jsonpath='{{.status.webhookReceivers}}'"
"""Where Kargo's documentation has users look for the URLs."""

STATUS_LIMIT = 10.0
"""Seconds until the receiver must have published its URLs."""

_SAMPLE = Path(__file__).parent / "project.yaml"


class Sample:
    """The Project, and what its Secrets hold."""

    def __init__(self, plane: ControlPlane) -> None:
        self.project = Project(plane, PROJECT)
        self.password = secrets.token_urlsafe(12)
        """Of the user ``USERNAME``, with which the guarded receiver is content."""
        self.authorization = f"Bearer {secrets.token_urlsafe(24)}"
        """The header with which it is content, too."""
        self._plane = plane
        self._secrets = {name: secrets.token_urlsafe(24) for name in (OPEN, GUARDED)}

    def create(self) -> None:
        """Create all of it."""
        kargo.install(self._plane)
        self._plane.apply(_SAMPLE)
        kargo.bind_project(self._plane, PROJECT)
        self._write_status()
        self.project.put_secret({"secret": self._secrets[OPEN]}, secret_name(OPEN))
        guarded = {
            "secret": self._secrets[GUARDED],
            "receiver-username": USERNAME,
            "receiver-password": self.password,
            "receiver-authorization": self.authorization,
        }
        self.project.put_secret(guarded, secret_name(GUARDED))

    def published_urls(self, base_url: str) -> dict[str, str]:
        """Wait for the URLs in the ProjectConfig's status, and check them against Kargo's formula.

        Raises ControlPlaneError if they don't come, or are others.
        """
        expected = {
            name: base_url + webhook_path(PROJECT, name, secret) for name, secret in self._secrets.items()
        }
        deadline = time.monotonic() + STATUS_LIMIT
        while time.monotonic() < deadline:
            entries = self.project.config().get("status", {}).get("webhookReceivers", [])
            urls = {entry["name"]: entry["url"] for entry in entries}
            if urls.keys() == expected.keys():
                if urls != expected:
                    raise ControlPlaneError("the published URLs are not those that Kargo computes")
                return expected
            time.sleep(0.1)
        raise ControlPlaneError(f"the receiver did not publish its URLs within {STATUS_LIMIT:g} s")

    def counts(self) -> str:
        """What there is of it, for people."""
        promotions = self.project.refreshes("promotions")
        return (
            f"{len(self._secrets)} Azure receivers, {len(self.project.refreshes())} Warehouses,"
            f" {len(promotions)} Promotions"
        )

    def _write_status(self) -> None:
        """Write the status of the Promotions, as Kargo's controller does; ``kubectl apply`` leaves it out."""
        for item in yaml.safe_load_all(_SAMPLE.read_text("utf-8")):
            if "status" in item:
                path = f"{kargo.API}/namespaces/{PROJECT}/promotions/{quote(item['metadata']['name'])}/status"
                self._plane.api.patch(path, {"status": item["status"]})


def secret_name(receiver: str) -> str:
    """The name of the Secret that a receiver of the sample refers to."""
    return f"{receiver}-wh-secret"


def new_secret_patch() -> str:
    """The patch that gives a receiver another secret."""
    return json.dumps({"stringData": {"secret": secrets.token_urlsafe(24)}})
