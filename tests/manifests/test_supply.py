"""What the image is built from: locked, hashed, complete; and what the audit and the SBOM say of it."""

import configparser
import http.server
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from e2e.controlplane.ports import free_ports
from e2e.tools import audit, sbom

ROOT = Path(__file__).parents[2]
PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?: ; [^\\]+)?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)


def wanted() -> list[Requirement]:
    """What setup.cfg says that the receiver needs, with the extra that is in the image."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", "utf-8")
    text = settings["options"]["install_requires"] + settings["options.extras_require"]["queue"]
    return [Requirement(line) for line in text.split("\n") if line]


def locked(name: str) -> dict[str, Version]:
    """The versions in a lock by package; fails for a line that is no pin with hashes."""
    text = (ROOT / name).read_text("utf-8")
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            pin = PIN.fullmatch(line)
            assert pin is not None, line[:100]
            found[pin["name"]] = Version(pin["version"])
    return found


@pytest.mark.parametrize("requirement", [pytest.param(each, id=each.name) for each in wanted()])
def test_the_lock_satisfies_setup_cfg(requirement: Requirement) -> None:
    """What the image gets is what the project asks for: `make lock` was not forgotten."""
    version = locked("requirements.lock").get(canonicalize_name(requirement.name))
    assert version is not None
    assert version in requirement.specifier


def test_the_lock_is_complete() -> None:
    """With --require-hashes, pip takes nothing that the lock does not name, however indirect the need."""
    versions = locked("requirements.lock")
    todo, seen = wanted(), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        assert name in versions
        if name not in seen:
            seen.add(name)
            needs = [Requirement(line) for line in importlib.metadata.requires(name) or []]
            todo += [each for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]


def test_the_build_lock_satisfies_pyproject() -> None:
    """The build takes nothing from elsewhere either."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    versions = locked("requirements-build.lock")
    for requirement in map(Requirement, needs):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


# -- audit


class Answers(http.server.BaseHTTPRequestHandler):
    """A mirror of PyPI: without the JSON API, with nonsense, with other data, or silent."""

    def do_GET(self) -> None:
        release: threading.Event = self.server.release  # type: ignore[attr-defined]
        if self.path == "/silent":
            release.wait(30)
        self.send_response(200 if self.path in ("/html", "/other") else 404)
        self.end_headers()
        self.wfile.write(b"{}" if self.path == "/other" else b"<html>")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.release = threading.Event()  # type: ignore[attr-defined]
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.release.set()  # type: ignore[attr-defined]
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("/missing", "HTTP status 404", id="no-api"),
        pytest.param("/html", "the answer is not JSON", id="html"),
        pytest.param("/other", "the answer has no such data", id="no-data"),
        pytest.param("/silent", "no answer within 0.5 s", id="silent"),
    ],
)
def test_without_data_the_audit_is_skipped_with_one_line(mirror: str, path: str, reason: str) -> None:
    """No data is not taken for no vulnerability, and a network that says nothing holds up nobody."""
    said: list[str] = []
    began = time.monotonic()
    assert audit.audit(said.append, probe=mirror + path, seconds=0.5) == 0
    assert time.monotonic() - began < 5
    assert len(said) == 1
    assert said[0].startswith("pip-audit: skipped, ")
    assert reason in said[0]


def test_without_network_the_audit_is_skipped_with_one_line() -> None:
    """A refused connection is no failure of the check."""
    said: list[str] = []
    assert audit.audit(said.append, probe=f"http://127.0.0.1:{free_ports(1)[0]}/", seconds=5) == 0
    assert [line.startswith("pip-audit: skipped, ") for line in said] == [True]


CLEAN = {"name": "yarl", "version": "1.0", "vulns": []}
FLAWED = {"name": "tornado", "version": "6.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["6.1", "7.0"]}]}
SKIPPED = "skipped, since PyPI's data on vulnerabilities can't be reached: "
UNKNOWN = {"name": "uvloop", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "lines"),
    [
        pytest.param([CLEAN], 0, ["1 locked packages checked, 0 vulnerabilities known"], id="clean"),
        pytest.param(
            [CLEAN, FLAWED],
            1,
            ["tornado 6.0: PYSEC-1, fixed in 6.1, 7.0", "2 locked packages checked, 1 vulnerabilities known"],
            id="flawed",
        ),
        pytest.param(
            [CLEAN, UNKNOWN],
            0,
            [
                "1 locked packages checked, 0 vulnerabilities known",
                "not checked, since PyPI does not know them: uvloop",
            ],
            id="some-unknown",
        ),
        pytest.param(
            [UNKNOWN],
            0,
            [SKIPPED + "it knows none of the locked packages"],
            id="all-unknown",
        ),
    ],
)
def test_what_the_audit_says(dependencies: list[dict[str, Any]], code: int, lines: list[str]) -> None:
    """A known vulnerability fails the check and names the way out; what was not looked at is said."""
    said: list[str] = []
    assert audit.tell(dependencies, said.append) == code
    assert said == [f"pip-audit: {line}" for line in lines]


# -- SBOM


@pytest.mark.skipif(importlib.util.find_spec("cyclonedx_py") is None, reason="needs the extra `supply`")
def test_the_sbom_lists_what_the_lock_pins(tmp_path: Path) -> None:
    """Every package with its version and hashes, and the receiver itself as what they make up."""
    sbom.write(tmp_path / "sbom.json")
    bill = json.loads((tmp_path / "sbom.json").read_text("utf-8"))
    listed = {each["name"]: Version(each["version"]) for each in bill["components"]}
    assert listed == locked("requirements.lock")
    assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])
    assert bill["metadata"]["component"]["name"] == "kargo-azure-receiver"
    sbom.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "sbom.json").read_bytes()


def test_the_package_holds_the_page(tmp_path: Path) -> None:
    """Templates, style sheet and icon are in the wheel of which the image is made."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("controller", "webhook"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        tmp_path,
        source,
    ]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"webhook/admin/templates/{path.name}" for path in (ROOT / "webhook/admin/templates").iterdir()}
    assert len(wanted) > 5
    assert wanted <= packed
