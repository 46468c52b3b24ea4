"""Remembers what we wrote into a config's status, so that another writer who insists is left alone."""

from controller.kargo.objects import Config
from controller.receivers.status_plan import Plan, condition_differs, entries_differ

CONDITION_WRITES = 3
"""Times that one condition is written. Kargo's controller replaces the list of conditions with what it read
before, so it may erase ours by accident, most likely when both see a new ProjectConfig; what it has seen, it
keeps. Who erases it again and again wants it gone."""


class StatusHistory:
    """What we wrote for one config and still want: only that can be disputed."""

    def __init__(self) -> None:
        self._entries: object = None
        self._condition: object = None
        self._condition_writes = 0
        self.disputed = False
        """Another writer's values were found in place of ours, which was reported."""

    def want(self, wanted: Plan) -> None:
        """Forget what is no longer wanted, whichever replica writes what is wanted now.

        A Secret that is changed back, or a receiver that is taken out and put back, is then written again.
        """
        if self._entries != wanted.ours:
            self._entries = None
        if self._condition != wanted.condition:
            self._condition, self._condition_writes = None, 0

    def due(self, config: Config, wanted: Plan) -> tuple[set[str], bool]:
        """Return the fields of status to write, and whether another writer insists on a field's value."""
        due, disputed = set(), False
        if entries_differ(config, wanted):
            if self._entries == wanted.ours:
                disputed = True
            else:
                due.add("webhookReceivers")
        if condition_differs(config, wanted):
            erased = config.condition is None and self._condition_writes < CONDITION_WRITES
            if self._condition_writes and self._condition == wanted.condition and not erased:
                disputed = True
            else:
                due.add("conditions")
        return due, disputed

    def wrote(self, fields: set[str], wanted: Plan) -> None:
        """Note that these fields were written."""
        if "webhookReceivers" in fields:
            self._entries = wanted.ours
        if "conditions" in fields:
            same = self._condition == wanted.condition
            self._condition = wanted.condition
            self._condition_writes = self._condition_writes + 1 if same else 1
