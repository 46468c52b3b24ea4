"""What every fault test stands on: a control plane, a receiver with a journal, senders and the proof."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.controlplane import ControlPlane
from e2e.kargo.project import Project
from tests.faults.field import Field
from tests.support.background import Background
from tests.support.fault_proxy import FaultProxy
from tests.support.ledger import Account
from tests.support.probe import Probe
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess
from tests.support.sender import Sender

REPLY_SECONDS = 4.0
"""The default reply timeout."""
REPLY_MARGIN = 1.5
"""Seconds beyond it that an answer may take on a machine that is busy with everything else here."""
LATE_SECONDS = 1.0
"""After an answer that came before the watch had told of a Warehouse, until its refresh must have begun."""
ANSWERS = frozenset({0, 200, 202})
"""What a delivery may be answered while faults go on; 0 is none at all, from a process that was killed."""


@dataclass
class Stage:
    """One test's means. ``scale(small, full)`` chooses a count or seconds by how much is to be run."""

    full: bool
    seed: int
    rng: random.Random
    plane: ControlPlane
    background: Background
    probe: Probe
    data: Path
    """The journal's folder, which outlives a process."""
    new_project: Callable[..., Project]
    start: ReceiverFactory
    report: Callable[[str], None]
    """Add a line to the summary at the end of the run."""

    def scale(self, small: int, full: int) -> int:
        """Choose by how much is to be run."""
        return full if self.full else small

    def field(self, *, repositories: int = 12, fan_out: int = 0) -> Field:
        """Make a Project with Warehouses."""
        return Field(self.new_project().create(), repositories=repositories, fan_out=fan_out).create()

    def receiver(
        self,
        *flags: str,
        proxy: FaultProxy | None = None,
        data: Path | None = None,
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> ReceiverProcess:
        """Start a receiver with a journal (in ``data``, or the stage's own); through a proxy if given."""
        kubeconfig = None if proxy is None else proxy.kubeconfig(self.start.kubeconfig)
        # Not in asyncio's debug mode, which costs more than the work that is watched here.
        plain = {"PYTHONASYNCIODEBUG": "", **(environment or {})}
        return self.start(
            f"--data-dir={data or self.data}", *flags, kubeconfig=kubeconfig, environment=plain, wait=wait
        )

    def sender(
        self, field: Field, receiver: ReceiverProcess, *, at_once: int = 16, fresh: bool = False
    ) -> Sender:
        """Deliver to the Project's receiver."""
        url = receiver.base_url + field.project.path
        return Sender(lambda: url, self.background, at_once=at_once, fresh=fresh)

    def judge(
        self,
        account: Account,
        *,
        allowed: frozenset[int] = ANSWERS,
        reply_seconds: float = REPLY_SECONDS,
        late: bool = False,
    ) -> None:
        """Report an account; fail unless nothing is missing and each answer is the table's, in time.

        With ``late``, an event may come before the watch has told of its Warehouse: it is refreshed soon
        after the answer then.
        """
        self.report(str(account))
        assert account.missing == 0, account.examples
        assert late or account.untrue == 0
        assert account.overdue < LATE_SECONDS
        assert account.accepted > 0
        assert set(account.statuses) <= allowed
        assert account.slowest < reply_seconds + REPLY_MARGIN

    def settle(self, sender: Sender, limit: float = 60.0) -> Account:
        """Wait until everything accepted is refreshed, at most so long, and sum up."""
        return sender.ledger.settle(self.probe, limit)
