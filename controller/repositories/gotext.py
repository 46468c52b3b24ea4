"""Text as Go's ``strings`` and ``unicode`` packages see it: lower case rune by rune, printable runes.

Kargo's normalization is built on these two, and its answers are matched byte for byte. Python agrees with
Go but for what is written here: its ``str.lower`` knows words and ligatures, and each release of either
language has the tables of its own version of Unicode (Go 1.21 to 1.26: 15.0; Python 3.11: 14.0,
3.12: 15.0, 3.13: 15.1).
"""

import re

# Printable since Unicode 15.0, so unknown to Python 3.11.
_PRINTABLE_IN_GO = re.compile(
    "[\u0cf3\u0ece\U00010efd-\U00010eff\U0001123f-\U00011241\U00011b00-\U00011b09\U00011f00-\U00011f10"
    "\U00011f12-\U00011f3a\U00011f3e-\U00011f59\U0001342f\U00013440-\U00013455\U0001b132\U0001b155"
    "\U0001d2c0-\U0001d2d3\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e08f\U0001e4d0-\U0001e4f9"
    "\U0001f6dc\U0001f774-\U0001f776\U0001f77b-\U0001f77f\U0001f7d9\U0001fa75-\U0001fa77"
    "\U0001fa87\U0001fa88\U0001faad-\U0001faaf\U0001fabb-\U0001fabd\U0001fabf\U0001face\U0001facf"
    "\U0001fada\U0001fadb\U0001fae8\U0001faf7\U0001faf8\U0002b739\U00031350-\U000323af]"
)
# Printable since Unicode 15.1, so known to Python 3.13 but not to Go.
_UNASSIGNED_IN_GO = re.compile("[\u2ffc-\u2fff\u31ef\U0002ebf0-\U0002ee5d]")


def lower(text: str) -> str:
    """Map each rune to its simple lower case, as ``strings.ToLower``: no final sigma, ``İ`` is ``i``."""
    if not text.isascii():
        text = text.replace("\u0130", "i").replace("\u03a3", "\u03c3")
    return text.lower()


def printable(text: str) -> str:
    """Drop what ``unicode.IsPrint`` denies (of the spaces only U+0020 stays), then trim spaces."""
    if not text.isprintable():
        text = "".join(
            [
                rune
                for rune in text
                if rune.isprintable() or (rune > "\u0cf2" and _PRINTABLE_IN_GO.match(rune))
            ]
        )
    if not text.isascii():
        text = _UNASSIGNED_IN_GO.sub("", text)
    return text.strip(" ")


def clean(text: str) -> str:
    """Lower case, printable, trimmed: what Kargo does to every URL before it looks at it."""
    return printable(lower(text))
