"""Exports when each receiver last had a delivery, so that one that has fallen silent is noticed."""

from datetime import UTC, datetime

import structlog

from controller.observability.metrics import Metrics
from controller.receivers.index import ReceiverIndex
from controller.receivers.url import receiver_name
from controller.runtime.clock import Clock
from webhook.admin.history import JournalHistory
from webhook.journal.reading import HistoryError

UPDATE_SECONDS = 30.0
"""Between two readings of the history, which take a tenth of a second of another thread where it is full."""
MOST_RECEIVERS = 1_000
"""With more receivers there is no series at all: some of them would look like all."""

log = structlog.get_logger()


class LastDeliveries:
    """Copies the times from the history into a gauge, one series for each receiver there is.

    The history forgets a delivery after some days; the time is kept as long as process and receiver live.
    """

    def __init__(
        self, history: JournalHistory, receivers: ReceiverIndex, metrics: Metrics, clock: Clock
    ) -> None:
        self._history = history
        self._receivers = receivers
        self._gauge = metrics.last_deliveries
        self._clock = clock
        self._exported: dict[str, float] = {}
        """Unix seconds by receiver; 0 for one to which nothing came."""
        self._too_many = False

    async def run(self) -> None:
        """Keep the gauge current, until cancelled."""
        while True:
            await self.update()
            await self._clock.sleep(UPDATE_SECONDS)

    async def update(self) -> None:
        """Read the history once; if it can't be read now, the times stay, and the page says why."""
        try:
            found = await self._history.summaries(datetime.fromtimestamp(self._clock.time(), UTC))
        except HistoryError:
            found = {}
        last = {name: each.last_delivery for name, each in found.items() if each.last_delivery is not None}
        receivers = self._existing()
        for name in self._exported.keys() - receivers:
            del self._exported[name]
            self._gauge.remove(*_labels(name))
        for name in receivers:
            seconds = max(last[name].timestamp() if name in last else 0.0, self._exported.get(name, 0.0))
            if self._exported.get(name) != seconds:
                self._exported[name] = seconds
                self._gauge.labels(*_labels(name)).set(seconds)

    def _existing(self) -> set[str]:
        """Return the names of all receivers, or none if they are too many."""
        names = {receiver_name(key[0], each.name) for key, each in self._receivers.all_states()}
        too_many = len(names) > MOST_RECEIVERS
        if too_many and not self._too_many:
            log.warning("last_deliveries_not_exported", receivers=len(names), most=MOST_RECEIVERS)
        self._too_many = too_many
        return set() if too_many else names


def _labels(name: str) -> tuple[str, str]:
    owner, _, receiver = name.partition("/")
    return owner, receiver
