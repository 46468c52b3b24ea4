"""Cutting bytes into lines, however they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.api.lines import LineSplitter, LineTooLong


@given(st.lists(st.text("ab \n").map(str.encode)))
def test_lines_do_not_depend_on_how_they_are_cut(chunks: list[bytes]) -> None:
    """Each complete line comes once, whole and in order; blank ones and an unfinished last one never."""
    splitter = LineSplitter()
    got = [line for chunk in chunks for line in splitter.feed(chunk)]
    complete = b"".join(chunks).split(b"\n")[:-1]
    assert got == [line for line in complete if line.strip()]


@pytest.mark.parametrize("size", [pytest.param(100, id="at"), pytest.param(101, id="beyond")])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_line_is_bounded(size: int, step: int) -> None:
    """A line at the limit passes; one byte more, with its end or before, is refused."""
    data = b"x" * size + b"\n"
    splitter = LineSplitter(limit=100)

    def feed() -> list[bytes]:
        return [line for at in range(0, len(data), step) for line in splitter.feed(data[at : at + step])]

    if size <= 100:
        assert feed() == [data.strip()]
    else:
        with pytest.raises(LineTooLong):
            feed()
