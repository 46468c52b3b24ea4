"""Panels as Grafana lays them out, with matplotlib: what each query gives, not how Grafana paints it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

BACKGROUND, PANEL, TEXT, DIM = "#111217", "#181b1f", "#d8d9da", "#8e9199"
GREEN, RED = "#73bf69", "#f2495c"
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#37872d", "#8ab8ff")
UNIT_INCHES = 0.5, 0.28
"""Width and height of one cell of Grafana's grid."""
WIDE = 8
"""Cells from which a panel has room for three columns in its legend, else for two; always in two lines."""
NAME_MOST = 20


@dataclass(frozen=True)
class Line:
    """One series: seconds since the start, and values."""

    name: str
    times: Sequence[float]
    values: Sequence[float]


def draw(
    panels: Sequence[Mapping[str, Any]],
    series: Callable[[Mapping[str, Any]], Sequence[Line]],
    number: Callable[[Mapping[str, Any]], float | None],
    target: Path,
) -> None:
    """Draw all panels into a PNG; ``series`` gives a graph's lines, ``number`` a stat panel's value."""
    width = max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in panels)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    inches = width * UNIT_INCHES[0], height * UNIT_INCHES[1]
    figure = plt.figure(figsize=inches, facecolor=BACKGROUND, dpi=140)
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / width, 1 - place["y"] / height
        wide, high = place["w"] / width, place["h"] / height
        if panel["type"] == "row":
            figure.text(left + 0.004, top - high * 0.75, panel["title"], color=TEXT, size=11, weight="bold")
            continue
        # A gap around each panel; inside, room for title, scale and legend.
        gap = 0.05 / inches[0], 0.05 / inches[1]
        box = (left + gap[0], top - high + gap[1], wide - 2 * gap[0], high - 2 * gap[1])
        figure.add_artist(
            Rectangle(box[:2], box[2], box[3], facecolor=PANEL, transform=figure.transFigure, zorder=-1)
        )
        figure.text(
            box[0] + 0.10 / inches[0],
            box[1] + box[3] - 0.22 / inches[1],
            panel["title"],
            color=TEXT,
            size=9.5,
            weight="bold",
        )
        if panel["type"] == "stat":
            _stat(figure, box, panel, number(panel))
        else:
            inner = (
                box[0] + 0.72 / inches[0],
                box[1] + 0.66 / inches[1],
                box[2] - 0.87 / inches[0],
                box[3] - 0.98 / inches[1],
            )
            _graph(figure.add_axes(inner), panel, series(panel))
    figure.savefig(target, facecolor=BACKGROUND)
    plt.close(figure)


def _stat(figure: Any, box: tuple[float, ...], panel: Mapping[str, Any], value: float | None) -> None:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    bad = value is not None and any(step["value"] is not None and value >= step["value"] for step in steps)
    text = "No data" if value is None else format_value(value, unit)
    colour = DIM if value is None else RED if bad else GREEN
    size = 13 if value is None else 20
    figure.text(
        box[0] + box[2] / 2, box[1] + box[3] * 0.4, text, color=colour, size=size, ha="center", va="center"
    )


def _graph(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.set_facecolor(PANEL)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color("#33363b")
    axes.grid(visible=True, color="#2a2d33", linewidth=0.6)
    axes.tick_params(colors=DIM, labelsize=8, length=0)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda seconds, _: f"{int(seconds) // 60}:{int(seconds) % 60:02}")
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 3, 6], integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, unit)))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if not lines:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, color=DIM, size=11, ha="center", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    # What stays at zero is drawn first and named last.
    ordered = sorted(lines, key=lambda line: -max(_finite(line.values), default=0.0))
    for place, line in reversed(list(enumerate(ordered))):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(line.times, line.values, color=colour, linewidth=1.2, label=line.name)
        axes.fill_between(line.times, line.values, color=colour, alpha=0.06)
    top = max((max(_finite(line.values), default=0.0) for line in lines), default=0.0)
    axes.set_ylim(0, top * 1.1 if top else 1.1)
    axes.margins(x=0)
    handles, names = axes.get_legend_handles_labels()
    columns = 3 if panel["gridPos"]["w"] >= WIDE else 2
    handles, names = handles[::-1][: 2 * columns], names[::-1][: 2 * columns]
    axes.legend(
        handles,
        [name if len(name) <= NAME_MOST else name[: NAME_MOST - 1] + "…" for name in names],
        loc="upper left",
        bbox_to_anchor=(-0.5 / axes.bbox.width * axes.figure.dpi, -0.14),
        ncols=columns,
        fontsize=6.6,
        frameon=False,
        labelcolor=TEXT,
        handlelength=1.0,
        columnspacing=0.8,
        borderpad=0,
        labelspacing=0.25,
    )


def format_value(value: float, unit: str) -> str:
    """A value with its unit, as short as Grafana writes it."""
    if unit == "s":
        for size, name in ((60.0, "min"), (1.0, "s"), (1e-3, "ms")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return "0" if value == 0 else f"{value * 1e6:.3g} µs"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    suffix = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    return f"{value:.3g}{suffix}"


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
