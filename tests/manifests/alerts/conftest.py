"""promtool, and the rules as it wants them."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.controlplane import ControlPlaneError
from e2e.tools import prometheus
from tests.support.manifests import ROOT

RULES = sorted((ROOT / "chart" / "files").rglob("prometheusrule.yaml"))
"""Those that are always loaded, and those that are chosen."""


def groups() -> list[dict[str, Any]]:
    """All groups of rules."""
    return [group for file in RULES for group in yaml.safe_load(file.read_text("utf-8"))["spec"]["groups"]]


def rules() -> list[dict[str, Any]]:
    """All alerting rules."""
    return [rule for group in groups() for rule in group["rules"]]


@pytest.fixture(scope="session")
def promtool(announce: Callable[[str], None]) -> Path:
    """The program; where it can't be had the tests are skipped with the reason, in CI they fail."""
    try:
        return prometheus.ensure(announce).promtool
    except ControlPlaneError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    """The PrometheusRules' content in a file of Prometheus's own format."""
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups()}))
    return file


def run(promtool: Path, *arguments: str) -> tuple[bool, str]:
    """Run promtool; return whether it was content, and what it printed."""
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0, done.stdout + done.stderr
