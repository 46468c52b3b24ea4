"""Another Project's sender, during an attack: what it feels of it."""

import threading
import time
from collections import Counter

from e2e.kargo.project import Project
from e2e.receiver import ReceiverProcess
from tests.support.azure import image_push


class Neighbour:
    """Pushes to one Project, one after another, from a thread of its own, until it is left."""

    def __init__(self, receiver: ReceiverProcess, project: Project, repository: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        """Seconds to the slowest answer."""
        self._receiver, self._path = receiver, project.path
        self._body = image_push(repository)
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._push)

    def __enter__(self) -> "Neighbour":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join()

    def _push(self) -> None:
        while not self._leave.wait(0.05):
            began = time.monotonic()
            self.statuses[self._receiver.post(self._path, self._body).status] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    def __str__(self) -> str:
        return f"the neighbour's answers {dict(self.statuses)}, the slowest after {self.slowest:.2f} s"
