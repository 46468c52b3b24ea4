"""What `kubectl apply` warns of where the policies are installed, on a real API server."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import yaml

from controller.cli.checks.warehouses import SPELLING
from controller.repositories.azure import azure_git_key
from controller.repositories.keys import event_keys, subscription_key
from controller.repositories.normalize import normalize_git
from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import API_VERSION, Project, chart, git, image
from tests.support.manifests import ROOT

POLICIES = ROOT / "chart" / "files" / "admission" / "policies.yaml"

MATCHING = [
    ("image", "contoso.azurecr.io/app"),
    ("image", "contoso.azurecr.io/team/app_1.x-y"),
    ("image", "contoso.azurecr.io:443/app"),
    ("image", "contoso.azurecr.io/app:1.0"),
    ("image", f"contoso.azurecr.io/app@sha256:{'a' * 64}"),
    ("image", "contoso.westeurope.geo.azurecr.io/app"),
    ("image", "contoso.azurecr.cn/app"),
    ("image", "contoso.azurecr.io/Team/App"),
    ("image", "Contoso.azurecr.io/app"),
    ("chart", "oci://contoso.azurecr.io/charts/app"),
    ("chart", "oci://Contoso.azurecr.io/Charts/App"),
    ("chart", "contoso.azurecr.io/charts/app"),
    ("chart", "oci://contoso.azurecr.io:443/app"),
    ("git", "https://dev.azure.com/contoso/shop/_git/app"),
    ("git", "https://dev.azure.com/contoso/_git/app"),
    ("git", "https://user:token@dev.azure.com/contoso/My Shop/_git/my%20app.git"),
    ("git", "https://dev.azure.com/contoso/DefaultCollection/shop/_git/app/"),
    ("git", "https://DEV.azure.com/Contoso/Shop/_GIT/App"),
    ("git", "https://dev.azure.com/contoso/shop/_git/_full/app"),
    ("git", "https://contoso.visualstudio.com/shop/_git/app"),
    ("git", "https://contoso.visualstudio.com/_git/app"),
    ("git", "https://contoso.visualstudio.com/DefaultCollection/shop/_git/_optimized/app"),
    ("git", "git@ssh.dev.azure.com:v3/contoso/shop/app"),
    ("git", "ssh://git@ssh.dev.azure.com/v3/contoso/shop/app"),
    ("git", "ssh://git@ssh.dev.azure.com:22/v3/contoso/My%20Shop/app"),
    ("git", "contoso@vs-ssh.visualstudio.com:v3/contoso/shop/app"),
    ("git", "ssh://contoso@vs-ssh.visualstudio.com:22/shop/_ssh/app"),
    ("git", "ssh://contoso@contoso.visualstudio.com:22/shop/_git/app"),
]

NEVER_MATCHING = [
    ("image", "https://contoso.azurecr.io/app"),
    ("image", "http://contoso.azurecr.io/app"),
    ("image", "oci://contoso.azurecr.io/app"),
    ("image", "contoso.azurecr.io/app/"),
    ("image", "user@contoso.azurecr.io/app"),
    ("image", "contoso.azurecr.io:5000/app"),
    ("image", "contoso.azurecr.io"),
    ("chart", "https://contoso.azurecr.io/app"),
    ("chart", "https://contoso.azurecr.io/helm/v1/repo"),
    ("chart", "https://user:token@contoso.azurecr.io/helm/v1/repo"),
    ("chart", "http://contoso.azurecr.us/helm/v1/repo/"),
    ("chart", "oci://contoso.azurecr.io/app/"),
    ("chart", "oci://contoso.azurecr.io"),
    ("git", "https://dev.azure.com/contoso/shop/app"),
    ("git", "https://dev.azure.com/contoso/shop"),
    ("git", "https://dev.azure.com/contoso/one/two/three/_git/app"),
    ("git", "https://dev.azure.com/contoso/shop/_git/app?version=GBmain"),
    ("git", "https://dev.azure.com/contoso/shop/_git/app/more"),
    ("git", "https://user:token@dev.azure.com/contoso/shop/app"),
    ("git", "https://contoso.visualstudio.com/shop/app"),
    ("git", "https://ssh.dev.azure.com/v3/contoso/shop/app"),
    ("git", "git@ssh.dev.azure.com:contoso/shop/app"),
    ("git", "ssh://git@ssh.dev.azure.com/v3/contoso/app"),
]

ELSEWHERE = [
    ("image", "https://ghcr.io/app"),
    ("image", "contoso.azurecr.io.evil.example/App/"),
    ("image", "nginx"),
    ("chart", "https://charts.example.com/helm/v1/repo"),
    ("chart", "https://charts.example.com/contoso.azurecr.io/app"),
    ("git", "https://github.com/contoso/app"),
    ("git", "https://dev.azure.com.evil.example/contoso/app"),
    ("git", "https://git.example.com/dev.azure.com/app"),
]

_SUBSCRIPTION = {"image": image, "chart": chart, "git": git}
_ACR = re.compile(r"(?i)(?:[a-z]+://)?(?:[^/@]*@)?([^/@:]+\.azurecr\.[a-z]+)(?::\d+)?(?:/(.*))?")


def can_match(kind: str, url: str) -> bool:
    """Whether an event of that repository in Azure finds the subscription, by the receiver's own keys."""
    if kind == "git":
        return azure_git_key(normalize_git(url)) is not None
    found = _ACR.fullmatch(url)
    assert found is not None
    repository = re.split("[:@]", (found[2] or "").strip("/").lower())[0]
    return subscription_key(kind, url) in event_keys("image", f"{found[1].lower()}/{repository}")


def dry_run(plane: ControlPlane, verb: str, what: object) -> list[str]:
    """What kubectl warns of; an object that is refused fails the test."""
    done = subprocess.run(
        [plane.binaries.kubectl, "--kubeconfig", plane.kubeconfig, verb, "--dry-run=server", "-f", "-"],
        input=json.dumps(what),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]


def config(kind: str, *receivers: object) -> dict[str, Any]:
    """A ProjectConfig or ClusterConfig."""
    metadata = {"name": "cluster"} if kind == "ClusterConfig" else {"name": "x", "namespace": "default"}
    spec = {"webhookReceivers": list(receivers)}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def warehouse(*subscriptions: object) -> dict[str, Any]:
    """A Warehouse."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Warehouse",
        "metadata": {"name": f"w-{uuid4().hex}", "namespace": "default"},
        "spec": {"subscriptions": list(subscriptions)},
    }


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the policies, which take effect a moment after they are made."""
    control_plane.apply(POLICIES)
    bad = warehouse(image("https://contoso.azurecr.io/app"))
    eventually(lambda: dry_run(control_plane, "create", bad))
    eventually(lambda: dry_run(control_plane, "create", config("ProjectConfig", {"name": "a", "azure": {}})))
    yield control_plane
    control_plane.kubectl("delete", "-f", str(POLICIES))


@pytest.mark.parametrize(("kind", "url"), NEVER_MATCHING)
def test_a_spelling_that_no_event_matches_is_warned_of(plane: ControlPlane, kind: str, url: str) -> None:
    """The receiver's own keys say the same; credentials in the URL are not repeated."""
    assert not can_match(kind, url)
    (warning,) = dry_run(plane, "create", warehouse(_SUBSCRIPTION[kind](url)))
    assert re.search(r"no push to Azure can match the .*: write ", warning), warning
    assert warning.endswith(SPELLING[kind]), "doctor says the same"
    assert "contoso" in warning.lower()
    assert "token" not in warning


def test_spellings_that_match_are_not_warned_of(plane: ControlPlane) -> None:
    """All in one Warehouse; the receiver's own keys say the same."""
    assert [each for each in MATCHING if not can_match(*each)] == []
    assert dry_run(plane, "create", warehouse(*(_SUBSCRIPTION[kind](url) for kind, url in MATCHING))) == []


def test_other_hosts_are_nobodys_business(plane: ControlPlane) -> None:
    """Look-alikes too."""
    assert dry_run(plane, "create", warehouse(*(_SUBSCRIPTION[kind](url) for kind, url in ELSEWHERE))) == []


def test_one_warning_a_kind_names_them_all(plane: ControlPlane) -> None:
    """A Warehouse with several: the message says which, and what to write."""
    found = dry_run(
        plane,
        "create",
        warehouse(
            image("https://contoso.azurecr.io/a"),
            image("contoso.azurecr.io/b"),
            image("https://contoso.azurecr.io/c"),
            git("https://dev.azure.com/contoso/shop/app"),
        ),
    )
    images, repositories = found
    assert "the image contoso.azurecr.io/a, contoso.azurecr.io/c: write REGISTRY" in images
    assert "the Git repository dev.azure.com/contoso/shop/app: write https://dev.azure.com/" in repositories


@pytest.mark.parametrize("kind", ["ProjectConfig", "ClusterConfig"])
@pytest.mark.parametrize(
    ("receiver", "words"),
    [
        ({"azure": {}}, "set azure.secretRef.name"),
        ({"azure": {"secretRef": {}}}, "set azure.secretRef.name"),
        ({"azure": {"secretRef": {"name": ""}}}, "set azure.secretRef.name"),
        (
            {"azure": {"secretRef": {"name": "s"}}, "harbor": {"secretRef": {"name": "s"}}},
            "make one entry of each",
        ),
    ],
)
def test_a_receiver_that_does_not_work_is_warned_of(
    plane: ControlPlane, kind: str, receiver: dict[str, Any], words: str
) -> None:
    """By its name, among others that are well."""
    well = {"name": "well", "azure": {"secretRef": {"name": "s"}}}
    other = {"name": "other", "github": {"secretRef": {"name": ""}}}
    (warning,) = dry_run(plane, "create", config(kind, well, {"name": "wrong", **receiver}, other))
    assert "receiver wrong" in warning
    assert words in warning
    assert dry_run(plane, "create", config(kind, well, other)) == []


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(None, id="no-spec"),
        pytest.param({}, id="empty"),
        pytest.param({"subscriptions": None, "webhookReceivers": None}, id="null"),
        pytest.param({"subscriptions": [1, "a", None], "webhookReceivers": [1, "a", None]}, id="no-objects"),
        pytest.param(
            {"subscriptions": [{"image": 1}, {"git": {"repoURL": 5}}], "webhookReceivers": [{"azure": 1}]},
            id="wrong-types",
        ),
        pytest.param({"subscriptions": "x", "webhookReceivers": {"a": "b"}}, id="no-lists"),
        pytest.param(
            {"subscriptions": [{"git": {"repoURL": "https://dev.azure.com/" + "a" * 100_000}}] * 10},
            id="too-expensive",
        ),
    ],
)
def test_nothing_is_ever_refused(plane: ControlPlane, spec: object) -> None:
    """Whatever the policies can't read, or not within their budget, is let pass."""
    for made in (warehouse(), config("ProjectConfig"), config("ClusterConfig")):
        dry_run(plane, "create", {**made, "spec": spec})  # asserts that it is accepted


def test_a_refresh_is_not_warned_of_and_a_change_of_spec_is(plane: ControlPlane, project: Project) -> None:
    """What the receiver and Kargo write leaves spec alone."""
    project.add_warehouse("app", image("https://contoso.azurecr.io/app"))
    arguments = [str(plane.binaries.kubectl), "--kubeconfig", str(plane.kubeconfig), "-n", project.name]

    def stderr(*more: str) -> str:
        done = subprocess.run([*arguments, *more], capture_output=True, text=True, timeout=60, check=True)
        return done.stderr

    assert stderr("annotate", "warehouse", "app", "kargo.akuity.io/refresh=now") == ""
    status = '{"status": {"lastHandledRefresh": "now"}}'
    patch = ("patch", "warehouse", "app", "--type=merge")
    assert stderr(*patch, "--subresource=status", "-p", status) == ""
    assert project.refresh("app") == "now"
    assert "Warning: " in stderr(*patch, "-p", '{"spec": {"interval": "1h"}}')


def test_an_invalid_policy_refuses_nothing(plane: ControlPlane) -> None:
    """One that fails at each evaluation, as with an API server that reads an expression differently."""
    policy, binding = list(yaml.safe_load_all(POLICIES.read_text()))[-2:]
    for each in (policy, binding):
        each["metadata"]["name"] = "broken"
    binding["spec"]["policyName"] = "broken"
    policy["spec"]["variables"] = []
    policy["spec"]["validations"] = [
        {"expression": "object.spec.nowhere.to.be.found == 1"},
        {"expression": "false", "message": "read"},
    ]
    both = yaml.safe_dump_all([policy, binding])
    plane.apply(both)
    try:
        warnings = eventually(lambda: dry_run(plane, "create", warehouse()))
        assert [each for each in warnings if each.endswith(": read")] == warnings
    finally:
        plane.kubectl("delete", "-f", "-", stdin=both)
