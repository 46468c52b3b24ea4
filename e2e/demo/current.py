"""The receiver against the user's own cluster: it changes nothing but refresh annotations.

It runs with the user's own rights and publishes no URL. The demonstration sends it pings only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say
from e2e.controlplane.ports import require_free
from e2e.demo.events import ping
from e2e.receiver import ROOT, ReceiverProcess

_REACH_LIMIT = 60.0
_UNAUTHORIZED = 401


def demonstrate(port: int, admin_port: int, say: Say, *, stay: bool) -> None:
    """Run the receiver on the cluster of the usual kubeconfig, ping its URLs, and stay until Ctrl-C if asked.

    Raises KeyboardInterrupt when it has ended, and ControlPlaneError, in one line, if the cluster can't be
    reached or read.
    """
    require_free(port, "the webhook", "choose another one with PORT=…")
    require_free(admin_port, "metrics and health", "choose another one with ADMIN_PORT=…")
    base_url = f"http://127.0.0.1:{port}"
    say("Kargo Azure receiver on the cluster of your current kubeconfig context:")
    say("  it changes the annotation kargo.akuity.io/refresh of Warehouses and Promotions, and nothing else")
    say("")
    receivers = _receivers(base_url)
    with tempfile.TemporaryDirectory(prefix="kargo-azure-receiver-") as folder:
        receiver = ReceiverProcess(
            None,
            Path(folder),
            port=port,
            admin_port=admin_port,
            base_url=base_url,
            flags=["--publish-status=false", "--log-format=console"],
            environment=os.environ,
        )
        try:
            receiver.start()
            _show(receivers, receiver, say)
            if stay:
                say("")
                say("Send it events as in the README; see what it does:")
                say(f"  tail -f {receiver.process.log}")
                say(f"  curl http://127.0.0.1:{admin_port}/metrics")
                say("")
                say("Ctrl-C stops it.")
                _wait(receiver)
        finally:
            say("")
            say("Stopping the receiver …")
            receiver.process.terminate()
            time.sleep(0.2)
            receiver.stop()


def _receivers(base_url: str) -> list[dict[str, Any]]:
    """Ask the receiver's own command what it would serve; the first time that the cluster is touched."""
    command = [sys.executable, "-m", "controller", "urls", "--output=json", f"--base-url={base_url}"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_REACH_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ControlPlaneError(f"the cluster did not answer within {_REACH_LIMIT:g} s") from error
    if not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or ["no answer"]
        raise ControlPlaneError(
            f"your current cluster can't be used: {lines[-1].partition(': ')[2] or lines[-1]}"
        )
    return list(json.loads(done.stdout))


def _show(receivers: list[dict[str, Any]], receiver: ReceiverProcess, say: Say) -> None:
    if not receivers:
        say("  no ProjectConfig or ClusterConfig has an Azure receiver: add one, and it is served at once")
    for each in receivers:
        say(f"{each['namespace'] or 'cluster'}/{each['receiver']}")
        if each["problem"]:
            say(f"  problem  {each['problem']}")
        if each["url"]:
            answer = receiver.post(urlsplit(each["url"]).path, ping())
            say(f"  URL      {each['url']}")
            say(f"  ping     {answer.status} in {answer.seconds * 1000:.0f} ms   {answer.text.strip()}")
            if answer.status == _UNAUTHORIZED:
                say("           as it must be: its Secret has credentials, which the ping does not send")


def _wait(receiver: ReceiverProcess) -> None:
    while receiver.process.running:
        time.sleep(0.2)
    raise ControlPlaneError(f"the receiver ended by itself:{receiver.process.last_lines()}")
