"""NOTES.txt: what to do next, with the user's own names, in commands that fit what was installed."""

import re
import shlex
from typing import Any

import pytest
import yaml

from e2e.controlplane import ControlPlane
from tests.manifests.parity import HOST
from tests.support.chart import CHART, RELEASE, Helm, Values, hooks_apart
from tests.support.manifests import of_kind, workload

pytestmark = pytest.mark.integration


def notes_of(helm: Helm, plane: ControlPlane, values: Values, namespace: str) -> str:
    """The notes of an installation that changes nothing; Helm 3 makes even that with a cluster only."""
    # --take-ownership: that cluster has the receiver's rights already.
    flags = ("-n", namespace, "--dry-run=client", "--take-ownership")
    printed = helm.on(plane.kubeconfig)("install", RELEASE, str(CHART), *flags, values=values)
    return printed.partition("NOTES:\n")[2]


MODES = [
    pytest.param({}, "kargo", id="beside"),
    pytest.param({"baseUrl": HOST, "ingress": {"enabled": True}}, "kargo", id="beside-routed"),
    pytest.param(
        {"mode": "in-place", "baseUrl": HOST, "persistence": {"enabled": True}}, "kargo", id="in-place"
    ),
    pytest.param({"mode": "standalone", "baseUrl": HOST}, "trial", id="standalone"),
    pytest.param(
        {"kargo": {"kubeconfigSecret": "control-plane", "namespace": "kargo"}}, "apps", id="elsewhere"
    ),
]


@pytest.mark.parametrize(("values", "namespace"), MODES)
def test_the_notes_name_what_is_there(
    helm: Helm, control_plane: ControlPlane, values: dict[str, Any], namespace: str
) -> None:
    """Each command of NOTES.txt is for the user's own release, namespace, and objects that are rendered."""
    notes = notes_of(helm, control_plane, values, namespace)
    objects, _ = hooks_apart(helm.render(values, namespace))
    kargos = values.get("kargo", {}).get("namespace", namespace)
    main = workload(objects)
    commands = [
        shlex.split(line)
        for line in re.sub(r" \\\n *", " ", notes).splitlines()
        if line.startswith("  ") and line.strip()
    ]
    assert ["helm", "test", RELEASE, "-n", namespace, "--logs"] in commands
    for command in commands:
        if command[0] == "kubectl" and "-n" in command:
            assert command[command.index("-n") + 1] in (kargos, "PROJECT")
    target = f"{main['kind'].lower()}/{main['metadata']['name']}"
    assert ["kubectl", "rollout", "status", target, "-n", kargos] in commands
    assert f"helm uninstall {RELEASE} -n {namespace}" in notes
    assert "<no value>" not in notes
    for rendered in [part for command in commands for part in command if part.endswith("-project-secrets")]:
        assert rendered.partition("=")[2] in [each["metadata"]["name"] for each in objects]
    if (values.get("ingress") or {}).get("enabled"):
        assert "kargo.example.com/azure" in notes


@pytest.mark.parametrize("mode", ["beside", "in-place"])
def test_the_notes_commands_for_the_other_cluster_render(
    helm: Helm, control_plane: ControlPlane, mode: str
) -> None:
    """Rights that are not made in this cluster are made in Kargo's by the command that NOTES.txt shows."""
    values = {"mode": mode, "baseUrl": HOST, "kargo": {"kubeconfigSecret": "control-plane"}}
    notes = notes_of(helm, control_plane, values, "kargo")
    (line,) = re.findall(r"helm (template .*) \| kubectl", re.sub(r" \\\n *", " ", notes))
    arguments = [str(CHART) if part == "CHART" else part for part in shlex.split(line)]
    made = list(yaml.safe_load_all(helm(*arguments)))
    there, _ = hooks_apart(helm.render({"mode": mode, "baseUrl": HOST}))
    wanted = of_kind(there, "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    assert sorted(each["metadata"]["name"] for each in made) == sorted(
        each["metadata"]["name"] for each in wanted
    )
    here, _ = hooks_apart(helm.render(values))
    assert not of_kind(here, "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
