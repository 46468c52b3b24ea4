"""Builds dashboard.json, the Grafana dashboard: ``make dashboard`` after a change here.

Needs the extra ``dashboard`` of this package (grafana-foundation-sdk). Queries add up all replicas of the
chosen namespace; each panel's description says what to make of it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, LegendDisplayMode, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

OUTPUT = Path(__file__).parents[2] / "chart" / "files" / "dashboard.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
P = "kargo_azure_receiver_"
NS = 'namespace=~"$namespace"'
JOB = f'job="kargo-azure-receiver", {NS}'
LAST_DELIVERY = f"{P}receiver_last_delivery_timestamp_seconds"
"""Its label ``namespace`` is the receiver's Project, which Prometheus renames to ``exported_namespace``."""
WIDTH = 24  # columns of Grafana's grid

Query = tuple[str, str]
"""(expression, legend)"""


def quantile(share: float, metric: str, *by: str) -> str:
    """The share's quantile of a histogram over all replicas."""
    labels = ", ".join(("le", *by))
    return (
        f"histogram_quantile({share}, sum by ({labels}) (rate({P}{metric}_bucket{{{NS}}}[$__rate_interval])))"
    )


def rate(metric: str, *by: str, where: str = "") -> str:
    """Events per second over all replicas."""
    selector = f"{NS}, {where}" if where else NS
    grouped = f" by ({', '.join(by)}) " if by else ""
    return f"sum{grouped}(rate({P}{metric}{{{selector}}}[$__rate_interval]))"


def graph(
    title: str, description: str, queries: Sequence[Query], *, unit: str = "short", across: int = 3
) -> timeseries.Panel:
    """A panel of lines; ``across`` of them fill a row."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(WIDTH // across)
        .line_width(1)
        .fill_opacity(8)
        .legend(common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(show_legend=True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for letter, (expression, legend) in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .expr(expression)
            .legend_format(legend)
            .datasource(SOURCE)
            .range()
        )
    return panel


def number(
    title: str, description: str, expression: str, *, bad_from: float | None = None, unit: str = "short"
) -> stat.Panel:
    """A panel with one number, red from ``bad_from``."""
    steps = [Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(Threshold(value=bad_from, color="red"))
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(WIDTH // 6)
        .color_mode(BigValueColorMode.VALUE)
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(prometheus.Dataquery().ref_id("A").expr(expression).datasource(SOURCE).instant())
    )


def build() -> Dashboard:
    """The whole dashboard."""
    dashboard = (
        Dashboard("Kargo Azure receiver")
        .uid("kargo-azure-receiver")
        .description("From Azure's event to the Warehouse that Kargo has refreshed.")
        .tags(["kargo", "azure"])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            QueryVariable("namespace")
            .label("Namespace")
            .datasource(SOURCE)
            .query(f"label_values({P}build_info, namespace)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(include_all=True)
            .multi(multi=True)
        )
    )
    for panel in _overview():
        dashboard = dashboard.with_panel(panel)
    for title, panels in (
        ("Deliveries", _deliveries()),
        ("Refreshes", _refreshes()),
        ("Caches", _caches()),
        ("API server and process", _process()),
    ):
        dashboard = dashboard.with_row(Row(title))
        for graph_panel in panels:
            dashboard = dashboard.with_panel(graph_panel)
    return dashboard


def _overview() -> list[stat.Panel]:
    return [
        number("Replicas", "That Prometheus reaches.", f"sum(up{{{JOB}}})"),
        number(
            "Receivers at fault",
            "Azure receivers whose Secret is missing, wrong or can't be read.",
            f'max(sum by (pod) ({P}receivers{{{NS}, state!="served"}}))',
            bad_from=1,
        ),
        number(
            "Lag, p99",
            "From the event to the annotation, over the last hour.",
            f"histogram_quantile(0.99, sum by (le) (rate({P}refresh_lag_seconds_bucket{{{NS}}}[1h])))",
            bad_from=30,
            unit="s",
        ),
        number(
            "Unfinished deliveries",
            "Accepted, and in the journal until the last Warehouse is refreshed.",
            f"sum({P}journal_pending{{{NS}}})",
            bad_from=100,
        ),
        number(
            "Longest unhandled",
            "How long Kargo has left a Warehouse's refresh undone.",
            f"max({P}oldest_unhandled_refresh_seconds{{{NS}}})",
            bad_from=900,
            unit="s",
        ),
        number(
            "Certificate expires in",
            "Nothing where the public port has no TLS.",
            f"min({P}certificate_expiry_timestamp_seconds{{{NS}}} > 0) - time()",
            unit="s",
        ),
    ]


def _deliveries() -> list[timeseries.Panel]:
    return [
        graph(
            "Requests",
            "By sender and answer. 202: the refreshes took longer than the reply timeout and go on.",
            [(rate("webhook_requests_total", "source", "code"), "{{source}} {{code}}")],
            unit="reqps",
        ),
        graph(
            "Time to answer",
            "ACR gives up after 5 s; the receiver answers 202 after 4 s.",
            [
                (quantile(0.5, "webhook_request_duration_seconds", "source"), "{{source}} p50"),
                (quantile(0.99, "webhook_request_duration_seconds", "source"), "{{source}} p99"),
            ],
            unit="s",
        ),
        graph(
            "Matched per delivery",
            "Warehouses or Promotions that one event concerns.",
            [(quantile(0.5, "matched_warehouses"), "p50"), (quantile(0.99, "matched_warehouses"), "p99")],
        ),
    ]


def _refreshes() -> list[timeseries.Panel]:
    return [
        graph(
            "Patches",
            "rejected: the API server refuses for good. retried: it fails for now. gone: deleted meanwhile.",
            [(rate("refresh_total", "kind", "result"), "{{kind}} {{result}}")],
            unit="ops",
        ),
        graph(
            "Lag",
            "From the event's arrival to the annotation in the API server.",
            [
                (quantile(0.5, "refresh_lag_seconds"), "p50"),
                (quantile(0.9, "refresh_lag_seconds"), "p90"),
                (quantile(0.99, "refresh_lag_seconds"), "p99"),
            ],
            unit="s",
        ),
        graph(
            "Handled by Kargo",
            "From the annotation to the end of Kargo's discovery: Kargo's part of the way.",
            [(quantile(0.5, "handled_lag_seconds"), "p50"), (quantile(0.9, "handled_lag_seconds"), "p90")],
            unit="s",
        ),
        graph(
            "Waiting",
            "Keys in the workqueues, and deliveries that are not finished.",
            [
                (f"sum by (name) (workqueue_depth{{{JOB}}})", "queue {{name}}"),
                (f"sum({P}journal_pending{{{NS}}})", "deliveries"),
            ],
        ),
        graph(
            "Not handled by Kargo",
            "Warehouses whose refresh Kargo has not done yet. One that stays: a shard without a controller.",
            [(f"max({P}unhandled_refreshes{{{NS}}})", "Warehouses")],
        ),
        graph(
            "Status writes",
            "conflict: another writer was first. disputed: another controller insists on other URLs.",
            [(rate("status_writes_total", "result"), "{{result}}")],
            unit="ops",
        ),
    ]


def _caches() -> list[timeseries.Panel]:
    return [
        graph(
            "Objects",
            "In the cache of one replica.",
            [
                (f"max by (kind) ({P}cache_objects{{{NS}}})", "{{kind}}"),
                (f"max({P}index_urls{{{NS}}})", "repositories"),
            ],
        ),
        graph(
            "Silence of the watches",
            "A watch gives a sign of life about once a minute.",
            [(f"max by (kind) ({P}watch_last_activity_seconds{{{NS}}})", "{{kind}}")],
            unit="s",
        ),
        graph(
            "Watches begun anew",
            "Every 5 to 10 minutes each; more often: the connection to the API server breaks.",
            [(rate("watch_restarts_total", "kind", "reason"), "{{kind}} {{reason}}")],
            unit="ops",
        ),
        graph(
            "Not synced",
            "Replicas that wait for a kind's first list.",
            [(f"count by (kind) ({P}cache_synced{{{NS}}} == 0)", "{{kind}}")],
        ),
        graph(
            "Left out",
            "Objects and journal files that can't be read, and writes of the journal that failed.",
            [
                (rate("cache_quarantined_total", "kind"), "{{kind}}"),
                (rate("journal_moved_aside_total"), "journal files"),
                (rate("journal_write_failures_total"), "journal writes"),
            ],
            unit="ops",
        ),
        graph(
            "Catch-ups",
            "Warehouses still to be refreshed by a catch-up; catch-ups by reason; Leases not renewed.",
            [
                (f"sum({P}catch_up_outstanding_warehouses{{{NS}}})", "Warehouses"),
                (f"sum by (reason) (increase({P}catch_ups_total{{{NS}}}[1h]))", "{{reason}}, within an hour"),
                (f"sum(increase({P}lease_renew_failures_total{{{NS}}}[1h]))", "not renewed, within an hour"),
            ],
        ),
        graph(
            "Receivers",
            "pending: the Secret is not read yet. faulty: its owner has to mend it.",
            [(f"max by (state) ({P}receivers{{{NS}}})", "{{state}}")],
        ),
        graph(
            "Silent receivers",
            "Time since the last delivery: the ten that have waited longest of those that were used.",
            [
                (
                    f"topk(10, time() - max by (exported_namespace, receiver) ({LAST_DELIVERY}{{{NS}}} > 0))",
                    "{{exported_namespace}}/{{receiver}}",
                )
            ],
            unit="s",
        ),
    ]


def _process() -> list[timeseries.Panel]:
    duration = f"rest_client_request_duration_seconds_bucket{{{JOB}}}"
    return [
        graph(
            "Requests to the API server",
            "By method and status.",
            [
                (
                    f"sum by (method, code) (rate(rest_client_requests_total{{{JOB}}}[$__rate_interval]))",
                    "{{method}} {{code}}",
                )
            ],
            unit="reqps",
            across=4,
        ),
        graph(
            "The API server's time, p99",
            "A watch's ends with its headers.",
            [
                (
                    f"histogram_quantile(0.99, sum by (le, verb) (rate({duration}[$__rate_interval])))",
                    "{{verb}}",
                )
            ],
            unit="s",
            across=4,
        ),
        graph(
            "Memory",
            "Resident, of each replica.",
            [(f"process_resident_memory_bytes{{{JOB}}}", "{{pod}}")],
            unit="bytes",
            across=4,
        ),
        graph(
            "CPU",
            "Of each replica. One event loop: at 1 it is full.",
            [(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{pod}}")],
            across=4,
        ),
    ]


def main() -> int:
    """Write the file; with ``--check`` only say whether it is up to date."""
    board = build().build()
    for place, panel in enumerate(board.panels or [], 1):
        panel.id_val = place
    text = JSONEncoder(sort_keys=True, indent=2).encode(board) + "\n"
    if "--check" in sys.argv[1:]:
        return int(OUTPUT.read_text("utf-8") != text)
    OUTPUT.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
