"""Helm for the tests: the user's if it fits, else built once; where it can't be had one line says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlaneError
from e2e.tools import helm

BUILDS = """case $1 in
env) echo go1.99.0;;
install) mkdir -p "$GOBIN"; echo "$@" >> "$0.log"; echo '#!/bin/sh' > "$GOBIN/helm"; chmod +x "$GOBIN/helm";;
esac"""


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A machine with an empty cache, and of programs only a shell's and those that are put on it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HELM_MAJOR", raising=False)

    def put(name: str, script: str) -> Path:
        program = programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return put


def test_it_is_built_once(put: Callable[[str, str], Path], tmp_path: Path) -> None:
    """From the pinned module, into the cache, and nothing else is left there."""
    go = put("go", BUILDS)
    said: list[str] = []
    found = helm.ensure(said.append)
    assert found == tmp_path / "cache" / "kargo-azure-receiver" / f"helm-{helm.VERSIONS['4']}" / "helm"
    assert helm.ensure(said.append) == found
    (asked,) = Path(f"{go}.log").read_text().splitlines()
    assert asked.endswith(f" helm.sh/helm/v4/cmd/helm@{helm.VERSIONS['4']}")
    assert len([line for line in said if line.startswith("Building helm")]) == 1
    assert sorted(path.name for path in found.parents[1].iterdir()) == [
        f"helm-{helm.VERSIONS['4']}",
        "helm.lock",
    ]


def test_helm_3_is_built_where_it_is_asked_for(
    put: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HELM_MAJOR=3: another module, another place."""
    monkeypatch.setenv("HELM_MAJOR", "3")
    go = put("go", BUILDS)
    assert helm.VERSIONS["3"] in str(helm.ensure(print))
    assert "helm.sh/helm/v3/cmd/helm@v3" in Path(f"{go}.log").read_text()


@pytest.mark.parametrize(("version", "taken"), [("v4.0.1", True), ("v3.19.0", False), ("", False)])
def test_helm_on_path_is_taken_if_its_major_version_fits(
    put: Callable[[str, str], Path], version: str, taken: bool
) -> None:
    """The user's own Helm of another major version renders and installs differently."""
    put("go", BUILDS)
    users = put("helm", f"echo {version}")
    assert (helm.ensure(print) == users) is taken


def test_a_failed_build_is_one_line(put: Callable[[str, str], Path], tmp_path: Path) -> None:
    """Go's last words, and nothing is kept."""
    put("go", "case $1 in env) echo go1.99.0;; *) echo 'go: module lookup disabled'; exit 1;; esac")
    with pytest.raises(
        ControlPlaneError, match=r"building \S+helm@v4\.3\.2 failed: go: module lookup disabled"
    ):
        helm.ensure(print)
    assert [path.name for path in (tmp_path / "cache" / "kargo-azure-receiver").iterdir()] == ["helm.lock"]


def test_another_major_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what there is."""
    monkeypatch.setenv("HELM_MAJOR", "2")
    with pytest.raises(ControlPlaneError, match="HELM_MAJOR is 2: choose one of 3, 4"):
        helm.ensure(print)
