"""Receivers as real processes for tests, all ended when the test is over, and shown when it failed."""

import itertools
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from e2e.receiver import Answer, ReceiverProcess

__all__ = ["Answer", "ReceiverFactory", "ReceiverProcess", "eventually"]

T = TypeVar("T")


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
            environment={"PYTHONASYNCIODEBUG": "1", **(environment or {})},
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


def eventually(condition: Callable[[], T], limit: float = 10.0) -> T:
    """Ask until ``condition`` gives something true, and return that; fails after ``limit`` seconds.

    OSError counts as not yet.
    """
    deadline = time.monotonic() + limit
    last: object = None
    while time.monotonic() < deadline:
        try:
            result = condition()
        except OSError as error:
            last = error
        else:
            if result:
                return result
            last = result
        time.sleep(0.02)
    raise AssertionError(f"not within {limit:g} s; last seen: {last!r}")
