"""The pages against what they name: links, headings, files, metrics, and this program's flags."""

import re
from pathlib import Path

import prometheus_client
import pytest

from controller.__main__ import parser
from controller.observability.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "manifests" / "chart" / "README.md"]
PREFIX = "kargo_azure_receiver_"


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file, and to a heading of it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_exists(page: Path) -> None:
    """Those of which a page gives the path from the repository's root."""
    folders = "controller|webhook|e2e|tests|manifests|docs|.ci|.github".replace(".", r"\.")
    for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_exists(page: Path) -> None:
    """Under its whole name; a histogram's parts count as it."""
    registry = prometheus_client.CollectorRegistry()
    Metrics(registry, version="0")
    names = {sample.name for metric in registry.collect() for sample in metric.samples}
    names |= {f"{metric.name}{end}" for metric in registry.collect() for end in ("", "_total", "_bucket")}
    for name in re.findall(rf"{PREFIX}[a-z_]*[a-z]", page.read_text()):
        assert name in names, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_of_this_program_is_understood(page: Path) -> None:
    """Every flag of each is one of the command's."""
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    assert commands
    for line in page.read_text().replace("\\\n", " ").splitlines():
        for command, rest in re.findall(rf"kargo-azure-receiver ({'|'.join(commands)})\b([^`#|]*)", line):
            known = commands[command].format_help()  # type: ignore[index]
            for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", rest):
                assert flag in known or command == "send", f"{command} {flag}"
