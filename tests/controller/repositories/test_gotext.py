"""Text as Go sees it: the places where Python's own functions give something else."""

import hashlib
import sys

import pytest

from controller.repositories.gotext import clean, lower, printable


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("GitHub", "github", id="ascii"),
        pytest.param("\u0130", "i", id="dotted capital I is one rune"),
        pytest.param("\u0391\u03a3", "\u03b1\u03c3", id="no final sigma"),
        pytest.param("\u212a", "k", id="Kelvin sign"),
        pytest.param("ẞ", "ß", id="capital sharp s"),
        pytest.param("\U00010400", "\U00010428", id="beyond the basic plane"),
        pytest.param("A\ua7cbB\u1c89", "a\ua7cbb\u1c89", id="new in Unicode 16.0"),
    ],
)
def test_lower_case_goes_rune_by_rune(given: str, expected: str) -> None:
    """Each rune has one lower case, whatever stands beside it."""
    assert lower(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(" a b ", "a b", id="only the space stays, and not at the ends"),
        pytest.param("a\u00a0\u2003\u3000b", "ab", id="other spaces"),
        pytest.param("\ufeffa\u200b\u00adb\u2028", "ab", id="invisible ones"),
        pytest.param("a\t\n\x00\x7f\x85b", "ab", id="control characters"),
        pytest.param("a\ud800b", "ab", id="lone surrogate"),
        pytest.param("a\ue000\U0010ffffb", "ab", id="private use and unassigned"),
        pytest.param(
            "a\U0001f6dc\u0cf3\U00031350b", "a\U0001f6dc\u0cf3\U00031350b", id="new in Unicode 15.0"
        ),
        pytest.param("a\u2ffc\u31ef\U0002ebf0b", "ab", id="new in Unicode 15.1"),
        pytest.param("a\u1c89\U0001fae9\U00016d40b", "ab", id="new in Unicode 16.0"),
        pytest.param("a\u0301ö漢😀", "a\u0301ö漢😀", id="letters, marks and symbols"),
    ],
)
def test_only_printable_runes_stay(given: str, expected: str) -> None:
    """Exactly what Go's tables (Unicode 15.0) call printable stays, with any version of Python."""
    assert printable(given) == expected


def test_clean_lowers_and_strips() -> None:
    """Cleaning does both."""
    assert clean("\ufeff HTTPS://H\u0130 \n") == "https://hi"


GO = "22bcb950d97511989f94d26bbb0d799ce882537117967b56c7dd819c9b160f14"
"""SHA-256 of what this program of Go prints (Go 1.21 to 1.26, whose tables are of Unicode 15.0)::

    for r := rune(0); r <= unicode.MaxRune; r++ {
        fmt.Println(r, unicode.IsPrint(r), unicode.ToLower(r))
    }
"""


def test_every_rune_is_what_it_is_for_go() -> None:
    """A Python with tables of a newer Unicode fails here: its new runes go into gotext.py."""
    digest = hashlib.sha256()
    for number in range(sys.maxunicode + 1):
        rune = chr(number)
        is_print = "true" if len(printable(f"-{rune}-")) == 3 else "false"
        digest.update(f"{number} {is_print} {ord(lower(rune))}\n".encode())
    assert digest.hexdigest() == GO
