"""The workflows of GitHub Actions, which run nowhere but there, as their linter reads them."""

import subprocess
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlaneError
from e2e.tools import go_program

ROOT = Path(__file__).parents[2]
PACKAGE, VERSION = "github.com/rhysd/actionlint/cmd/actionlint", "v1.7.12"


def test_workflows_are_well_formed(capsys: pytest.CaptureFixture[str]) -> None:
    """Syntax, expressions, inputs of actions, needs, permissions, and shell scripts."""
    try:
        with capsys.disabled():
            actionlint = go_program.ensure(PACKAGE, VERSION, print, cost="a minute")
    except ControlPlaneError as error:
        pytest.skip(str(error))
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert len(workflows) >= 2
    done = subprocess.run([actionlint, *workflows], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
