"""Delays between attempts."""

import random

import pytest

from controller.runtime.backoff import Backoff, retry_delay


class Always(random.Random):
    """A generator of one number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self._number = number

    def random(self) -> float:
        return self._number


def test_row_15_one_backoff_doubles_from_0_8_to_30_seconds_and_resets() -> None:
    """Delays double between the bounds, and two quiet minutes make the next failure a first one."""
    least, most = Backoff(Always(0.0)), Backoff(Always(1.0))
    assert [least.next(float(now)) for now in range(7)] == [0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]
    assert [most.next(float(now)) for now in range(7)] == pytest.approx([1.2, 2.4, 4.8, 9.6, 19.2, 30, 30])
    assert least.next(6 + 119.9) == 20.0
    assert least.next(6 + 119.9 + 120.0) == 0.8


def test_row_15_delays_are_spread_within_the_bounds() -> None:
    """Two informers that fail together come back apart, and no jitter leaves the bounds."""
    one, two = (Backoff(random.Random(seed)) for seed in (1, 2))
    first, second = ([backoff.next(0.0) for _ in range(50)] for backoff in (one, two))
    assert all(0.8 <= delay <= 30.0 for delay in first + second)
    assert not set(first) & set(second)
    assert len(set(first[-20:])) == 20


@pytest.mark.parametrize(
    ("failures", "delay"),
    [
        pytest.param(0, 0.005, id="none yet"),
        pytest.param(1, 0.005, id="first"),
        pytest.param(2, 0.01, id="second"),
        pytest.param(11, 5.12, id="below the cap"),
        pytest.param(12, 10.0, id="at the cap"),
        pytest.param(10**9, 10.0, id="no overflow"),
        pytest.param(-5, 0.005, id="nonsense"),
    ],
)
def test_row_23_retry_delay_doubles_to_a_cap(failures: int, delay: float) -> None:
    """A key's delay doubles from 5 ms to the cap, for a count of any size."""
    assert retry_delay(failures) == pytest.approx(delay)
    jittered = [retry_delay(failures, rng=random.Random(seed)) for seed in range(20)]
    assert all(delay / 2 <= each <= delay for each in jittered)
    assert len(set(jittered)) > 10
