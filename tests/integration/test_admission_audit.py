"""What the warnings of `kubectl apply` leave in the API server's audit log, read back from a real one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import kargo
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.manifests import ROOT

pytestmark = pytest.mark.integration

POLICIES = ROOT / "chart" / "files" / "admission" / "policies.yaml"
AUDIT_POLICY = '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}'
FAILURE = "validation.policy.admission.k8s.io/validation_failure"
"""The annotation that the action Audit writes."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the API server writes its audit log."""
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="module")
def project(announce: Callable[[str], None], log: Path) -> Iterator[Project]:
    """A Project on a control plane that keeps an audit log, with the policies in effect."""
    rules = log.with_name("policy.json")
    rules.write_text(AUDIT_POLICY)
    flags = (f"--audit-policy-file={rules}", f"--audit-log-path={log}")
    with ControlPlane(apiserver_flags=flags, say=announce) as plane:
        kargo.install(plane)
        plane.apply(POLICIES)
        project = Project(plane, "audited").create()

        def warned() -> bool:
            project.add_warehouse("probe", image("https://contoso.azurecr.io/probe"))
            project.delete_warehouse("probe")
            project.put_receivers([{"name": "probe", "azure": {}}])
            project.put_receivers([])
            return {"probe", "audited"} <= {each["objectRef"].get("name") for each in failures(log)}

        eventually(warned)
        yield project


def entries(log: Path) -> list[dict[str, Any]]:
    """Every finished request that the log holds."""
    return [
        each for each in map(json.loads, log.read_text().splitlines()) if each["stage"] == "ResponseComplete"
    ]


def failures(log: Path) -> list[dict[str, Any]]:
    """The requests of which a policy had something to say."""
    return [each for each in entries(log) if FAILURE in each.get("annotations", {})]


def test_a_warning_is_in_the_audit_log_too(project: Project, log: Path) -> None:
    """Who applied what, and what is wrong with it; a password in the URL is not there."""
    project.add_warehouse("app", image("https://user:hunter2@contoso.azurecr.io/app"))
    (entry,) = [each for each in failures(log) if each["objectRef"].get("name") == "app"]
    assert (entry["verb"], entry["user"]["username"]) == ("create", "admin")
    (failure,) = json.loads(entry["annotations"][FAILURE])
    assert failure["policy"] == failure["binding"] == "kargo-azure-receiver-warehouses"
    assert failure["validationActions"] == ["Warn", "Audit"]
    assert "no push to Azure can match the image contoso.azurecr.io/app" in failure["message"]
    assert "hunter2" not in log.read_text()


def test_a_refresh_is_logged_without_a_word_of_the_policies(project: Project, log: Path) -> None:
    """Neither a Warehouse's nor a config's: only a change of spec is looked at."""
    project.add_warehouse("bad", image("https://contoso.azurecr.io/app"))
    project.put_receivers([{"name": "nameless", "azure": {}}])
    known = len(failures(log))
    both = ("warehouse/bad", f"projectconfig/{project.name}")
    project.plane.kubectl("annotate", "-n", project.name, *both, "kargo.akuity.io/refresh=now")
    patched = {each["objectRef"]["resource"] for each in entries(log) if each["verb"] == "patch"}
    assert {"warehouses", "projectconfigs"} <= patched
    assert len(failures(log)) == known
