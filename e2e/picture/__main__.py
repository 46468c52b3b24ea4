"""``python -m e2e.picture [SECONDS]``: draw docs/images/dashboard.png anew, in about five minutes.

Needs the extra ``dashboard`` of this package (matplotlib). Everything in the picture is measured: a control
plane, two receivers, a Prometheus that scrapes them, and the queries of dashboard.json.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.terminal import run_command, say
from e2e.kargo.project import Project
from e2e.picture.draw import Line, draw
from e2e.picture.load import Discovery, Traffic, create_warehouses
from e2e.receiver import ROOT, ReceiverProcess
from e2e.tools import prometheus as programs
from tests.support.prometheus import DASHBOARD, Prometheus, filled_in

TARGET = ROOT / "docs" / "images" / "dashboard.png"
SECONDS = 240
OUTAGE = 14.0
"""Seconds without an API server."""
STEP = 2
RATE = "15s"
"""In place of Grafana's rate interval: four times the scrape interval or more, here of one second."""


def main() -> int:
    """Bring everything up, let it work, and draw."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    program = programs.ensure(say).prometheus
    with tempfile.TemporaryDirectory(prefix="picture-") as name, ControlPlane(say=say) as plane:
        folder = Path(name)
        kargo.install(plane)
        project = Project(plane, "kargo-demo").create()
        create_warehouses(project)
        config = kargo.receiver_kubeconfig(plane)
        receivers = [
            ReceiverProcess(
                config, folder, flags=[f"--data-dir={folder / str(number)}"], name=f"receiver-{number}"
            )
            for number in (1, 2)
        ]
        try:
            for receiver in receivers:
                receiver.start()
            with Prometheus(program, folder, receivers) as server:
                began = time.time()
                _live(plane, project, receivers, seconds)
                _draw(server, began + 20, time.time())
        finally:
            for receiver in receivers:
                receiver.kill()
    say(f"drawn: {TARGET.relative_to(ROOT)}")
    return 0


def _live(plane: ControlPlane, project: Project, receivers: list[ReceiverProcess], seconds: int) -> None:
    """Steady traffic; a fan-out after a third of the time, an outage after two thirds."""
    traffic, discovery = Traffic(receivers, project.path), Discovery(plane, project)
    traffic.start()
    discovery.start()
    say(f"{seconds} s of traffic")
    time.sleep(seconds / 3)
    traffic.fan_out()
    time.sleep(seconds / 3 - OUTAGE)
    plane.pause()
    time.sleep(OUTAGE)
    plane.resume()
    time.sleep(seconds / 3)
    traffic.stop()
    discovery.stop()
    time.sleep(3)  # until Prometheus has seen the end


def _draw(server: Prometheus, start: float, end: float) -> None:
    def lines(panel: Mapping[str, Any]) -> list[Line]:
        found = []
        for target in panel["targets"]:
            query = filled_in(target["expr"], rate=RATE)
            data = server.ask("query_range", query=query, start=start, end=end, step=STEP)
            for series in data["result"]:
                times = [float(moment) - start for moment, _ in series["values"]]
                values = [float(value) for _, value in series["values"]]
                found.append(Line(_legend(target["legendFormat"], series["metric"]), times, values))
        return found

    def number(panel: Mapping[str, Any]) -> float | None:
        (target,) = panel["targets"]
        result = server.query(filled_in(target["expr"], rate=RATE))
        return float(result[0]["value"][1]) if result else None

    TARGET.parent.mkdir(parents=True, exist_ok=True)
    draw(json.loads(DASHBOARD.read_text("utf-8"))["panels"], lines, number, TARGET)


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template)


if __name__ == "__main__":
    sys.exit(run_command(main))
