"""A release's notes come from the changelog."""

import pytest

from e2e.tools.release_notes import notes

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- Not yet.

## [0.2.0] - 2026-11-28

### Added

- A thing.

## [0.1.0] - 2026-10-01

- The first.
"""


def test_a_versions_section_without_its_heading() -> None:
    """Up to the next version's heading."""
    assert notes(CHANGELOG, "0.2.0") == "### Added\n\n- A thing.\n"
    assert notes(CHANGELOG, "0.1.0") == "- The first.\n"


@pytest.mark.parametrize("version", ["0.3.0", "Unreleased", "0.1", ""])
def test_a_version_without_a_dated_section_is_refused(version: str) -> None:
    """A tag that nobody wrote notes for makes no release."""
    with pytest.raises(ValueError, match="no dated section"):
        notes(CHANGELOG, version)
