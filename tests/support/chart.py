"""The Helm chart as Helm renders it, and kustomizations of a user's own to compare it with."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.manifests import ROOT, Object
from tests.support.receiver_process import RECEIVER_PATH

CHART = ROOT / "chart"
RELEASE = "receiver"

Values = Mapping[str, Any]


class HelmError(Exception):
    """What Helm wrote to stderr when it refused."""


class Helm:
    """One Helm program, with nothing of the user's own: no plugins, repositories or settings."""

    def __init__(self, program: Path, home: Path, kubeconfig: Path | None = None) -> None:
        self.program = program
        self.home = home
        self.kubeconfig = kubeconfig

    def on(self, kubeconfig: Path) -> "Helm":
        """The same program, for a cluster."""
        return Helm(self.program, self.home, kubeconfig)

    def __call__(self, *arguments: str, values: Values | None = None, limit: float = 120.0) -> str:
        """Run Helm, ``values`` as its file of values, and return what it prints; raises HelmError."""
        command = [str(self.program), *arguments]
        if values is not None:
            command.append("--values=-")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HELM_")}
        for kind in ("CACHE", "CONFIG", "DATA"):
            environment[f"HELM_{kind}_HOME"] = str(self.home / kind.lower())
        environment["KUBECONFIG"] = str(self.kubeconfig or self.home / "no-cluster")
        done = subprocess.run(
            command,
            input=yaml.safe_dump(dict(values or {})),
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(done.stderr.strip())
        return done.stdout

    def render(self, values: Values | None = None, namespace: str = "kargo", *flags: str) -> list[Object]:
        """The objects of the chart, and of its test."""
        text = self("template", RELEASE, str(CHART), "-n", namespace, *flags, values=values or {})
        return [each for each in yaml.safe_load_all(text) if each]


def hooks_apart(found: Sequence[Object]) -> tuple[list[Object], list[Object]]:
    """The objects that belong to the release, and those that Helm makes for an occasion, such as a test."""
    apart: tuple[list[Object], list[Object]] = ([], [])
    for each in found:
        apart["helm.sh/hook" in each["metadata"].get("annotations", {})].append(each)
    return apart


POD_BASE_URL = "https://kargo.example.com/webhooks"


def run_test_pod(pod: Object, service: str, kubeconfig: Path, seconds: str = "") -> tuple[int, str]:
    """Run the command of `helm test` with this address in place of the Service's; exit code and output."""
    (container,) = pod["spec"]["containers"]
    script, _, patience = container["args"]
    assert container["command"] == ["python", "-c"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(kubeconfig),
        "EXTERNAL_WEBHOOK_SERVER_BASE_URL": POD_BASE_URL,
    }
    command = [sys.executable, "-c", script, service, seconds or patience]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    printed = done.stdout + done.stderr
    assert RECEIVER_PATH.search(printed.encode()) is None
    return done.returncode, printed.strip()


def kustomization(folder: Path, components: Sequence[str], settings: Mapping[str, str]) -> Path:
    """Write a user's kustomization: components in this order, and own values of where-kargo-is."""
    listed = "".join(f"  - {_relative(folder, name)}\n" for name in [*components, "kargo"])
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources:\n  - {_relative(folder, '../base')}\ncomponents:\n  - settings\n{listed}"
    )
    patch = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "where-kargo-is"},
        "data": dict(settings),
    }
    (folder / "settings").mkdir()
    (folder / "settings" / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1alpha1",
                "kind": "Component",
                "patches": [{"patch": yaml.safe_dump(patch)}],
            }
        )
    )
    return folder


def _relative(start: Path, component: str) -> str:
    target = (ROOT / "components" / component).resolve()
    return "/".join([".."] * len(start.resolve().parts[1:])) + str(target)
