"""The informers and the indexes they keep: everything this process knows of the cluster."""

from typing import Any, TypeVar

from controller.kargo.objects import (
    CLUSTER_CONFIGS,
    PROJECT_CONFIGS,
    PROMOTIONS,
    WAREHOUSES,
    Target,
    decode_config,
)
from controller.kargo.promotion import decode_promotion
from controller.kargo.warehouse import decode_warehouse
from controller.process.manager import Manager
from controller.receivers.index import ReceiverIndex
from controller.receivers.secret_watches import SecretWatches
from controller.receivers.state import SecretRef
from controller.refreshing.target_index import TargetIndex
from controller.runtime.api.client import Client
from controller.runtime.api.resource import Resource
from controller.runtime.clock import Clock
from controller.runtime.informer.informer import Decode, Informer, InformerObserver
from controller.runtime.informer.store import Stored

T = TypeVar("T", bound=Stored)


class Informers:
    """What is needed to answer an event: Warehouses, Promotions and receivers, each indexed.

    Warehouses and ProjectConfigs must be readable before anything is served; the other kinds count as empty
    while they are absent or forbidden.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        system_namespace: str,
        observer: InformerObserver,
    ) -> None:
        def follow(
            kind: str, resource: Resource, decode: Decode[T], *, optional: bool = False
        ) -> Informer[T]:
            return Informer(
                client,
                resource,
                decode,
                kind=kind,
                clock=clock,
                absent_is_empty=optional,
                observer=observer,
            )

        self._clock = clock
        self.warehouse_index = TargetIndex()
        self.promotion_index = TargetIndex()
        self.secrets = SecretWatches(client, clock=clock, changed=self._secret_changed, observer=observer)
        self.receivers = ReceiverIndex(system_namespace=system_namespace, secrets=self.secrets)

        self.warehouses = follow("Warehouse", WAREHOUSES, decode_warehouse)
        self.project_configs = follow("ProjectConfig", PROJECT_CONFIGS, decode_config)
        self.cluster_configs = follow("ClusterConfig", CLUSTER_CONFIGS, decode_config, optional=True)
        self.promotions = follow("Promotion", PROMOTIONS, decode_promotion, optional=True)
        self.warehouses.add_handler(self.warehouse_index)
        self.promotions.add_handler(self.promotion_index)
        self.project_configs.add_handler(self.receivers)
        self.cluster_configs.add_handler(self.receivers)

    @property
    def informers(self) -> list[Informer[Any]]:
        """The informers of whole kinds; Secrets have one each, see ``secrets``."""
        return [self.warehouses, self.project_configs, self.cluster_configs, self.promotions]

    def start(self, manager: Manager) -> None:
        """Begin to list and watch, Secrets excepted."""
        for informer in self.informers:
            manager.start(f"informer {informer.kind}", informer.run())

    def follow_secrets(self, manager: Manager) -> None:
        """Begin to list and watch the Secrets that receivers refer to: later, since each has a connection."""
        manager.start("informer Secret", self.secrets.run())

    async def wait_synced(self) -> None:
        """Return when every kind was listed and handled once."""
        for informer in self.informers:
            await informer.wait_synced()

    def not_synced(self) -> list[str]:
        """Return the kinds that were not listed yet."""
        return [informer.kind for informer in self.informers if not informer.has_synced]

    def silent(self) -> float:
        """Return for how many seconds the watch of Warehouses has given no sign of life."""
        return max(0.0, self._clock.monotonic() - self.warehouses.last_activity)

    def refreshed(self, target: Target) -> float:
        """Return the Unix time of a Warehouse's last refresh; 0 if it is not known, or for another kind."""
        found = self.warehouses.store.get(target.namespace, target.name)
        return found.refreshed if found is not None and found.target == target else 0.0

    def _secret_changed(self, ref: SecretRef) -> None:
        self.receivers.secret_changed(ref)
