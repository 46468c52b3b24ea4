"""What the end-to-end scenarios' kind cluster asks of kind, kubectl and Docker, with stand-ins for these."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.clusters import kind
from e2e.clusters.kind import NODE_IMAGE, KindKubernetes, options, why_not
from e2e.controlplane import ControlPlaneError

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "kind",
    "clusters": [{"name": "kind", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "kind", "user": {}}],
    "contexts": [{"name": "kind", "context": {"cluster": "kind", "user": "kind"}}],
}
DEPLOYMENT = {
    "kind": "Deployment",
    "spec": {"template": {"spec": {"containers": [{"image": "kargo-azure-receiver:7.0"}]}}},
}

Programs = Callable[..., Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Make programs called kind, kubectl and docker; each notes its arguments in the file returned."""
    monkeypatch.chdir(tmp_path)  # pytest-kind makes a folder where it is
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("KIND_BIN", "KIND_IMAGE", "KIND_KUBECTL_BIN", "RECEIVER_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    calls = tmp_path / "calls"
    calls.touch()

    def make(*, clusters: str = "", kind: str = "", docker: str = "") -> Path:
        (tmp_path / "config.json").write_text(json.dumps(KUBECONFIG))
        (tmp_path / "deployment.json").write_text(json.dumps(DEPLOYMENT))
        answers = {
            "kind": f'{kind}\n[ "$1 $2" = "get clusters" ] && echo "{clusters}"\n'
            "for each; do case $each in --kubeconfig=*)"
            f' cp {tmp_path}/config.json "${{each#*=}}";; esac; done',
            "kubectl": f'case "$*" in *kustomize*) cat {tmp_path}/deployment.json;; esac',
            "docker": docker,
        }
        for name, answer in answers.items():
            program = tmp_path / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n{answer}\nexit ${{CODE:-0}}\n')
            program.chmod(0o755)
        return calls

    return make


def cluster(folder: Path, **given: str | None) -> KindKubernetes:
    return KindKubernetes(options(given, lambda: folder / "none"), folder, lambda _: None)


def no_download(*_: object, **__: object) -> None:
    raise AssertionError("something is downloaded")


def test_nothing_is_downloaded_where_programs_and_images_are_there(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster is made of the pinned node image, the image built under the manifests' name and loaded."""
    monkeypatch.setattr("requests.get", no_download)
    calls = programs()
    made = cluster(tmp_path, cluster_name="mine")
    made.start()
    made.stop()
    lines = calls.read_text().splitlines()
    (create,) = [line for line in lines if line.startswith("kind create cluster --name=mine")]
    assert f"--image={NODE_IMAGE}" in create
    assert "@sha256:" in NODE_IMAGE
    (build,) = [line for line in lines if line.startswith("docker build")]
    assert "--tag kargo-azure-receiver:7.0" in build
    assert "kind load docker-image --name mine kargo-azure-receiver:7.0" in lines
    assert lines[-1].startswith("kind delete cluster --name=mine")
    config = json.loads((tmp_path / "kind.json").read_text())
    (mapping,) = config["nodes"][0]["extraPortMappings"]
    assert made.base_url == f"http://127.0.0.1:{mapping['hostPort']}"


def test_a_given_image_is_not_built(programs: Programs, tmp_path: Path) -> None:
    """``--receiver-image`` is loaded under the name that the manifests ask for."""
    calls = programs()
    cluster(tmp_path, receiver_image="registry.example/receiver:9").start()
    text = calls.read_text()
    assert "docker build" not in text
    assert "docker tag registry.example/receiver:9 kargo-azure-receiver:7.0" in text


def test_a_kept_cluster_stays(programs: Programs, tmp_path: Path) -> None:
    """``--keep-cluster`` leaves it."""
    calls = programs()
    made = cluster(tmp_path, keep_cluster="yes")
    made.start()
    made.stop()
    assert "kind delete" not in calls.read_text()


@pytest.mark.parametrize(
    ("kind_", "docker", "message"),
    [
        pytest.param("", "[ $1 = build ] && { echo full >&2; exit 1; }", "full", id="build"),
        pytest.param("[ $1 = load ] && exit 1", "", "docker-image.*exit status 1", id="load"),
        pytest.param('[ "$1" = create ] && exit 1', "", "create.*exit status 1", id="create"),
    ],
)
def test_a_cluster_whose_start_fails_is_deleted(
    programs: Programs, tmp_path: Path, kind_: str, docker: str, message: str
) -> None:
    """A failed build, load or creation leaves no cluster behind, which the next run would refuse."""
    calls = programs(kind=kind_, docker=docker)
    made = cluster(tmp_path, cluster_name="mine")
    with pytest.raises(ControlPlaneError, match=message):
        made.start()
    made.stop()
    assert "kind delete cluster --name=mine" in calls.read_text()


def test_an_interrupted_start_leaves_no_cluster(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the image is being built: the cluster that was created before is deleted."""

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    calls = programs()
    made = cluster(tmp_path, cluster_name="mine")
    monkeypatch.setattr(made._cluster, "load_docker_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.start()
    made.stop()
    assert "kind delete cluster --name=mine" in calls.read_text()


def test_a_pod_is_killed_by_a_signal_to_its_process(programs: Programs, tmp_path: Path) -> None:
    """``kill`` sends SIGKILL in the node; a forced deletion would let the process end by SIGTERM."""
    calls = programs(docker='case "$*" in *list*) echo c0ffee;; esac')
    cluster(tmp_path, cluster_name="mine").kill("receiver-1")
    asked, killed = calls.read_text().splitlines()
    assert asked.startswith("docker exec mine-control-plane ctr --namespace=k8s.io containers list")
    assert '"io.kubernetes.pod.name"=="receiver-1"' in asked
    assert killed.endswith("ctr --namespace=k8s.io tasks kill --signal=SIGKILL c0ffee")


def test_a_cluster_of_somebody_else_is_left_alone(programs: Programs, tmp_path: Path) -> None:
    """A cluster of that name is neither used nor deleted."""
    calls = programs(clusters="pytest-kind")
    with pytest.raises(ControlPlaneError, match="a kind cluster pytest-kind is there"):
        cluster(tmp_path).start()
    assert "kind create" not in calls.read_text()
    assert "kind delete" not in calls.read_text()


@pytest.mark.parametrize(
    ("docker", "reason"),
    [
        pytest.param("echo 28.1", None, id="works"),
        pytest.param(
            "echo trying >&2; echo 'Cannot connect' >&2; exit 1",
            "Docker does not answer: Cannot connect",
            id="no-daemon",
        ),
        pytest.param("exec sleep 5", "Docker gave no answer within 0.2 s", id="hangs"),
    ],
)
def test_why_kind_can_not_run_is_one_line(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, docker: str, reason: str | None
) -> None:
    """Nobody has to guess why the run on kind was left out."""
    if "sleep" in docker:
        monkeypatch.setattr(kind, "DOCKER_LIMIT", 0.2)
    programs(docker=docker)
    assert why_not() == reason


def test_without_docker_that_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Docker says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not() == "Docker is not installed"


def test_a_kind_that_can_not_be_fetched_is_one_line(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no way to where kind lies, the error says what to give instead."""
    programs()
    made = cluster(tmp_path)

    def refuse() -> None:
        raise OSError("no route to github.com")

    monkeypatch.setattr(made._cluster, "ensure_kind", refuse)
    with pytest.raises(ControlPlaneError, match=r"--kind-bin takes one\): no route to github.com"):
        made.start()
