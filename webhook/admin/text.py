"""How the page writes texts, which may be hostile, times, durations, numbers and links.

A docstring says if the result is HTML; everything else goes through ``escape``, the templates' autoescape.
"""

import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from tornado.escape import xhtml_escape

LONGEST_TEXT = 600
"""Characters of one text on a page; ``/api`` has all of it."""
MARKS = 2
"""Combining marks on one letter: a hundred of them would be painted over the lines above."""


def escape(value: str | bytes) -> str:
    """Return a text as HTML that only shows it.

    Characters that can't be printed (control characters, changes of direction, lone surrogates) are shown as
    their codes. A very long text is cut.
    """
    return xhtml_escape(visible(value.decode(errors="replace") if isinstance(value, bytes) else value))


def visible(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text of printable characters only, cut after ``longest``."""
    rest = len(text) - longest
    if rest > 0:
        text = text[:longest]
    if not (text.isascii() and text.isprintable()):
        text = "".join(_characters(text))
    return f"{text}… and {rest:,} more characters" if rest > 0 else text


def _characters(text: str) -> "list[str]":
    shown: list[str] = []
    marks = 0
    for character in text:
        if unicodedata.combining(character):
            marks += 1
            if marks <= MARKS:
                shown.append(character)
            continue
        marks = 0
        shown.append(character if character.isprintable() else f"\\u{{{ord(character):x}}}")
    return shown


def link(root: str, *path: str, **query: object) -> str:
    """Return a URL below ``root`` as HTML; what is empty or None in the query is left out."""
    place = root + "/".join(quote(part.encode(errors="replace"), safe="/") for part in path)
    given = {key: str(value).encode(errors="replace") for key, value in query.items() if value}
    return xhtml_escape(f"{place}?{urlencode(given)}" if given else place)


def bare(url: str) -> str:
    """Return a repository's URL without ``https://``, for lists."""
    return url.removeprefix("https://")


def short_ref(ref: str) -> str:
    """Return a tag, a Git ref without ``refs/heads/``, or the beginning of a digest."""
    short = ref.removeprefix("refs/heads/")
    return short[:19] + "…" if short.startswith("sha256:") else short


def when(moment: datetime | None, now: datetime, never: str = "never") -> str:
    """Return HTML: a time as its distance from ``now``, with the exact time on hover."""
    if moment is None:
        return f'<span class="quiet">{never}</span>'
    exact = exactly(moment)
    machine = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return f'<time datetime="{machine}" title="{exact}">{ago(moment, now)}</time>'


def exactly(moment: datetime) -> str:
    """Return a time to the millisecond, in UTC."""
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")


def clock(moment: datetime, now: datetime) -> str:
    """Return the time of day in UTC; on another day than ``now``'s, the date and the time to the minute."""
    utc = moment.astimezone(UTC)
    return f"{utc:%H:%M:%S}" if utc.date() == now.astimezone(UTC).date() else f"{utc:%Y-%m-%d %H:%M}"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {roughly(-seconds)}" if seconds < -1 else "now"
    return "now" if seconds < 1 else f"{roughly(seconds)} ago"


def roughly(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size):,} {unit}"
    return f"{int(seconds)} s"


def took(seconds: float | None) -> str:
    """Return how long something took, as precisely as people need it."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else roughly(seconds)


def count(number: int, noun: str, nouns: str = "") -> str:
    """Return ``1 Warehouse`` or ``2 Warehouses``."""
    return f"{number:,} {plural(number, noun, nouns)}"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """Return ``Warehouse`` for one, ``Warehouses`` for more."""
    return noun if number == 1 else nouns or noun + "s"
