"""Kargo and the receiver as they are installed: versions, CRDs, settings, Pods."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from controller.cli import setting_values
from controller.cli.checks.findings import NO_ACCESS, Finding, Level, error, ok, some, unread, warning
from controller.cli.cluster import every
from controller.kargo.objects import (
    CLUSTER_CONFIGS,
    PROJECT_CONFIGS,
    PROMOTIONS,
    WAREHOUSES,
    field,
    items,
)
from controller.runtime.api.client import Client
from controller.runtime.api.errors import ApiError, Forbidden, NotFound
from controller.runtime.api.resource import Resource

DEPLOYMENTS = Resource("apps", "v1", "deployments")
PODS = Resource("", "v1", "pods")
CONFIG_MAPS = Resource("", "v1", "configmaps")
KARGOS_CONFIG_MAP, OUR_CONFIG_MAP = "kargo-external-webhooks-server", "kargo-azure-receiver"
BASE_URL, SYSTEM_NAMESPACE = "EXTERNAL_WEBHOOK_SERVER_BASE_URL", "SYSTEM_RESOURCES_NAMESPACE"
NAME, COMPONENT, VERSION = (f"app.kubernetes.io/{label}" for label in ("name", "component", "version"))
APPLICATION = "kargo-azure-receiver"

OLDEST = (1, 9)
"""Before it Kargo had other names of namespaces and labels."""
PROMOTIONS_WOKEN = (1, 10)
"""Since then Kargo looks at a Promotion whose refresh annotation changes."""
RUN_AS_ADMINISTRATOR = "run doctor with an administrator's rights to have it checked"

_NUMBERS = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.\d.*)?")


async def crds(client: Client) -> tuple[list[Finding], bool]:
    """Return findings about Kargo's kinds, and whether the cluster has those that all depends on."""
    found: list[Finding] = []
    there, missing, unread_kinds = [], [], []
    for resource in (WAREHOUSES, PROJECT_CONFIGS, CLUSTER_CONFIGS, PROMOTIONS):
        try:
            await client.list_page(resource, limit=1)
        except NotFound:
            missing.append(resource)
        except Forbidden:
            unread_kinds.append(resource)
        except NO_ACCESS:
            raise
        except ApiError as fault:
            found.append(error("CRDs", str(fault), "look at the API server"))
        else:
            there.append(resource)
    usable = not {WAREHOUSES, PROJECT_CONFIGS} & set(missing)
    if missing:
        text = f"the cluster has no {_kinds(missing)}"
        do = "install Kargo, or is it another cluster's kubeconfig?"
        found.append(Finding(Level.WARNING if usable else Level.ERROR, "CRDs", text, do))
    if unread_kinds:
        text = f"not checked: you lack the right to list {_kinds(unread_kinds)} in all namespaces"
        found.append(warning("CRDs", text, RUN_AS_ADMINISTRATOR))
    if there:
        found.insert(0, ok("CRDs", _kinds(there)))
    return found, usable


def _kinds(resources: Sequence[Resource]) -> str:
    return f"{', '.join(each.plural for each in resources)} of {resources[0].group}"


async def deployments(client: Client, namespace: str) -> list[Finding]:
    """Return findings about Kargo's version, and whether its controllers run."""
    found: list[Finding] = []
    with unread(found, "Kargo", RUN_AS_ADMINISTRATOR):
        found += judge_deployments(
            [_any(each) for each in await every(client, DEPLOYMENTS, namespace)], namespace
        )
    return found


def judge_deployments(found: Sequence[Any], namespace: str) -> list[Finding]:
    """Judge the Deployments of Kargo's namespace."""
    kargos = [
        each for each in found if _labels(each).get(NAME) == "kargo" or _image(each)[0].endswith("/kargo")
    ]
    if not kargos:
        text = f"there is no Deployment of Kargo in namespace {namespace}"
        return [warning("Kargo", text, "name the namespace of Kargo's chart with --kargo-namespace")]
    versions = sorted({_labels(each).get(VERSION) or _image(each)[1] or "unknown" for each in kargos})
    judged = [judge_version(version) for version in versions]
    if len(versions) > 1:
        text = f"its Deployments have several versions: {some(versions)}"
        judged.append(warning("Kargo", text, "finish the upgrade of Kargo"))
    idle = [
        _name(each)
        for each in kargos
        if _labels(each).get(COMPONENT) in ("controller", "management-controller")
        and not field(field(each, "status"), "readyReplicas")
    ]
    if idle:
        text = f"not running: {some(idle)}: nobody picks up refreshes, or binds new Projects' Secrets"
        judged.append(error("Kargo", text, f"kubectl get deployments,pods -n {namespace}"))
    return judged


def judge_version(version: str) -> Finding:
    """Return whether a version of Kargo is supported."""
    numbers = _NUMBERS.fullmatch(version)
    if numbers is None:
        text = f"version {version}: not known whether it is supported"
        return warning("Kargo", text, "supported is 1.9 and newer: check which release this is")
    number = int(numbers[1]), int(numbers[2])
    if number < OLDEST:
        text = f"version {version} is not supported: it names namespaces and labels otherwise"
        return error("Kargo", text, "upgrade Kargo to 1.9 or newer")
    if number < PROMOTIONS_WOKEN:
        text = f"version {version}: Warehouses are refreshed, Promotions are not woken"
        return warning("Kargo", text, "upgrade Kargo to 1.10 or newer if you wait on pull requests")
    return ok("Kargo", f"version {version} is supported")


async def replicas(client: Client, namespace: str) -> list[Finding]:
    """Return findings about the receiver's Pods."""
    found: list[Finding] = []
    with unread(found, "receiver's Pods", RUN_AS_ADMINISTRATOR):
        found += judge_pods([_any(each) for each in await every(client, PODS, namespace)], namespace)
    return found


def judge_pods(found: Sequence[Any], namespace: str) -> list[Finding]:
    """Judge the Pods of the receiver's namespace."""
    subject, selector = "receiver's Pods", f"-n {namespace} -l {NAME}={APPLICATION}"
    ours = [
        each
        for each in found
        if _labels(each).get(NAME) == APPLICATION
        and field(field(each, "status"), "phase") not in ("Succeeded", "Failed")
    ]
    if not ours:
        text = f"there is none in namespace {namespace}"
        return [error(subject, text, "install the receiver, or name its namespace with --kargo-namespace")]
    versions = sorted({_pod_version(each) for each in ours})
    late = [_name(each) for each in ours if not _ready(each)]
    judged = []
    if len(late) == len(ours):
        judged.append(error(subject, f"none is ready: {some(late)}", f"kubectl describe pods {selector}"))
    elif late:
        judged.append(warning(subject, f"not ready: {some(late)}", f"kubectl describe pods {selector}"))
    if len(versions) > 1:
        do = f"finish or undo the rollout: kubectl get pods {selector}"
        judged.append(warning(subject, f"they run several versions: {some(versions)}", do))
    return judged or [ok(subject, f"{len(ours)} ready, version {versions[0]}")]


class Setting(NamedTuple):
    """What the receiver goes by, as its ConfigMap has it."""

    base_url: str = ""
    system_namespace: str = ""


async def settings(client: Client, namespace: str) -> tuple[list[Finding], Setting]:
    """Read base URL and system-resources namespace where the receiver's Pods have them from."""
    found: list[Finding] = []
    with unread(found, "ConfigMap", RUN_AS_ADMINISTRATOR):
        for name in (KARGOS_CONFIG_MAP, OUR_CONFIG_MAP):
            try:
                data = field(_any(await client.get(CONFIG_MAPS, namespace=namespace, name=name)), "data")
            except NotFound:
                continue
            url, system = (str(field(data, key) or "") for key in (BASE_URL, SYSTEM_NAMESPACE))
            if url:
                judged = _judge_base_url(name, url)
                return [judged], Setting(url if judged.level is Level.OK else "", system)
        text = f"neither {KARGOS_CONFIG_MAP} nor {OUR_CONFIG_MAP} in namespace {namespace} has {BASE_URL}"
        do = "install Kargo's external-webhooks-server, or set baseUrl of our chart; here: --base-url"
        found.append(warning("ConfigMap", text, do))
    return found, Setting()


def _judge_base_url(name: str, url: str) -> Finding:
    try:
        setting_values.base_url(url)
    except ValueError as fault:
        return error("ConfigMap", f"the base URL in {name} {fault}", "correct it where Kargo is installed")
    return ok("ConfigMap", f"{name}: base URL {url.partition('?')[0]}")


def _any(raw: bytes | msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def _labels(each: Any) -> Mapping[str, str]:
    found = field(field(each, "metadata"), "labels")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _name(each: Any) -> str:
    return str(field(field(each, "metadata"), "name"))


def _image(deployment: Any) -> tuple[str, str]:
    """Return repository and tag of the first container's image."""
    return _split(field(field(field(deployment, "spec"), "template"), "spec"))


def _pod_version(pod: Any) -> str:
    repository, tag = _split(field(pod, "spec"))
    return tag or repository


def _split(pod_spec: Any) -> tuple[str, str]:
    """Return repository and tag (or digest) of the first container's image; empty where there is none."""
    containers = items(pod_spec, "containers")
    image = str(field(containers[0], "image") or "") if containers else ""
    name, _, digest = image.partition("@")
    above, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{above}{slash}{last}", tag or digest


def _ready(pod: Any) -> bool:
    conditions = items(field(pod, "status"), "conditions")
    return any(field(each, "type") == "Ready" and field(each, "status") == "True" for each in conditions)
