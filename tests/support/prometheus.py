"""A real Prometheus that scrapes receivers on this machine as our ServiceMonitor means it, with our rules.

What the Prometheus operator makes of a ServiceMonitor is written out here: the job's name from ``jobLabel``,
labels from Service and Pod, path and timeout from the endpoint. Only the interval is shorter.
"""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.process import Process
from e2e.controlplane.waiting import eventually
from e2e.receiver import ReceiverProcess
from tests.support.manifests import Object, folder, objects, of_kind, workload

READY_LIMIT = 30.0
"""Seconds until Prometheus must answer."""

DASHBOARD = Path(__file__).parents[2] / "manifests" / "chart" / "files" / "dashboard.json"


def scrape_config(receivers: Sequence[ReceiverProcess], *, interval: str) -> dict[str, Any]:
    """The scrape configuration that the operator derives, for these receivers in place of Pods."""
    found = objects(folder("monitoring"))
    (monitor,) = of_kind(found, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    service = _selected(found, monitor)
    (port,) = [each for each in service["spec"]["ports"] if each["name"] == endpoint["port"]]
    pod = workload(found)["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert port["targetPort"] in [each["name"] for each in container["ports"]]
    return {
        "job_name": f"serviceMonitor/{monitor['metadata']['namespace']}/{monitor['metadata']['name']}/0",
        "metrics_path": endpoint["path"],
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "honor_labels": endpoint.get("honorLabels", False),
        "static_configs": [
            {
                "targets": [f"{HOST}:{receiver.admin_port}"],
                "labels": {
                    "job": service["metadata"]["labels"][monitor["spec"]["jobLabel"]],
                    "namespace": service["metadata"]["namespace"],
                    "service": service["metadata"]["name"],
                    "pod": receiver.process.name,
                    "container": container["name"],
                    "endpoint": endpoint["port"],
                },
            }
            for receiver in receivers
        ],
    }


def rule_groups() -> list[dict[str, Any]]:
    """The groups of our PrometheusRule."""
    (rules,) = of_kind(objects(folder("monitoring")), "PrometheusRule")
    return list(rules["spec"]["groups"])


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    board = json.loads(DASHBOARD.read_text("utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def filled_in(expression: str, *, rate: str) -> str:
    """A query of the dashboard with its variables replaced: all namespaces, ``rate`` as the interval."""
    return expression.replace("$__rate_interval", rate).replace("$namespace", ".+")


def metric_names(expression: str) -> set[str]:
    """The metrics that a query of ours asks for."""
    text = re.sub(r"[\"'][^\"']*[\"']", "", expression)
    return set(re.findall(r"\b(?:(?:kargo_azure_receiver|workqueue|rest_client|process)_\w+|up\b)", text))


class Prometheus:
    """A server on a free port of 127.0.0.1, with its data in ``folder``."""

    def __init__(
        self, program: Path, folder: Path, receivers: Sequence[ReceiverProcess], *, interval: str = "1s"
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://{HOST}:{port}"
        config, rules = folder / "prometheus.yaml", folder / "rules.yaml"
        rules.write_text(yaml.safe_dump({"groups": rule_groups()}), "utf-8")
        settings = {
            "global": {"evaluation_interval": interval},
            "rule_files": [str(rules)],
            "scrape_configs": [scrape_config(receivers, interval=interval)],
        }
        config.write_text(yaml.safe_dump(settings), "utf-8")
        command = [str(program), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address={HOST}:{port}", "--log.level=warn"]
        self.process = Process("prometheus", command, log=folder / "prometheus.log")

    def __enter__(self) -> Self:
        self.process.start()
        eventually(lambda: self._get("/-/ready") is not None or not self.process.running, READY_LIMIT)
        assert self.process.running, self.process.last_lines()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()

    def ask(self, path: str, **parameters: object) -> Any:
        """The ``data`` of one answer of the HTTP API; raises OSError if Prometheus refuses the question."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        answer = json.loads(self._get(f"/api/v1/{path}{query}"))
        assert answer["status"] == "success"
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return list(self.ask("query", query=expression)["result"])

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                raise OSError(f"{path}: {error} {error.read().decode()[:500]}") from None


def _selected(found: list[Object], monitor: Object) -> Object:
    """The one Service that the ServiceMonitor selects."""
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [each for each in of_kind(found, "Service") if wanted <= each["metadata"]["labels"].items()]
    return service
