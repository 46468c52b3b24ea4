"""Puts the last results into the docs: a table and a plot for each scale that was measured.

``python -m tests.benchmarks.publish`` needs the extra ``bench`` (matplotlib).
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.__main__ import RESULTS, SCALES
from tests.benchmarks.rows import Row, table

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
IMAGE = DOCS / "images" / "performance.png"
BEGIN, END = "<!-- results: written by tests.benchmarks.publish -->\n", "<!-- end of results -->\n"
WIDEST = 3.0
"""Beyond that a bar is cut off, its number says how far it goes."""


def results() -> list[tuple[str, list[Row], dict[str, Any]]]:
    """Return what was measured: scale, rows, and what is known of the run."""
    found = []
    for scale in SCALES:
        path = RESULTS / f"{scale}.json"
        if path.exists():
            run = json.loads(path.read_text())
            found.append((scale, [Row(**row) for row in run.pop("rows")], run))
    return found


def write_tables() -> None:
    """Replace what stands between the marks of the page."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [f"\n{_heading(scale, run)}:\n\n{table(rows)}\n" for scale, rows, run in results()]
    PAGE.write_text(before + BEGIN + "".join(parts) + "\n" + END + after, "utf-8")


def _heading(scale: str, run: dict[str, Any]) -> str:
    """Say how it was measured."""
    before, after = run["load"]
    return (
        f"`SCALE={scale} make bench`, {run['seconds']} s in all, on {run['when']}; load average "
        f"{before} before, {after} after (two cores)"
    )


def plot() -> None:
    """Draw how much of what is allowed each figure takes."""
    from matplotlib import pyplot

    rows = [row for _, rows, _ in results() for row in rows if row.used is not None]
    rows.reverse()
    figure, axes = pyplot.subplots(figsize=(10, 0.32 * len(rows) + 1.4), layout="constrained")
    used = [row.used or 0.0 for row in rows]
    colours = ["tab:green" if row.ok else "tab:red" for row in rows]
    axes.barh(range(len(rows)), [min(each, WIDEST) for each in used], color=colours)
    axes.set_yticks(range(len(rows)), [row.figure for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    for place, each in enumerate(used):
        # Inside the bar, where the line at 1 does not cross it, unless the bar is too short.
        end, inside = min(each, WIDEST), each > 0.2
        where, colour = ("right", "white") if inside else ("left", "black")
        axes.text(
            end - 0.01 if inside else end + 0.01, place, f"{each:.2f}", ha=where, va="center", color=colour
        )
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlim(0, max(1.1, min(max(used), WIDEST) + 0.1))
    axes.set_xlabel("share of what is allowed: a bar that ends left of the line reaches its target")
    axes.tick_params(axis="y", labelsize=8)
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=110)


def main() -> int:
    """Write page and image."""
    if not results():
        print(f"nothing was measured yet: run make bench ({RESULTS} is empty)", file=sys.stderr)  # noqa: T201
        return 1
    write_tables()
    plot()
    return 0


if __name__ == "__main__":
    sys.exit(main())
