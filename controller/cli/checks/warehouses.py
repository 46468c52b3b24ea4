"""Warehouses that no event reaches, and refreshes that Kargo leaves lying."""

import re
from collections.abc import Collection, Iterable, Sequence

from controller.cli.checks.findings import Finding, counted, ok, warning
from controller.cli.explanation import Subscription
from controller.kargo.warehouse import Warehouse
from controller.refreshing.near_misses import shown
from controller.repositories.azure import azure_git_key
from controller.repositories.keys import event_keys, is_azure, subscription_key
from controller.repositories.normalize import normalize_git

PATIENCE = 300.0
"""Seconds that Kargo may take for a refresh: it takes some, unless its controller is down or overloaded."""
SPELLING = {
    "image": "write REGISTRY.azurecr.io/REPOSITORY, with no https:// before and no slash after it",
    "chart": "write oci://REGISTRY.azurecr.io/REPOSITORY, "
    "since ACR sends no events for charts at https:// or /helm/v1/repo",
    "git": "write https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY",
}
"""How to write a subscription to a repository in Azure, as the chart's admission policies have it too."""

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?(?P<host>[^/:?#]+)(?::\d+(?=/|$))?/?(?P<path>.*)")
_REGISTRY = re.compile(r"[a-z0-9.-]+\.azurecr\.(?:io|cn|us|de)")
_DEVOPS = re.compile(r"(?:ssh\.)?dev\.azure\.com|(?:[a-z0-9-]+\.)+visualstudio\.com")


def judge(
    subscriptions: Sequence[Subscription], everywhere: bool, projects: Collection[str]
) -> list[Finding]:
    """Judge what Warehouses subscribe to.

    ``everywhere``: a receiver covers all Projects; ``projects`` are those that have one of their own.
    """
    misspelled: dict[str, list[str]] = {}
    uncovered: dict[str, str] = {}
    azure = set()
    for each in subscriptions:
        name = f"{each.warehouse.namespace}/{each.warehouse.name}"
        advice = hopeless(each.kind, each.url)
        if advice:
            misspelled.setdefault(advice, []).append(f"{name} {each.kind} {shown(each.url)}")
        elif not is_azure(each.key):
            continue
        azure.add(name)
        if not everywhere and each.warehouse.namespace not in projects:
            uncovered[name] = each.warehouse.namespace
    found = [
        warning(
            "Warehouses",
            f"{counted(len(spellings), 'subscription')} can never match an event",
            advice,
            spellings,
        )
        for advice, spellings in misspelled.items()
    ]
    if uncovered:
        many, where = counted(len(uncovered), "Warehouse"), counted(len(set(uncovered.values())), "Project")
        text = f"no receiver covers {many} with Azure subscriptions in {where}"
        do = "add an Azure receiver to each Project's ProjectConfig, or one to the ClusterConfig"
        found.append(warning("Warehouses", text, do, uncovered))
    if not found:
        found.append(ok("Warehouses", f"{len(azure)} with Azure subscriptions, all of them covered"))
    return found


def hopeless(kind: str, url: str) -> str:
    """Return how to spell a subscription that can't match any event of Azure; empty if this one can."""
    match = _URL.fullmatch(url.strip().lower())
    if match is None:
        return ""
    host, path = match["host"], match["path"]
    if _REGISTRY.fullmatch(host):
        if path and subscription_key(kind, url) in event_keys("image", f"{host}/{path}"):
            return ""
        return SPELLING[kind]
    if kind == "git" and _DEVOPS.fullmatch(host) and azure_git_key(normalize_git(url)) is None:
        return SPELLING[kind]
    return ""


def judge_refreshes(warehouses: Iterable[Warehouse], now: float, namespace: str) -> list[Finding]:
    """Judge which refreshes Kargo has not picked up; ``now`` is a Unix time, ``namespace`` Kargo's."""
    late = [each for each in warehouses if each.requested and now - each.refreshed > PATIENCE]
    if not late:
        return [ok("refreshes", "Kargo has picked up all that are older than 5 minutes")]
    since = [now - each.refreshed for each in late if each.refreshed]
    age = f", the oldest for {_age(max(since))}" if since else ""
    text = f"Kargo has not picked up the refresh of {counted(len(late), 'Warehouse')}{age}"
    do = f"is Kargo's controller running, one for each shard? kubectl get deployments -n {namespace}"
    return [warning("refreshes", text, do, [f"{each.namespace}/{each.name}" for each in late])]


def _age(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3_600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} min"
