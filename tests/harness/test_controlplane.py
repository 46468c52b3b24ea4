"""Finding and building the control plane's binaries, with stand-ins for Go and the binaries."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.controlplane import ControlPlaneError, binaries, build, toolchain
from tests.harness.test_processes import gone

VERSIONS = binaries.Versions(go="1.26.0", kubernetes="1.36.3", etcd="3.6.16")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def tools(folder: Path, etcd: str = "3.6.1", kubernetes: str = "1.36.0", kubectl: str = "1.36.9") -> Path:
    script(folder / "etcd", f'echo "etcd Version: {etcd}"')
    script(folder / "kube-apiserver", f'echo "Kubernetes v{kubernetes}"')
    script(folder / "kubectl", f"""echo '{{"clientVersion": {{"gitVersion": "v{kubectl}"}}}}'""")
    return folder


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any of the tools and with an empty cache."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(build, "REPORT_EVERY", 0.05)
    return tmp_path


def test_pinned_versions_are_read_from_go_mod() -> None:
    """What is built is what go.mod pins."""
    pinned = binaries.pinned_versions()
    assert pinned.kubernetes.startswith("1.36.")
    assert pinned.etcd.startswith("3.6.")
    assert pinned.go.startswith("1.26")


def test_nothing_is_found_on_an_empty_machine(machine: Path) -> None:
    """Without assets, tools on PATH or a cache there is nothing to use."""
    assert binaries.find(VERSIONS) is None


def test_tools_on_path_are_used(machine: Path) -> None:
    """Somebody who has the right versions need not build."""
    tools(machine / "bin")
    found = binaries.find(VERSIONS)
    assert found is not None
    assert found.origin == "PATH"
    assert found.apiserver == machine / "bin" / "kube-apiserver"


@pytest.mark.parametrize(
    "versions",
    [
        pytest.param({"etcd": "3.4.30"}, id="etcd-too-old"),
        pytest.param({"kubernetes": "1.35.4"}, id="apiserver-too-old"),
        pytest.param({"kubectl": "1.32.4-dispatcher"}, id="kubectl-too-old"),
        pytest.param({"kubectl": "nonsense"}, id="kubectl-tells-no-version"),
    ],
)
def test_other_versions_on_path_are_left_alone(machine: Path, versions: dict[str, str]) -> None:
    """A tool of another minor version on PATH is not used."""
    tools(machine / "bin", **versions)
    assert binaries.find(VERSIONS) is None


def test_kubebuilder_assets_come_first(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that a user names is taken before PATH and cache."""
    tools(machine / "bin")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tools(machine / "assets")))
    found = binaries.find(VERSIONS)
    assert found is not None
    assert found.etcd == machine / "assets" / "etcd"


def test_incomplete_kubebuilder_assets_are_one_clear_line(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that a user names and that lacks a tool is said to lack it."""
    folder = tools(machine / "assets")
    (folder / "etcd").unlink()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    with pytest.raises(ControlPlaneError, match=r"KUBEBUILDER_ASSETS: .*assets has no etcd$"):
        binaries.find(VERSIONS)


def test_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG specification says, a relative XDG_CACHE_HOME counts as not set."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert binaries.cache_root().is_relative_to(Path.home())


@pytest.mark.parametrize(
    ("printed", "accepted"),
    [
        pytest.param("go1.26.0", True, id="exactly"),
        pytest.param("go1.27.3", True, id="newer"),
        pytest.param("go1.26", True, id="no-patch-number"),
        pytest.param("go1.25.9", False, id="older"),
        pytest.param("go1.9", False, id="older-by-number-not-by-text"),
        pytest.param("devel", False, id="tells-no-version"),
    ],
)
def test_a_go_that_is_too_old_is_not_used(machine: Path, printed: str, *, accepted: bool) -> None:
    """Only a Go that go.mod accepts builds; another comes from PyPI."""
    script(machine / "bin" / "go", f"echo {printed}")
    assert (toolchain.find_go("1.26.0") is not None) is accepted


# A Go that "builds" by writing the three files, leaving caches without write bits as the real one does.
FAKE_GO = """
case "$1" in
env) echo go1.26.8 ;;
list) echo a; echo b; mkdir -p "$GOMODCACHE/x"; echo z > "$GOMODCACHE/x/f"; chmod a-w "$GOMODCACHE/x" ;;
build)
    echo example.org/package
    while [ "$1" != -o ]; do shift; done
    mkdir -p "$2"
    for tool in server kube-apiserver kubectl; do echo '#!/bin/sh' > "$2$tool"; chmod +x "$2$tool"; done ;;
esac
"""


def test_a_build_leaves_only_the_binaries(machine: Path) -> None:
    """After a build the cache holds the binaries, the lock, and nothing else."""
    script(machine / "bin" / "go", FAKE_GO)
    lines: list[str] = []
    target = binaries.cache_folder(VERSIONS)
    build.build(VERSIONS, target, lines.append)
    assert sorted(each.name for each in target.iterdir()) == ["etcd", "kube-apiserver", "kubectl"]
    assert sorted(each.name for each in target.parent.iterdir()) == sorted(["build.lock", target.name])
    assert any("6 GB" in line for line in lines)
    assert binaries.find(VERSIONS) is not None


def test_a_failed_build_says_why_and_leaves_nothing(machine: Path) -> None:
    """The compiler's last lines are shown, and the build's folder is gone."""
    script(
        machine / "bin" / "go", f"if [ $1 = build ]; then echo 'x.go:1: no such thing'; exit 1; fi\n{FAKE_GO}"
    )
    target = binaries.cache_folder(VERSIONS)
    with pytest.raises(ControlPlaneError, match=r"failed while compiling:\n  x.go:1: no such thing"):
        build.build(VERSIONS, target, lambda _: None)
    assert [each.name for each in target.parent.iterdir()] == ["build.lock"]


def test_an_interrupted_build_leaves_nothing(machine: Path) -> None:
    """Ctrl-C while it compiles ends the compilers and removes the build's folder."""
    pid_file = machine / "pid"
    script(
        machine / "bin" / "go",
        f"if [ $1 = build ]; then sh -c 'echo $$ > {pid_file}; sleep 60'; fi\n{FAKE_GO}",
    )
    target = binaries.cache_folder(VERSIONS)

    def interrupt(line: str) -> None:
        if "compiling" in line and pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build.build(VERSIONS, target, interrupt)
    assert time.monotonic() - began < 30  # far less than the compiler's sleep
    assert [each.name for each in target.parent.iterdir()] == ["build.lock"]
    assert gone(int(pid_file.read_text()))


def test_what_a_killed_build_left_is_removed(machine: Path) -> None:
    """The next build clears the folder of one that was killed with -9."""
    script(machine / "bin" / "go", FAKE_GO)
    target = binaries.cache_folder(VERSIONS)
    left = target.parent / "build-killed" / "modules"
    left.mkdir(parents=True)
    build.build(VERSIONS, target, lambda _: None)
    assert not left.parent.exists()


def test_too_little_disk_is_one_clear_line(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that could not finish is not begun."""
    script(machine / "bin" / "go", FAKE_GO)
    usage = shutil.disk_usage(machine)._replace(free=5_500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ControlPlaneError, match=r"needs 6\.5 GB .* has 5\.5 GB free") as caught:
        build.build(VERSIONS, binaries.cache_folder(VERSIONS), lambda _: None)
    assert "\n" not in str(caught.value)


HOLDER = """
import fcntl, pathlib, sys
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
pathlib.Path(sys.argv[2]).touch()
sys.stdin.read()
"""


def test_a_second_build_waits_for_the_first(machine: Path) -> None:
    """Two at once on one machine: the second one says that it waits, and then uses what the first built."""
    script(machine / "bin" / "go", FAKE_GO)
    target = binaries.cache_folder(VERSIONS)
    target.parent.mkdir(parents=True)
    ready = machine / "holds"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLDER,
            str(target.parent / "build.lock"),
            str(ready),
        ],
        stdin=subprocess.PIPE,
    )
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            tools(target)  # the first one finishes
            holder.communicate()

    try:
        deadline = time.monotonic() + 10
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        build.build(VERSIONS, target, say)
    finally:
        holder.kill()
        holder.communicate()
    assert any("another build is under way" in line for line in lines)
    assert not any("Building" in line for line in lines)
