"""What a case of an alert is made of: series as Prometheus has them of the receiver."""

from typing import NamedTuple

P = "kargo_azure_receiver_"
JOB = 'job="kargo-azure-receiver", namespace="kargo"'


class Case(NamedTuple):
    """Series by name and labels, each with promtool's notation of its values."""

    alert: str
    series: dict[str, str]
    minute: int
    labels: dict[str, str] | None
    """Of the alert that fires at that minute; None: none does."""
    summary: str = ""
    description: str = ""
    every: str = "1m"
    """Between two values."""


def of(name: str, labels: str = "", pod: str = "a") -> str:
    """One series of one replica."""
    return f'{name}{{{JOB}, pod="{pod}"{", " + labels if labels else ""}}}'


def ours(name: str, labels: str = "", pod: str = "a") -> str:
    return of(P + name, labels, pod)


def histogram(name: str, slow_from: str, counts: dict[str, str]) -> dict[str, str]:
    """Buckets of a histogram: ``counts`` by upper bound."""
    return {ours(f"{name}_bucket", f'le="{bound}"'): values for bound, values in counts.items()} | {
        ours(f"{name}_bucket", 'le="+Inf"'): slow_from
    }


def last_delivery(project: str, pod: str = "a") -> str:
    """The last delivery to a Project's receiver, with the labels that Prometheus gives it."""
    labels = f'exported_namespace="{project}", receiver="azure"'
    return ours("receiver_last_delivery_timestamp_seconds", labels, pod)


HOUR = 3600
WAREHOUSE = 'kind="Warehouse"'
RETRIED = ours("refresh_total", f'{WAREHOUSE}, result="retried"')
PERSISTED = ours("refresh_total", f'{WAREHOUSE}, result="persisted"')
