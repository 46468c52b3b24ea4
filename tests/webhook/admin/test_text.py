"""How the page writes things."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook.admin import text

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param("app", "app", id="plain"),
        pytest.param("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;", id="html"),
        pytest.param("a\u202eb", "a\\u{202e}b", id="right-to-left"),
        pytest.param("a\x00\x1b[31m", "a\\u{0}\\u{1b}[31m", id="control"),
        pytest.param("\ud800", "\\u{d800}", id="half-a-character"),
        pytest.param("שלום", "שלום", id="hebrew"),
        pytest.param("a" + "\u0301" * 9, "a\u0301\u0301", id="marks"),
    ],
)
def test_hostile_text_is_shown_and_does_nothing(given: str, shown: str) -> None:
    """Letters stay, what acts becomes its code."""
    assert text.escape(given) == shown


def test_long_text_is_cut() -> None:
    """At the limit it is whole; one past it, the rest is counted."""
    assert text.visible("x" * 600) == "x" * 600
    assert text.visible("x" * 4096) == "x" * 600 + "… and 3,496 more characters"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(0.2, "now", id="now"),
        pytest.param(59.0, "59 s ago", id="seconds"),
        pytest.param(61.0, "1 min ago", id="minutes"),
        pytest.param(7200.0, "2 h ago", id="hours"),
        pytest.param(200_000.0, "2 d ago", id="days"),
        pytest.param(-90.0, "in 1 min", id="another-clock"),
    ],
)
def test_times_are_relative_with_the_exact_one_on_hover(seconds: float, said: str) -> None:
    """People see the distance; who hovers, the millisecond."""
    moment = NOW - timedelta(seconds=seconds)
    html = text.when(moment, NOW)
    assert f">{said}<" in html
    assert f'title="{text.exactly(moment)}"' in html


def test_links_hold_nothing_but_a_link() -> None:
    """A receiver's name can't leave its attribute, nor its segment of the path."""
    html = text.link("../", "receivers", 'a/"><script>', q="&x=1", page=0)
    assert html == "../receivers/a/%22%3E%3Cscript%3E?q=%26x%3D1"
