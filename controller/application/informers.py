"""The informers and the indexes they keep: everything this process knows of the cluster."""

import asyncio
from typing import Any, TypeVar

import structlog

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
from controller.refreshing.target_index import TargetIndex
from controller.runtime.api.client import Client
from controller.runtime.api.resource import Resource
from controller.runtime.clock import Clock
from controller.runtime.informer.informer import Decode, Informer, InformerObserver
from controller.runtime.informer.store import Stored

T = TypeVar("T", bound=Stored)

SECRETS_PATIENCE = 10.0
"""Seconds that the public port waits for the receivers' Secrets, so that a replica that takes over knows
them; no longer, since one that can't be read must not keep the others waiting."""

log = structlog.get_logger()


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

        self.warehouse_index = TargetIndex()
        self.promotion_index = TargetIndex()
        self.secrets = SecretWatches(
            client, clock=clock, changed=lambda ref: self.receivers.secret_changed(ref), observer=observer
        )
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

    async def wait_secrets(self) -> None:
        """Return when each Secret was read, or refused, once; after ``SECRETS_PATIENCE`` all the same."""
        try:
            async with asyncio.timeout(SECRETS_PATIENCE):
                await self.secrets.wait_tried()
        except TimeoutError:
            log.warning("secrets_not_read_in_time", seconds=SECRETS_PATIENCE)

    async def wait_synced(self) -> None:
        """Return when every kind was listed and handled once."""
        for informer in self.informers:
            await informer.wait_synced()

    def not_synced(self) -> list[str]:
        """Return the kinds that were not listed yet."""
        return [informer.kind for informer in self.informers if not informer.has_synced]

    def refreshed(self, target: Target) -> float:
        """Return the Unix time of a Warehouse's last refresh; 0 if it is not known, or for another kind."""
        found = self.warehouses.store.get(target.namespace, target.name)
        return found.refreshed if found is not None and found.target == target else 0.0
