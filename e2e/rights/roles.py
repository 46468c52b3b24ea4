"""Roles, the rights that they give, and taking some away for a while."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from e2e.clusters import Cluster
from e2e.clusters.cluster import NAMESPACE, SERVICE_ACCOUNT, SYSTEM_NAMESPACE
from e2e.controlplane.waiting import eventually

GROUP = "kargo.akuity.io"
GROUPS = {"secrets": "", "events": "", "leases": "coordination.k8s.io"}


class Role(NamedTuple):
    """A ClusterRole, or (``namespace``) a Role."""

    name: str
    namespace: str = ""

    def arguments(self) -> tuple[str, ...]:
        """How kubectl is asked for it."""
        if self.namespace:
            return ("role", self.name, "-n", self.namespace)
        return ("clusterrole", self.name)


class Right(NamedTuple):
    """One verb on one resource, and the role that gives it."""

    role: Role
    resource: str
    verb: str


OURS = Role("kargo-azure-receiver")
LEASES = Role("kargo-azure-receiver-leases", NAMESPACE)
KARGOS = Role("kargo-external-webhooks-server")
PROJECT_SECRETS = Role("kargo-project-secrets-reader")
SYSTEM_SECRETS = Role("kargo-system-resources-reader", SYSTEM_NAMESPACE)


@contextlib.contextmanager
def taken_away(cluster: Cluster, *rights: Right, project: str = "") -> Iterator[None]:
    """Take rights out of their roles, and give them back at the end; ``project`` is where it is looked."""
    originals = {right.role: cluster.get(*right.role.arguments()) for right in rights}
    try:
        for role, original in originals.items():
            gone = {(right.resource, right.verb) for right in rights if right.role == role}
            _replace(cluster, {**original, "rules": _rules_without(original["rules"], gone)})
        for right in rights:
            eventually(lambda right=right: not allowed(cluster, right, project), 10)  # type: ignore[misc]
        yield
    finally:
        for original in originals.values():
            _replace(cluster, original)


def allowed(cluster: Cluster, right: Right, project: str) -> bool:
    """Ask the API server whether the ServiceAccount has a right, in ``project`` if it is one of Projects'."""
    resource, _, subresource = right.resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
            "resourceAttributes": {
                "verb": right.verb,
                "group": GROUPS.get(resource, GROUP),
                "resource": resource,
                "subresource": subresource,
                "namespace": project if right.role == PROJECT_SECRETS else right.role.namespace,
            },
        },
    }
    printed = cluster.kubectl(
        "create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review)
    )
    return printed == "true"


def rights_of(cluster: Cluster, role: Role) -> set[Right]:
    """Every right that a role gives."""
    return {
        Right(role, resource, verb)
        for rule in cluster.get(*role.arguments())["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _rules_without(rules: list[dict[str, Any]], gone: set[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": verbs}
        for rule in rules
        for resource in rule["resources"]
        if (verbs := [verb for verb in rule["verbs"] if (resource, verb) not in gone])
    ]


def _replace(cluster: Cluster, role: dict[str, Any]) -> None:
    metadata = {key: value for key, value in role["metadata"].items() if key != "resourceVersion"}
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps({**role, "metadata": metadata}))
