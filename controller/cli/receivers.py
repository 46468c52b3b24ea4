"""The Azure receivers of a cluster, judged as the running receiver judges them, for the commands."""

from typing import NamedTuple

from controller.cli.cluster import every, explained
from controller.kargo.objects import (
    CLUSTER_CONFIG_NAME,
    CLUSTER_CONFIGS,
    PROJECT_CONFIGS,
    Config,
    Secret,
    decode_config,
)
from controller.receivers.live_secret import LiveSecrets
from controller.receivers.state import ReceiverState, SecretState, State, conflict, judge
from controller.receivers.status_plan import entries_by_name
from controller.receivers.url import digest_in, receiver_name, receiver_url
from controller.runtime.api.client import Client
from controller.runtime.api.errors import UNDECODABLE, ApiError, NotFound
from controller.runtime.api.resource import Resource

CLUSTER = "cluster"
"""What stands for ClusterConfig where a Project is asked for, and in a receiver's name."""


class Receiver(NamedTuple):
    """One Azure receiver in spec."""

    config: Config
    state: ReceiverState
    secret: Secret | None
    """None where it does not exist or can't be read."""

    @property
    def name(self) -> str:
        """``PROJECT/NAME``; of ClusterConfig's ``cluster/NAME``."""
        return receiver_name(self.config.namespace, self.state.name)

    def published(self) -> str:
        """Return the URL in status; empty if there is none."""
        return str(entries_by_name(self.config).get(self.state.name, {}).get("url") or "")

    def is_current(self) -> bool:
        """Return whether the path in status is the one at which the receiver is served."""
        entry = entries_by_name(self.config).get(self.state.name, {})
        return bool(self.state.digest) and digest_in(entry.get("path")) == self.state.digest

    def url(self, base_url: str) -> str:
        """Return the URL at which it is served; empty if none is known, or it is not served.

        Without ``base_url`` it is the one in status.
        """
        if self.state.state is not State.SERVED:
            return ""
        if base_url:
            return receiver_url(base_url, self.state.digest)
        return self.published() if self.is_current() else ""


async def read_configs(client: Client, namespace: str | None = None) -> list[Config]:
    """List the configs: all (None), one Project's, or the ClusterConfig (``CLUSTER``) alone.

    Raises ApiError, or what UNDECODABLE names.
    """
    configs = []
    if namespace != CLUSTER:
        found = await _list(client, PROJECT_CONFIGS, namespace)
        configs += [config for config in found if config.name == config.namespace]
    if namespace in (None, CLUSTER):
        try:
            found = await _list(client, CLUSTER_CONFIGS, None)
            configs += [config for config in found if config.name == CLUSTER_CONFIG_NAME]
        except NotFound:
            pass  # a cluster without that CRD has no such receivers
    return configs


async def read_receivers(client: Client, configs: list[Config], system_namespace: str) -> list[Receiver]:
    """Read the Secrets of all receivers, and judge them."""
    receivers = []
    for config in configs:
        receivers += await _of_config(client, config, system_namespace)
    users: dict[str, list[str]] = {}
    for each in receivers:
        users.setdefault(each.state.digest, []).append(each.name)
    return [
        each._replace(state=conflict(each.state.name, users[each.state.digest]))
        if each.state.digest and len(users[each.state.digest]) > 1
        else each
        for each in receivers
    ]


async def _list(client: Client, resource: Resource, namespace: str | None) -> list[Config]:
    return [decode_config(item, lambda *_: None) for item in await every(client, resource, namespace)]


async def _of_config(client: Client, config: Config, system_namespace: str) -> list[Receiver]:
    namespace = config.namespace or system_namespace
    secrets = LiveSecrets(client, namespace, refused="you lack the right to get secrets there")
    receivers = []
    for spec in config.receivers:
        try:
            secret = await secrets.state(spec.secret)
        except (ApiError, *UNDECODABLE) as error:
            secret = SecretState(known=False, problem=explained(error))
        receivers.append(Receiver(config, judge(spec, config.namespace, namespace, secret)[0], secret.secret))
    return receivers
