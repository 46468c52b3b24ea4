"""What e2e.tools fetches is what was pinned, and where it can't be had one line says so."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlaneError
from e2e.tools import crds, prometheus

MODULE = crds.Module("example.com/some/thing", "v1.0.0", "h1:right=", ("crds/a.yaml",))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A machine with an empty cache and no programs but those that are put on it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(name: str, script: str) -> None:
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    return put


def go(folder: Path, total: str) -> str:
    """A stand-in for Go that has the module, with this sum."""
    archive = folder / "module.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("example.com/some/thing@v1.0.0/crds/a.yaml", "kind: A")
    answer = json.dumps({"Zip": str(archive), "Sum": total})
    return f"case $1 in env) echo go1.99.0;; *) echo '{answer}';; esac"


def test_crds_are_taken_out_of_the_module_once(
    machine: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named files come out of the module; the next time nothing is fetched."""
    machine("go", go(tmp_path, "h1:right="))
    monkeypatch.setattr(crds, "MODULES", (MODULE,))
    said: list[str] = []
    (file,) = crds.ensure(said.append)
    assert file.read_text() == "kind: A"
    assert len(said) == 1
    machine("go", "exit 1")
    assert crds.ensure(said.append) == [file]
    assert len(said) == 1


def test_a_module_with_another_content_is_refused(
    machine: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sum that is not the pinned one is an error that names both, and nothing is kept."""
    machine("go", go(tmp_path, "h1:wrong="))
    monkeypatch.setattr(crds, "MODULES", (MODULE,))
    with pytest.raises(ControlPlaneError, match="has the sum h1:wrong=, expected h1:right="):
        crds.ensure(lambda line: None)
    assert not list(tmp_path.glob("cache/**/*.yaml"))


def test_prometheus_on_path_is_used(machine: Callable[[str, str], None], tmp_path: Path) -> None:
    """Somebody who has Prometheus need not fetch it."""
    machine("prometheus", "")
    machine("promtool", "")
    assert prometheus.ensure(pytest.fail).promtool == tmp_path / "bin" / "promtool"


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        pytest.param([], "install Prometheus", id="no-apt-get"),
        pytest.param(["apt-get", "dpkg-deb"], "cannot download the package", id="no-network"),
    ],
)
def test_no_prometheus_is_one_line(
    machine: Callable[[str, str], None], programs: list[str], message: str
) -> None:
    """What is missing and what to do about it."""
    for program in programs:
        machine(program, "exit 1")
    with pytest.raises(ControlPlaneError, match=message) as caught:
        prometheus.ensure(lambda line: None)
    assert "\n" not in str(caught.value)
