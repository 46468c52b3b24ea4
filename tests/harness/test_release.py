"""A release is one tag away: every place names one version, and the changelog has its notes."""

import configparser
import re
from pathlib import Path

import pytest

from e2e.tools import release_notes
from e2e.tools.release_notes import notes

ROOT = Path(__file__).parents[2]
HOME = "https://github.com/OWNER/kargo-azure-receiver"
"""What the release workflow replaces by its own repository."""

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


def package() -> configparser.SectionProxy:
    """The metadata in setup.cfg, the one place that decides the version."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", "utf-8")
    return settings["metadata"]


def texts() -> dict[str, str]:
    """What people read or apply, by its path in the repository."""
    paths = [ROOT / "README.md", ROOT / "Dockerfile", ROOT / "setup.cfg"]
    for folder in ("docs", "manifests", ".github"):
        paths += [
            path for path in (ROOT / folder).rglob("*") if path.suffix in (".md", ".yaml", ".yml", ".txt")
        ]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


VERSION = r"(\d+\.\d+\.\d+)"
NAMED = "|".join(
    (
        rf"kargo-azure-receiver:{VERSION}",
        rf"newTag: {VERSION}",
        rf"(?<=\n)(?:version|appVersion): {VERSION}",
        rf"ref=v{VERSION}",
        rf"--version {VERSION}",
    )
)


def test_every_place_names_the_version_of_setup_cfg() -> None:
    """Chart, manifests and documentation of a release are about that release."""
    found = {(path, "".join(each)) for path, text in texts().items() for each in re.findall(NAMED, text)}
    assert {version for _, version in found} == {package()["version"]}, sorted(found)
    assert {"docs/install.md", "manifests/base/kustomization.yaml", "manifests/chart/Chart.yaml"} <= {
        path for path, _ in found
    }


def test_the_changelog_has_notes_for_the_version() -> None:
    """Otherwise the tag's workflow stops at its first step."""
    assert notes(release_notes.CHANGELOG.read_text("utf-8"), package()["version"])


def test_the_owner_is_a_placeholder_only_where_the_workflow_replaces_it() -> None:
    """No release carries a URL that leads nowhere."""
    named = {path for path, text in texts().items() if HOME in text}
    workflow = texts()[".github/workflows/release.yml"]
    (line,) = [line for line in workflow.splitlines() if "sed" in line and HOME in line]
    assert named - {".github/workflows/release.yml"} == set(line.split('"')[-1].split())
