"""The drawing of the dashboard's picture: values as people read them, and panels without data."""

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the extra 'dashboard' is not installed")

from e2e.picture.draw import Line, draw, format_value
from tests.support.prometheus import panels


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(0.0, "s", "0", id="nothing"),
        pytest.param(0.0042, "s", "4.2 ms", id="milliseconds"),
        pytest.param(4.5, "s", "4.5 s", id="seconds"),
        pytest.param(90.0, "s", "1.5 min", id="minutes"),
        pytest.param(78 * 2**20, "bytes", "78 MiB", id="memory"),
        pytest.param(12.0, "reqps", "12 req/s", id="rate"),
        pytest.param(2.0, "short", "2", id="number"),
    ],
)
def test_values_have_their_unit(value: float, unit: str, text: str) -> None:
    """A scale says what it counts."""
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        pytest.param([], None, id="no-data"),
        pytest.param([Line("a", [0.0, 1.0], [math.nan, 2.0])], 3.0, id="gaps"),
        pytest.param([Line(f"{each}" * 40, [0.0, 1.0], [0.0, 0.0]) for each in range(12)], 0.0, id="many"),
    ],
)
def test_every_panel_can_be_drawn(tmp_path: Path, lines: list[Line], number: float | None) -> None:
    """Whatever the queries give, there is a picture."""
    target = tmp_path / "picture.png"

    def series(_: Any) -> list[Line]:
        return lines

    draw(panels(), series, lambda _: number, target)
    assert target.read_bytes().startswith(b"\x89PNG")
