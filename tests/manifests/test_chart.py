"""What the chart promises beside its objects: it refuses what is wrong, and says what to do next."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.controlplane import ControlPlaneError
from e2e.tools import chart as chart_tool
from tests.manifests.parity import CHART_ONLY, CLIENT_ID, HOST, PARENTS, QUEUES
from tests.support import settings
from tests.support.chart import CHART, Helm, HelmError, Values, hooks_apart
from tests.support.manifests import of_kind, workload

OURS = "kargo-azure-receiver"
DIGEST = f"sha256:{'a' * 64}"


def refusal(helm: Helm, values: Values) -> str:
    """What Helm says of values that it refuses, without its own advice to users of --debug."""
    with pytest.raises(HelmError) as caught:
        helm.render(values)
    return str(caught.value).partition("\n\nUse --debug flag")[0]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"mode": "aside"}, "/mode", id="mode"),
        *[
            pytest.param({section: None}, section, id=f"{section}-left-blank")  # Helm deletes it
            for section in json.loads((CHART / "values.schema.json").read_text())["required"]
        ],
        pytest.param({"baseUrl": "kargo.example.com"}, "/baseUrl", id="url-without-scheme"),
        pytest.param({"baseUrl": f"{HOST}/webhooks?x=1"}, "/baseUrl", id="url-with-query"),
        pytest.param({"replicas": 0}, "/replicas", id="no-replica"),
        pytest.param({"replicas": "two"}, "/replicas", id="text-for-a-number"),
        pytest.param({"ingress": {"enabled": "yes"}}, "/ingress/enabled", id="text-for-a-switch"),
        pytest.param({"ingres": {"enabled": True}}, "'ingres'", id="unknown-key"),
        pytest.param({"tls": {"secret": "x"}}, "'secret'", id="unknown-key-below"),
        pytest.param({"image": {"digest": "sha256:1"}}, "/image/digest", id="digest"),
        pytest.param({"image": {"pullSecrets": ["x"]}}, "/image/pullSecrets/0", id="pull-secret"),
        pytest.param({"settings": {"log-level": "x"}}, "log-level", id="setting-that-is-no-variable"),
        pytest.param({"labels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name", id="our-label"),
        pytest.param({"persistence": {"size": "much"}}, "/persistence/size", id="size"),
        pytest.param({"runbookBaseUrl": "docs/operations.md"}, "/runbookBaseUrl", id="relative-runbook"),
        pytest.param({"queues": {"urls": ["http://x/q"]}}, "/queues/urls/0", id="queue-in-clear"),
        pytest.param(
            {"queues": {"urls": ["https://x/q;project=A"]}}, "/queues/urls/0", id="queue-of-no-project"
        ),
        pytest.param({"workloadIdentity": {"clientId": "me"}}, "/workloadIdentity/clientId", id="client-id"),
        pytest.param({"kargo": {"namespace": "No_Name"}}, "/kargo/namespace", id="namespace"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, values: Values, named: str) -> None:
    """values.schema.json finds it, and the message says which value it is."""
    message = refusal(helm, values)
    assert "values don't meet the specifications of the schema" in message
    assert named.removeprefix("/").replace("/", ".") in message.replace("/", ".")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"mode": "in-place"}, "mode in-place needs baseUrl", id="in-place-without-url"),
        pytest.param({"mode": "standalone"}, "mode standalone needs baseUrl", id="standalone-without-url"),
        pytest.param({"ingress": {"enabled": True}}, "need baseUrl", id="ingress-without-url"),
        pytest.param(
            {"httpRoute": {"enabled": True, "parentRefs": PARENTS}}, "need baseUrl", id="route-without-url"
        ),
        pytest.param(
            {"baseUrl": "https://10.0.0.1", "ingress": {"enabled": True}},
            "DNS name",
            id="ingress-of-an-address",
        ),
        pytest.param(
            {"baseUrl": HOST, "httpRoute": {"enabled": True}}, "httpRoute.parentRefs", id="no-gateway"
        ),
        pytest.param(
            {"tls": {"certManager": {"enabled": True}}}, "needs tls.enabled", id="unused-certificate"
        ),
        pytest.param(
            {"kargo": {"kubeconfigSecret": "x"}, "flowSchema": {"enabled": True}},
            "flowSchema.enabled can't be combined with kargo.kubeconfigSecret",
            id="flow-schema-of-another-cluster",
        ),
        pytest.param(
            {"kargo": {"kubeconfigSecret": "x"}, "admissionWarnings": {"enabled": True}},
            "admissionWarnings.enabled can't be combined with kargo.kubeconfigSecret",
            id="warnings-in-another-cluster",
        ),
        pytest.param(
            {"mode": "standalone", "baseUrl": HOST, "kargo": {"kubeconfigSecret": "x"}},
            "mode standalone can't be combined with kargo.kubeconfigSecret",
            id="standalone-elsewhere",
        ),
        pytest.param(
            {"mode": "standalone", "baseUrl": HOST, "kargo": {"namespace": "kargo"}},
            "mode standalone can't be combined with kargo.namespace",
            id="standalone-in-kargos-namespace",
        ),
        pytest.param(
            {"settings": {"DATA_DIR": "/x"}}, "settings.DATA_DIR is made by the chart", id="setting"
        ),
        pytest.param(
            {"settings": {"AZURE_QUEUES": "https://x/q"}},
            "settings.AZURE_QUEUES is made",
            id="queue-as-setting",
        ),
        pytest.param(
            {"queues": {"urls": ["https://x/q", "https://x/r?sig=hidden"]}},
            "queues.urls[1] holds a SAS",
            id="sas-in-clear",
        ),
        pytest.param(
            {"workloadIdentity": {"clientId": CLIENT_ID}},
            "workloadIdentity.clientId needs queues.urls",
            id="unused-identity",
        ),
    ],
)
def test_a_bad_combination_is_one_line(helm: Helm, values: Values, words: str) -> None:
    """Values that are right by themselves and wrong together fail when the chart is rendered."""
    message = refusal(helm, values)
    assert words in message
    assert "\n" not in message
    assert "hidden" not in message


def test_the_schema_knows_exactly_the_values() -> None:
    """No value without a rule, and no rule for a value that is not there."""
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert sorted(_keys_of_schema(schema)) == sorted([*_keys(values, schema), "global"])


def _keys_of_schema(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, child in schema["properties"].items():
        yield f"{prefix}{key}"
        if "properties" in child:
            yield from _keys_of_schema(child, f"{prefix}{key}.")


def _keys(values: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        child = schema["properties"].get(key, {})
        if "properties" in child:
            yield from _keys(value, child, f"{prefix}{key}.")


def test_readme_and_links_are_current() -> None:
    """The table of values and the alerts' links follow values.yaml and the alerts."""
    stale = [path for path, text in chart_tool.current().items() if path.read_text("utf-8") != text]
    assert not stale, "run: make chart"


def test_a_value_without_a_comment_is_an_error() -> None:
    """Nobody adds a value and forgets to say what it is."""
    with pytest.raises(ControlPlaneError, match="a\\.b has no comment"):
        list(chart_tool.documented("a:\n  b: 1\n"))


def test_artifact_hub_can_read_its_annotations() -> None:
    """Those that hold YAML are valid, and changes are of kinds that exist."""
    notes = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["annotations"]
    assert all(isinstance(text, str) for text in notes.values())
    for each in yaml.safe_load(notes["artifacthub.io/changes"]):
        assert each["kind"] in ("added", "changed", "deprecated", "removed", "fixed", "security")
    assert all(each["url"].startswith("https://") for each in yaml.safe_load(notes["artifacthub.io/links"]))


def test_helm_finds_nothing_to_complain_about(helm: Helm) -> None:
    """``helm lint --strict``."""
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        pytest.param({"repository": "r.io/x", "tag": "1.2"}, "r.io/x:1.2", id="tag"),
        pytest.param({"repository": "r.io/x", "digest": DIGEST}, f"r.io/x@{DIGEST}", id="digest"),
        pytest.param(
            {"repository": "r.io/x", "tag": "1.2", "digest": DIGEST}, f"r.io/x:1.2@{DIGEST}", id="both"
        ),
    ],
)
def test_image_by_tag_or_digest(helm: Helm, image: dict[str, str], reference: str) -> None:
    """The receiver and the Pod of `helm test` run the same image."""
    objects, (test,) = hooks_apart(helm.render({"image": image}))
    for pod in (workload(objects)["spec"]["template"], test):
        assert pod["spec"]["containers"][0]["image"] == reference


def test_what_only_the_chart_has(helm: Helm) -> None:
    """Pull secrets, resources, where Pods may run, more variables, labels and annotations arrive."""
    objects, _ = hooks_apart(helm.render(CHART_ONLY))
    assert all(each["metadata"]["labels"]["team"] == "platform" for each in objects)
    pod = workload(objects)["spec"]["template"]
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "kargo-azure-receiver", "cost": "1"}
    assert pod["metadata"]["annotations"]["note"] == "x"
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    for name in ("affinity", "nodeSelector", "tolerations", "priorityClassName"):
        assert spec[name] == CHART_ONLY[name]
    assert container["env"][-1] == {"name": "HTTPS_PROXY", "value": "http://proxy"}
    (given,) = [each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"] == OURS]
    assert given["data"] == {
        "LOG_LEVEL": "debug",
        "PUBLISH_STATUS": "false",
        "REFRESH_CONCURRENCY": "2000000",
    }


@pytest.mark.parametrize("mode", ["beside", "in-place", "standalone"])
def test_queues_are_read_as_an_identity(helm: Helm, mode: str) -> None:
    """The receiver reads what the chart sets; in every mode the ServiceAccount stays as it is."""
    values = {"queues": {"urls": QUEUES}, "workloadIdentity": {"clientId": CLIENT_ID}}
    objects = helm.render({"mode": mode, "baseUrl": HOST, **values})
    pod = workload(objects)["spec"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    env = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert env["AZURE_CLIENT_ID"] == CLIENT_ID
    read = settings.parse(["--publish-status=false"], {"AZURE_QUEUES": env["AZURE_QUEUES"]}).queues
    assert [(each.name, each.project) for each in read] == [
        ("queue:contoso/kargo-events", "shop"),
        ("queue:fabrikam/all", ""),
    ]
    assert not any("annotations" in each["metadata"] for each in of_kind(objects, "ServiceAccount"))


@pytest.mark.parametrize(("queues", "ports"), [([], [8443]), (QUEUES, [8443, 443])])
def test_a_queue_opens_the_way_to_azure(helm: Helm, queues: list[str], ports: list[int]) -> None:
    """Where the API server's ports are others, 443 is open only if there are queues."""
    policy = {"networkPolicy": {"apiServerPorts": [8443]}, "queues": {"urls": queues}}
    (found,) = of_kind(helm.render(policy), "NetworkPolicy")
    assert [each["port"] for each in found["spec"]["egress"][-1]["ports"]] == ports


def test_an_ingress_as_kargos_own_is(helm: Helm) -> None:
    """Class, annotations, certificate, and a path that beats regular expressions of the same host."""
    (ingress,) = of_kind(helm.render(CHART_ONLY), "Ingress")
    assert ingress["metadata"]["annotations"] == CHART_ONLY["ingress"]["annotations"]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": ["kargo.example.com"], "secretName": "kargo-ingress-cert"}]
    ((path,),) = [rule["http"]["paths"] for rule in ingress["spec"]["rules"]]
    assert (path["path"], path["pathType"]) == ("/webhooks/azure/[0-9a-f]+", "ImplementationSpecific")


def test_a_change_of_the_settings_restarts_the_pods(helm: Helm) -> None:
    """The receiver reads its settings at the start only."""
    checksums = {
        workload(helm.render({"settings": {"LOG_LEVEL": level}}))["spec"]["template"]["metadata"][
            "annotations"
        ]["checksum/settings"]
        for level in ("debug", "info")
    }
    assert len(checksums) == 2


def test_the_service_never_picks_the_test_pod(helm: Helm) -> None:
    """No selector of ours matches the Pod of `helm test`: it would get a share of the requests."""
    objects, (test,) = hooks_apart(helm.render({"monitoring": {"enabled": True}}))
    labels = test["metadata"]["labels"].items()
    for service in of_kind(objects, "Service"):
        assert not service["spec"]["selector"].items() <= labels


@pytest.mark.parametrize("url", ["", "https://wiki.example.org/receiver/operations.md"])
def test_alerts_and_dashboard_lead_to_the_runbook(helm: Helm, url: str) -> None:
    """By an absolute URL, to the alert's own paragraph; without one there are no links."""
    objects = helm.render({"monitoring": {"enabled": True}, "runbookBaseUrl": url})
    (rules,) = of_kind(objects, "PrometheusRule")
    for rule in itertools.chain.from_iterable(group["rules"] for group in rules["spec"]["groups"]):
        expected = f"{url}#{rule['alert'].lower()}" if url else None
        assert rule["annotations"].get("runbook_url") == expected
    (board,) = [
        json.loads(each["data"]["kargo-azure-receiver.json"]) for each in of_kind(objects, "ConfigMap")
    ]
    assert [link["url"] for link in board.get("links", [])] == ([url] if url else [])
