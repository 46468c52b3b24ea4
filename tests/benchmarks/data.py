"""The Warehouses of the benchmark: 8 KB each, nearly all of it status, three subscriptions, some shared."""

import random
from dataclasses import dataclass
from typing import Any

REGISTRY = "contoso.azurecr.io"
ORGANIZATION = "https://dev.azure.com/contoso"
NAMESPACES = 100
HOT = 50
"""Warehouses that a burst is about."""
FAN_OUTS = (1_000, 10_000)
"""So many of the first Warehouses share a repository: a Git one and a chart."""
SHARED_EVERY, SHARED_BY = 10, 5
"""Of every ten Warehouses, five share a Git repository."""


@dataclass(frozen=True)
class Seed:
    """Where a Warehouse is, and the image repository that is its alone."""

    namespace: str
    name: str
    repository: str


def seed(number: int) -> Seed:
    """The Warehouse of this number."""
    return Seed(f"bench-{number % NAMESPACES:02d}", f"warehouse-{number:06d}", f"team/app-{number:06d}")


def subscriptions(number: int) -> list[dict[str, Any]]:
    """An image, a Git repository and a chart."""
    if number < FAN_OUTS[0]:
        repository = "fleet"
    elif number % SHARED_EVERY < SHARED_BY:
        repository = f"shared-{number // SHARED_EVERY:05d}"
    else:
        repository = f"app-{number:06d}"
    chart = "common" if number < FAN_OUTS[1] else f"app-{number:06d}"
    return [
        {"image": {"repoURL": f"{REGISTRY}/{seed(number).repository}", "semverConstraint": "^1.0.0"}},
        {"git": {"repoURL": f"{ORGANIZATION}/platform/_git/{repository}", "branch": "main"}},
        {"chart": {"repoURL": f"oci://{REGISTRY}/charts/{chart}", "semverConstraint": "*"}},
    ]


def warehouse(number: int) -> dict[str, Any]:
    """The whole object, with the status that Kargo's discovery leaves."""
    of = seed(number)
    return {
        "apiVersion": "kargo.akuity.io/v1alpha1",
        "kind": "Warehouse",
        "metadata": {"name": of.name, "namespace": of.namespace},
        "spec": {
            "freightCreationPolicy": "Automatic",
            "interval": "5m0s",
            "subscriptions": subscriptions(number),
        },
        "status": status(number),
    }


def status(number: int, *, turn: int = 0) -> dict[str, Any]:
    """A status of discovered artifacts; another ``turn`` is another discovery."""
    dice = random.Random(number * 1_000 + turn)
    image, git, chart = subscriptions(number)
    when = f"2026-11-{turn % 28 + 1:02d}T10:{number % 60:02d}:00Z"
    return {
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": "ArtifactsDiscovered",
                "message": "Successfully discovered artifacts from 3 subscriptions",
                "lastTransitionTime": when,
                "observedGeneration": 1,
            }
            for kind in ("Healthy", "Ready")
        ],
        "discoveredArtifacts": {
            "discoveredAt": when,
            "git": [
                {
                    "repoURL": git["git"]["repoURL"],
                    "commits": [
                        {
                            "id": f"{dice.getrandbits(160):040x}",
                            "branch": "main",
                            "subject": f"Merge pull request {dice.randrange(100_000)} from feature branch",
                            "author": "A Developer <developer@contoso.example>",
                            "committer": "Azure DevOps <noreply@contoso.example>",
                            "creatorDate": when,
                        }
                        for _ in range(12)
                    ],
                }
            ],
            "images": [
                {
                    "repoURL": image["image"]["repoURL"],
                    "platform": "linux/amd64",
                    "references": [
                        {
                            "tag": f"1.{dice.randrange(100)}.{release}",
                            "digest": f"sha256:{dice.getrandbits(256):064x}",
                            "createdAt": when,
                        }
                        for release in range(20)
                    ],
                }
            ],
            "charts": [
                {
                    "repoURL": chart["chart"]["repoURL"],
                    "versions": [f"0.{dice.randrange(100)}.{release}" for release in range(20)],
                }
            ],
        },
        "lastFreightID": f"{dice.getrandbits(160):040x}",
        "lastHandledRefresh": "",
        "observedGeneration": 1,
    }


def promotion(number: int) -> dict[str, Any]:
    """A finished Promotion, as a year of work leaves them behind."""
    of = seed(number)
    dice = random.Random(number)
    steps = ("git-clone", "kustomize-set-image", "git-commit", "git-push", "argocd-update")
    return {
        "apiVersion": "kargo.akuity.io/v1alpha1",
        "kind": "Promotion",
        "metadata": {"name": f"stage.{dice.getrandbits(128):032x}", "namespace": of.namespace},
        "spec": {
            "stage": "stage",
            "freight": f"{dice.getrandbits(160):040x}",
            "steps": [{"uses": step, "as": step, "config": {"path": "./out"}} for step in steps],
        },
        "status": {
            "phase": "Succeeded",
            "currentStep": len(steps) - 1,
            "finishedAt": "2026-11-01T10:00:00Z",
            "state": {step: {"commit": f"{dice.getrandbits(160):040x}"} for step in steps},
        },
    }
