"""Which values of the chart mean the same as which overlay, or combination of components, of kustomize."""

from collections.abc import Mapping
from typing import Any, NamedTuple

HOST = "https://kargo.example.com"
PARENTS = [{"name": "kargo", "namespace": "kargo"}]
QUEUES = [
    "https://contoso.queue.core.windows.net/kargo-events;project=shop",
    "https://fabrikam.queue.core.windows.net/all",
]
CLIENT_ID = "6f1c2f5e-3f0b-4f5e-9a53-0c1d7a2b9e11"
RUNBOOKS = "https://example.com/kargo-azure-receiver/docs/operations.md"


class Case(NamedTuple):
    """The chart's values, and the components and own values of where-kargo-is that mean the same.

    No components: the overlay of the case's name.
    """

    values: Mapping[str, Any]
    namespace: str = "kargo"
    components: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}


def _route(kind: str, base_url: str) -> dict[str, Any]:
    parents = {"parentRefs": PARENTS} if kind == "httpRoute" else {}
    return {"baseUrl": base_url, kind: {"enabled": True, **parents}}


OVERLAYS = {
    "admission-warnings": Case({"admissionWarnings": {"enabled": True}}),
    "base": Case({}),
    "flowschema": Case({"flowSchema": {"enabled": True}}),
    "gateway": Case(_route("httpRoute", HOST)),
    "gateway-base-path": Case(_route("httpRoute", f"{HOST}/webhooks")),
    "ingress": Case(_route("ingress", HOST)),
    "ingress-base-path": Case(_route("ingress", f"{HOST}/webhooks")),
    "kubeconfig": Case({"kargo": {"kubeconfigSecret": "kargo-kubeconfig"}}),
    "monitoring": Case({"monitoring": {"enabled": True}}),
    "own-serviceaccount": Case({"mode": "in-place", "baseUrl": HOST}),
    "persistent-journal": Case({"persistence": {"enabled": True}}),
    "runbooks": Case({"monitoring": {"enabled": True}, "runbookBaseUrl": RUNBOOKS}),
    "standalone": Case({"mode": "standalone", "baseUrl": HOST}, namespace="kargo-azure-receiver"),
    "tls": Case({"tls": {"enabled": True, "certManager": {"enabled": True}}}),
    "tls-secret": Case({"tls": {"enabled": True}}),
}

COMBINATIONS = {
    "everything-beside": Case(
        {
            "baseUrl": "https://hooks.example.org/webhooks",
            "kargo": {"release": "second"},
            "ingress": {"enabled": True},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]},
            "tls": {"enabled": True, "certManager": {"enabled": True}},
            "persistence": {"enabled": True},
            "monitoring": {"enabled": True, "silenceAlert": True},
            "runbookBaseUrl": "https://wiki.example.org/receiver",
            "flowSchema": {"enabled": True},
            "admissionWarnings": {"enabled": True},
            "queues": {"urls": QUEUES},
            "workloadIdentity": {"clientId": CLIENT_ID},
        },
        namespace="elsewhere",
        components=(
            "ingress",
            "gateway",
            "tls",
            "tls-cert-manager",
            "persistent-journal",
            "monitoring",
            "silence-alert",
            "runbooks",
            "flowschema",
            "admission-warnings",
            "queue",
            "workload-identity",
        ),
        settings={
            "namespace": "elsewhere",
            "release": "second",
            "host": "hooks.example.org",
            "path": "/webhooks/azure",
            "gateway": "public",
            "gatewayNamespace": "gateways",
            "runbookBaseUrl": "https://wiki.example.org/receiver",
            "queues": " ".join(QUEUES),
            "workloadIdentityClientId": CLIENT_ID,
        },
    ),
    "a-queue-instead-of-a-way-in": Case(
        {"queues": {"urls": QUEUES[:1], "existingSecret": "storage-account"}},
        components=("queue", "queue-secret"),
        settings={"queues": QUEUES[0], "queueSecret": "storage-account"},
    ),
    "in-place-routed-with-tls-and-disk": Case(
        {
            "mode": "in-place",
            "baseUrl": HOST,
            "kargo": {"systemResourcesNamespace": "system-secrets"},
            "ingress": {"enabled": True},
            "tls": {"enabled": True},
            "persistence": {"enabled": True},
            "queues": {"existingSecret": "sas"},
        },
        components=("own-serviceaccount", "ingress", "tls", "persistent-journal", "queue-secret"),
        settings={"systemResourcesNamespace": "system-secrets", "queueSecret": "sas"},
    ),
    "in-place-of-a-kargo-elsewhere": Case(
        {
            "mode": "in-place",
            "baseUrl": HOST,
            "kargo": {"kubeconfigSecret": "control-plane"},
            "persistence": {"enabled": True},
        },
        components=("own-serviceaccount", "kubeconfig", "persistent-journal"),
        settings={"kubeconfigSecret": "control-plane"},
    ),
    "standalone-monitored": Case(
        {"mode": "standalone", "baseUrl": HOST, "monitoring": {"enabled": True}},
        namespace="kargo-azure-receiver",
        components=("own-serviceaccount", "monitoring", "standalone"),
    ),
}

CASES = OVERLAYS | COMBINATIONS

CHART_ONLY: dict[str, Any] = {
    "baseUrl": f"{HOST}/webhooks",
    "kargo": {"release": "2"},  # text that YAML could take for a number
    "image": {
        "repository": "contoso.azurecr.io/receiver",
        "digest": f"sha256:{'a' * 64}",
        "pullSecrets": [{"name": "registry"}],
        "pullPolicy": "Always",
    },
    "resources": {"limits": {"memory": "1Gi"}},
    "affinity": {"podAntiAffinity": {}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "priorityClassName": "system-cluster-critical",
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
    "labels": {"team": "platform"},
    "podLabels": {"cost": "1"},
    "podAnnotations": {"note": "x"},
    "settings": {"LOG_LEVEL": "debug", "PUBLISH_STATUS": False, "REFRESH_CONCURRENCY": 2000000},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/use-regex": "true"},
        "path": "/webhooks/azure/[0-9a-f]+",
        "pathType": "ImplementationSpecific",
        "tlsSecret": "kargo-ingress-cert",
    },
    "httpRoute": {"enabled": True, "annotations": {"note": "x"}, "parentRefs": [{"name": "public"}]},
    "tls": {
        "enabled": True,
        "secretName": "public-cert",
        "certManager": {
            "enabled": True,
            "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"},
            "dnsNames": ["kargo.example.com"],
        },
    },
    "persistence": {"enabled": True, "storageClassName": "managed-csi", "size": "2Gi"},
    "queues": {"urls": QUEUES},
    "networkPolicy": {"monitoringNamespace": "prometheus", "apiServerPorts": [8443]},
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
}
"""What kustomize leaves to patches of the user's."""
