"""Azurite, Microsoft's emulator of Azure Storage: from npm, installed once into the cache."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say, cache_root
from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.process import Process
from e2e.controlplane.waiting import eventually

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Which everybody knows.

https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""
_LIMIT = 600.0  # seconds for npm: 450 packages


def ensure(say: Say) -> list[str]:
    """Return the command that starts Azurite's queues; raises ControlPlaneError where it can't be had."""
    node = shutil.which("node")
    if node is None:
        raise ControlPlaneError("no node on PATH: install Node.js")
    folder = cache_root().parent / f"azurite-{VERSION}"
    if not folder.is_dir():
        say(f"Installing Azurite {VERSION} from npm, once: it takes 1 to 4 minutes")
        _install(folder)
    return [node, str(folder / "node_modules" / ".bin" / "azurite-queue")]


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ControlPlaneError("no npm on PATH: install Node.js with npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="azurite-", dir=folder.parent) as name:
        command = [npm, "install", "--prefix", name, "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(
                [*command, f"azurite@{VERSION}"],
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ControlPlaneError(f"cannot install Azurite: {error}") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["npm failed"]
            raise ControlPlaneError(f"cannot install Azurite: {lines[-1]}")
        made = Path(name) / "made"
        made.mkdir()
        (Path(name) / "node_modules").rename(made / "node_modules")
        if not folder.is_dir():
            made.rename(folder)


class Azurite:
    """Azurite's queues on a free port of 127.0.0.1; a folder keeps what they hold."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.process = Process(
            "azurite",
            [
                *command,
                f"--queuePort={self.port}",
                f"--location={folder}",
                "--silent",
                "--disableTelemetry",
                "--skipApiVersionCheck",
            ],
            log=folder / "azurite.txt",
        )

    @property
    def connection_string(self) -> str:
        """What a client needs."""
        endpoint = f"http://{HOST}:{self.port}/{ACCOUNT}"
        return f"AccountName={ACCOUNT};AccountKey={KEY};QueueEndpoint={endpoint}"

    def url(self, queue: str) -> str:
        """The URL of a queue."""
        return f"http://{HOST}:{self.port}/{ACCOUNT}/{queue}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        before = self.process.output().count("successfully listens")
        self.process.start()
        eventually(lambda: self.process.output().count("successfully listens") > before)
