"""What the suite reports: a row for each figure, beside what the machine could do at best in the same run."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

HEADINGS = ("figure", "this run", "ceiling", "ratio", "must reach", "")


@dataclass(frozen=True)
class Row:
    """One figure. ``ok`` None means that it was not measured, or that nothing is demanded of it."""

    figure: str
    value: str
    ceiling: str = ""
    ratio: float | None = None
    target: str = ""
    ok: bool | None = None
    used: float | None = None
    """How much of what is allowed it takes: at 1 it just reaches the target, above it misses."""

    @property
    def verdict(self) -> str:
        """What the last column says."""
        return {True: "ok", False: "MISSED", None: ""}[self.ok]

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.figure, self.value, self.ceiling, ratio, self.target, self.verdict

    def plain(self) -> dict[str, Any]:
        """The row as JSON types."""
        return asdict(self)


def at_most(figure: str, value: str, ceiling: str, ratio: float, most: float) -> Row:
    """A figure that is good when its ratio to the ceiling is small."""
    return Row(figure, value, ceiling, ratio, f"≤ {most:g} times", ratio <= most, ratio / most)


def at_least(figure: str, value: str, ceiling: str, ratio: float, least: float) -> Row:
    """A figure that is good when its ratio to the ceiling is large."""
    return Row(figure, value, ceiling, ratio, f"≥ {least:g} times", ratio >= least, least / ratio)


def bounded(figure: str, amount: float, most: float, unit: str) -> Row:
    """A figure with a fixed bound."""
    used = amount / most
    return Row(figure, f"{amount:,.4g} {unit}", "", None, f"≤ {most:g} {unit}", used <= 1, max(0.0, used))


def skipped(figure: str, why: str) -> Row:
    """A figure that could not be measured, visibly."""
    return Row(figure, "skipped", target=why)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table whose columns also line up on a terminal."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)
