"""Text as Go's ``strings`` and ``unicode`` packages see it: lower case rune by rune, printable runes.

Kargo's normalization is built on these two, and its answers are matched byte for byte. Python agrees with
Go but for what is written here: its ``str.lower`` knows words and ligatures, and each release of either
language has the tables of its own version of Unicode (Go 1.21 to 1.26: 15.0; Python 3.11: 14.0,
3.12: 15.0, 3.13: 15.1, 3.14: 16.0).
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
# Assigned in Unicode 15.1 (Python 3.13) and 16.0 (3.14), so unknown to Go: neither printable nor of any case.
_UNASSIGNED_IN_GO = re.compile(
    "([\u0897\u1b4e\u1b4f\u1b7f\u1c89\u1c8a\u2427-\u2429\u2ffc-\u2fff\u31e4-\u31ef\ua7cb-\ua7cd\ua7da-\ua7dc"
    "\U000105c0-\U000105f3\U00010d40-\U00010d8f\U00010ec2-\U00010efc\U00011380-\U000113e2"
    "\U000116d0-\U000116e3\U00011bc0-\U00011bf9\U00011f5a\U00013460-\U000143fa\U00016100-\U00016139"
    "\U00016d40-\U00016d79\U00018cff\U0001cc00-\U0001ceb3\U0001e5d0-\U0001e5ff\U0001f8b2-\U0001f8c1"
    "\U0001fa89-\U0001fa8f\U0001fabe\U0001fac6\U0001fadc-\U0001fadf\U0001fae9\U0001fbcb-\U0001fbef"
    "\U0002ebf0-\U0002ee5d])"
)


def lower(text: str) -> str:
    """Map each rune to its simple lower case, as ``strings.ToLower``: no final sigma, ``İ`` is ``i``."""
    if text.isascii():
        return text.lower()
    text = text.replace("\u0130", "i").replace("\u03a3", "\u03c3")
    parts = _UNASSIGNED_IN_GO.split(text)  # every second one is such a rune
    parts[::2] = [part.lower() for part in parts[::2]]
    return "".join(parts)


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
