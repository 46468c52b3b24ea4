"""Receivers as real processes for tests, all ended when the test is over, and shown when it failed."""

import itertools
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.receiver import Answer, ReceiverProcess

__all__ = ["Answer", "ReceiverFactory", "ReceiverProcess"]


RECEIVER_PATH = re.compile(rb"(?i)azure/[0-9a-f]{64}")
"""Searched for in all that receivers write in all tests; in requests and in status it is at its place."""


class ReceiverFactory:
    """Call it to start a receiver and wait until it is ready; logs go to the test's temporary folder."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder
        self._started: list[ReceiverProcess] = []
        self._numbers = itertools.count(1)

    def __call__(
        self,
        *flags: str,
        kubeconfig: Path | None = None,
        base_url: str | None = None,
        port: int = 0,
        admin_port: int = 0,
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> ReceiverProcess:
        """Start a receiver with ``flags`` added; ``wait`` False returns before it is ready."""
        receiver = ReceiverProcess(
            kubeconfig or self.kubeconfig,
            self.folder,
            port=port,
            admin_port=admin_port,
            base_url=base_url,
            flags=flags,
            environment={"PYTHONASYNCIODEBUG": "1", "LOG_LEVEL": "debug", **(environment or {})},
            name=f"receiver-{next(self._numbers)}",
        )
        self._started.append(receiver)
        return receiver.start(wait=wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for receiver in self._started:
            receiver.kill()
            # pytest shows this if the test failed
            sys.stdout.write(f"--- {receiver.process.name}\n{receiver.process.output()}\n")
        written = [file for file in self.folder.rglob("*") if _is_a_receivers(file)]
        leaks = [file for file in written if RECEIVER_PATH.search(file.read_bytes())]
        assert not leaks, f"a receiver's path, which is a credential, is in {leaks}"


def _is_a_receivers(file: Path) -> bool:
    """Whether a receiver writes this file: its log, its journal and what belongs to it."""
    return file.is_file() and (file.suffix == ".log" or file.name.startswith("deliveries."))
