"""A counter whose value is kept elsewhere and read when it is scraped.

The client library has this for gauges only; a count that is typed as a gauge makes tools warn, and rates of
it are wrong in those that go by the type.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class CallbackCounter(Collector):
    """Exports ``{name}_total``: what ``set_function``'s function returns, 0 before there is one."""

    def __init__(self, name: str, text: str, *, registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self._read: Callable[[], float] = float
        registry.register(self)

    def set_function(self, read: Callable[[], float]) -> None:
        """Read the value from here on; it must never fall while the process lives."""
        self._read = read

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return the one sample of a scrape."""
        return [CounterMetricFamily(self._name, self._text, value=self._read())]

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Return what the registry needs to refuse a second metric of this name."""
        return [CounterMetricFamily(self._name, self._text)]
