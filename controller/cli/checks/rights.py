"""The rights of the receiver's ServiceAccount: which it has, which it lacks, and what suffers."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from controller.cli.checks.findings import Finding, Level, ok, some, unread
from controller.cluster.access import review
from controller.cluster.leases import LEASES
from controller.kargo.objects import (
    CLUSTER_CONFIGS,
    EVENTS,
    PROJECT_CONFIGS,
    PROMOTIONS,
    SECRETS,
    WAREHOUSES,
)
from controller.runtime.api.client import Client
from controller.runtime.api.resource import Resource

AT_ONCE = 8
"""Questions at the same time."""
MOST_NAMESPACES = 200
"""Namespaces of Secrets that are asked about, at three questions each: the same binding gives them all."""
KARGOS = "Kargo's chart gives it to this ServiceAccount: is its external-webhooks-server installed?"
OURS = "apply this project's RBAC (the chart, or manifests/base/rbac.yaml)"
PROJECTS = (
    "Kargo's management controller binds kargo-project-secrets-reader in each Project: is it running? "
    "Without Kargo, bind it yourself"
)


class Right(NamedTuple):
    """Verbs on one resource, needed for one purpose."""

    verbs: tuple[str, ...]
    resource: Resource
    loss: str
    """What suffers without one of them."""
    do: str
    level: Level = Level.WARNING
    """How bad it is not to have it."""
    namespace: str = ""
    """Empty: in all namespaces, or cluster-scoped."""
    subresource: str = ""


class Account(NamedTuple):
    """Whose rights are looked at."""

    namespace: str
    name: str
    itself: bool
    """Whether the command runs as this account."""


def needed(receiver_namespace: str, secret_namespaces: Iterable[str], system_namespace: str) -> list[Right]:
    """Return all rights that the receiver makes use of.

    ``secret_namespaces`` are those in which receivers' Secrets are; the first MOST_NAMESPACES count.
    """
    follow, status = ("list", "watch"), ("patch",)
    rights = [
        Right(follow, WAREHOUSES, "the receiver does not become ready", KARGOS, Level.ERROR),
        Right(("patch",), WAREHOUSES, "no push refreshes anything", KARGOS, Level.ERROR),
        Right(follow, PROJECT_CONFIGS, "the receiver does not become ready", KARGOS, Level.ERROR),
        Right(follow, CLUSTER_CONFIGS, "ClusterConfig's receivers are not served", KARGOS),
        Right((*follow, "patch"), PROMOTIONS, "ended pull requests wake no Promotion", KARGOS),
        Right(status, PROJECT_CONFIGS, "status shows no URL and no fault", OURS, subresource="status"),
        Right(status, CLUSTER_CONFIGS, "status shows no URL and no fault", OURS, subresource="status"),
        Right(("create",), EVENTS, "there are no Events about faulty receivers", OURS),
        Right(
            ("list", "create", "patch", "delete"),
            LEASES,
            "nothing is caught up after an outage",
            OURS,
            namespace=receiver_namespace,
        ),
    ]
    for namespace in islice(secret_namespaces, MOST_NAMESPACES):
        do = KARGOS if namespace == system_namespace else PROJECTS
        loss = "receivers there are not served"
        rights.append(Right(("get", *follow), SECRETS, loss, do, Level.ERROR, namespace))
    return rights


async def check(client: Client, account: Account, rights: Sequence[Right]) -> list[Finding]:
    """Return one finding for each right."""
    found: list[Finding] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(right: Right, verb: str) -> bool:
        async with turns:
            other = None if account.itself else (account.namespace, account.name)
            return await review(client, verb, right.resource, right.namespace, right.subresource, other)

    do = "run it as an administrator, or in the receiver's Pod with --in-cluster"
    with unread(found, "rights", do):
        questions = [(right, verb) for right in rights for verb in right.verbs]
        answers = await asyncio.gather(*(ask(*question) for question in questions))
        lacked = {question for question, allowed in zip(questions, answers, strict=True) if not allowed}
        found += judge(lacked, rights)
    return found


def judge(lacked: Collection[tuple[Right, str]], rights: Sequence[Right]) -> list[Finding]:
    """Return a finding for each right, one for those that differ by the namespace alone.

    ``lacked`` holds (right, verb).
    """
    alike: dict[tuple[Right, tuple[str, ...]], list[str]] = {}
    for right in rights:
        missing = tuple(verb for verb in right.verbs if (right, verb) in lacked)
        alike.setdefault((right._replace(namespace=""), missing), []).append(right.namespace)
    return [_judged(right, missing, namespaces) for (right, missing), namespaces in alike.items()]


def _judged(right: Right, missing: Sequence[str], namespaces: Sequence[str]) -> Finding:
    what = f"{right.resource.plural}/{right.subresource}" if right.subresource else right.resource.plural
    if any(namespaces):
        what += f" in namespace {some(namespaces)}"
    if not missing:
        return ok("rights", f"may {', '.join(right.verbs)} {what}")
    return Finding(right.level, "rights", f"may not {', '.join(missing)} {what}: {right.loss}", right.do)
