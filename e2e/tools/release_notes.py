"""Prints what the changelog says of one version: ``python -m e2e.tools.release_notes 0.1.0``."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """Return a version's section without its heading; ValueError if there is none, or an empty one."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}", heading.strip()):
            if text.strip():
                return text.strip() + "\n"
            break
    raise ValueError(f"CHANGELOG.md has no dated section for {version}, or an empty one")


def main() -> int:
    """Print the notes; return the exit code."""
    try:
        (version,) = sys.argv[1:]
        print(notes(CHANGELOG.read_text("utf-8"), version), end="")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
