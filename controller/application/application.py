"""The composition root: the only module that knows both the controller and the webhook.

Start: informers, the receivers' Secrets, workers, what the journal left undone, and last the public port.
Stop: in reverse, and what can't be finished in time stays in the journal.
"""

import asyncio
import signal

import structlog

from controller.application import gauges
from controller.application.catching_up import lease_keeper
from controller.application.informers import Informers
from controller.application.last_deliveries import LastDeliveries
from controller.application.near_misses import NearMissesInWords
from controller.application.overview import Overview
from controller.application.queues import Reading, open_queues
from controller.cli.settings import Settings
from controller.cluster.access import AccessReviewer
from controller.cluster.events import EventRecorder
from controller.kargo.objects import Target
from controller.observability.metrics import Metrics
from controller.process import memory
from controller.process.manager import Manager, done_before
from controller.receivers.index import ConfigKey
from controller.receivers.status import StatusReconciler
from controller.refreshing.dispatcher import Dispatcher
from controller.refreshing.near_miss_scan import NearMissScan
from controller.refreshing.recent_deliveries import WINDOW, RecentDeliveries
from controller.refreshing.refresher import Refresher
from controller.refreshing.unhandled import HandledTracker
from controller.runtime.api.client import Client, Configuration, load_configuration
from controller.runtime.clock import Clock
from controller.runtime.queue.workqueue import WorkQueue
from webhook.admin.fleet import fleet
from webhook.admin.history import JournalHistory
from webhook.admin.server import AdminServer
from webhook.again.server import AgainServer
from webhook.delivery import Deliveries
from webhook.endpoint import Endpoint
from webhook.http.server import WebhookServer
from webhook.http.tls import Certificate
from webhook.journal.journal import Journal, JournalError
from webhook.limits import Limits

NAME = "kargo-azure-receiver"
"""Under which the API server knows us: as its client, and as the author of changes."""
DRAIN_SECONDS = 5.0
"""Seconds of answering after SIGTERM: until every load balancer has removed this endpoint."""
OTHER_REQUESTS = 64
"""Connections to the API server beside those for patches: Secrets read live, status, Events."""
SIGN_OF_LIFE_SECONDS = 10.0

log = structlog.get_logger()


class Application:
    """All parts of the running receiver, wired."""

    def __init__(
        self, options: Settings, version: str, configuration: Configuration, journal: Journal
    ) -> None:
        """Build every part; raises ConfigurationError or CertificateError."""
        self._options = options
        self._journal = journal
        self._version = version
        self._ready = self._resumed = False
        self._clock = clock = Clock()
        registry = gauges.process_registry()
        metrics = Metrics(registry, version=version)
        self._certificate = None  # what may be set wrong is read before anything is opened
        if options.tls_cert is not None and options.tls_key is not None:
            self._certificate = Certificate(options.tls_cert, options.tls_key, clock=clock)
            gauges.export_certificate(metrics, self._certificate)
        self.client = Client(
            configuration,
            clock=clock,
            observe=metrics.api_request,
            concurrency=options.refresh_concurrency + OTHER_REQUESTS,
            user_agent=f"{NAME}/{version}",
            field_manager=NAME,
        )
        access = AccessReviewer(self.client, clock)
        self._events = EventRecorder(self.client, clock)
        self._informers = Informers(
            self.client, clock=clock, system_namespace=options.system_namespace, observer=metrics
        )
        self._refreshes: WorkQueue[Target] = WorkQueue("refresh", clock, observer=metrics.queue("refresh"))
        self._refresher = Refresher(
            self.client,
            self._refreshes,
            clock=clock,
            access=access,
            events=self._events,
            metrics=metrics,
            workers=options.refresh_concurrency,
        )
        dispatcher = Dispatcher(
            warehouses=self._informers.warehouse_index,
            promotions=self._informers.promotion_index,
            refresher=self._refresher,
            recent=RecentDeliveries(),
            silent=self._informers.warehouses.silence,
            refreshed=self._informers.refreshed,
            clock=clock,
        )
        self._informers.warehouse_index.on_enter(dispatcher.entered)
        self._statuses: WorkQueue[ConfigKey] = WorkQueue("status", clock, observer=metrics.queue("status"))
        self._status = StatusReconciler(
            self.client,
            self._statuses,
            receivers=self._informers.receivers,
            base_url=options.base_url,
            system_namespace=options.system_namespace,
            clock=clock,
            access=access,
            events=self._events,
            pacer=self._informers.secrets.pacer,
            count=lambda result: metrics.status_writes.labels(result).inc(),
        )
        if options.publish_status:
            self._informers.receivers.on_change(self._status.changed)
        limits = Limits()
        self._near_misses = NearMissScan(self._informers.warehouse_index, clock)
        self._deliveries = Deliveries(
            dispatcher,
            journal,
            metrics,
            clock=clock,
            reply_seconds=options.reply_timeout,
            limits=limits,
            near_misses=NearMissesInWords(self._near_misses),
        )
        self._leases = lease_keeper(
            options,
            client=self.client,
            clock=clock,
            access=access,
            informers=self._informers,
            refresher=self._refresher,
            unfinished=self._unfinished,
            journal=journal,
            metrics=metrics,
        )
        endpoint = Endpoint(self._informers.receivers, self._deliveries, metrics, clock=clock, limits=limits)
        self._reading = Reading(options, endpoint, metrics)
        self._server = WebhookServer(
            endpoint,
            address=options.bind_address,
            port=options.port,
            certificate=self._certificate,
        )
        handled = HandledTracker(clock, metrics)
        self._informers.warehouses.add_handler(handled)
        queues = (self._refreshes, self._statuses)
        overview = Overview(
            self._informers,
            queues,
            handled,
            journal,
            not_ready=self._not_ready,
            storage_queues=self._reading.states,
        )
        history = JournalHistory(journal, options.data_dir)
        self._last_deliveries = LastDeliveries(history, self._informers.receivers, metrics, clock)
        replicas = fleet(overview, history, options.peers, clock=clock, version=version)
        self._again = AgainServer(options.data_dir, endpoint, replicas.delivery)
        self._admin = AdminServer(
            registry,
            alive=list,
            ready=self._not_ready,
            fleet=replicas,
            address=options.bind_address,
            port=options.admin_port,
        )
        gauges.export_unhandled(metrics, handled)
        gauges.export_queues(metrics, queues)
        gauges.export_informers(metrics, self._informers)
        gauges.export_journal(metrics, journal)

    async def run(self, manager: Manager) -> None:
        """Serve until asked to stop, then wind up. Raises ServerError if a port can't be had."""
        self._admin.start()
        manager.at_end("admin", self._admin.close)
        log.info("starting", version=self._version, admin_port=self._admin.port)
        manager.start("journal", self._journal.run())
        self._informers.start(manager)
        manager.start("events", self._events.run())
        if self._certificate is not None:
            manager.start("certificate", self._certificate.run())
        if not await done_before(manager.stopping, self._informers.wait_synced()):
            return
        memory.settle()
        self._informers.follow_secrets(manager)
        if not await done_before(manager.stopping, self._informers.wait_secrets()):
            return
        refreshing = manager.start("refresher", self._refresher.controller.run())
        publishing = manager.start("status", self._status.controller.run())
        manager.start("status reports", self._status.report_unreadable())
        manager.start("resume", self._resume())
        manager.start("last deliveries", self._last_deliveries.run())
        self._server.start()
        keeping = None if self._leases is None else manager.start("leases", self._leases.run())
        manager.at_end("server", lambda: self._server.finished(0.0))
        manager.at_end("again", self._again.close)
        await self._again.start()
        self._ready = True
        log.info("serving", port=self._server.port, tls=self._certificate is not None)
        self._reading.start(manager)
        await manager.stopping.wait()
        self._reading.stop(manager)
        await self._stop(manager, refreshing, publishing, keeping)

    async def _resume(self) -> None:
        """Refresh again what the journal has as unfinished, or as received just before the end.

        Then report signs of life: not before, since the next process looks back from the last one.
        """
        count = 0
        async for arrival, owed in self._journal.to_resume(window=WINDOW):
            self._deliveries.resume(arrival, owed=owed)
            count += 1
        self._resumed = True
        if count:
            log.info("deliveries_resumed", count=count)
        while True:
            self._journal.sign_of_life(self._clock.time() - self._informers.warehouses.silence())
            await self._clock.sleep(SIGN_OF_LIFE_SECONDS)

    def _unfinished(self) -> float | None:
        """Return since when (Unix time) accepted work is unfinished; None if all is done."""
        oldest = self._deliveries.oldest()
        return (
            self._clock.time() if oldest is None and not self._resumed and self._journal.pending else oldest
        )

    async def _stop(
        self,
        manager: Manager,
        refreshing: asyncio.Task[None],
        publishing: asyncio.Task[None],
        keeping: asyncio.Task[None] | None,
    ) -> None:
        """Not ready; answer for a while; stop accepting; finish what was accepted; leave the rest."""
        self._ready = False
        self._server.begin_drain()
        log.info("stopping", drain=DRAIN_SECONDS, timeout=self._options.shutdown_timeout)
        await done_before(manager.hurry, asyncio.sleep(DRAIN_SECONDS))
        self._server.stop_accepting()
        self._near_misses.stop()
        served_until = self._clock.time()
        if self._leases is not None:
            await self._leases.pause()
        deadline = self._clock.monotonic() + self._options.shutdown_timeout
        await done_before(manager.hurry, self._server.finished(self._options.shutdown_timeout))
        await done_before(manager.hurry, self._reading.finished(deadline - self._clock.monotonic()))
        for task, queue in ((refreshing, self._refreshes), (publishing, self._statuses)):
            manager.may_end(task)
            queue.shut_down()
        left = max(0.0, deadline - self._clock.monotonic())
        await done_before(manager.hurry, asyncio.wait((refreshing,), timeout=left))
        if self._leases is not None and keeping is not None:
            manager.may_end(keeping)
            keeping.cancel()
            await asyncio.wait((keeping,))
            await self._leases.release(until=served_until)
        await self._deliveries.close()
        log.info("stopped", pending=self._journal.pending)

    def _not_ready(self) -> list[str]:
        missing = [f"cache of {kind} is not synced" for kind in self._informers.not_synced()]
        return [] if self._ready else missing or ["the public port is closed"]


async def serve(options: Settings, version: str) -> None:
    """Run the receiver until SIGTERM or SIGINT.

    Raises ConfigurationError, JournalError, QueueSettingError or CertificateError for what was set wrong,
    ServerError for a port that can't be had, and PartFailed if a part fails while running.
    """
    configuration = await load_configuration(options.kubeconfig, Clock())
    open_queues(options)  # what is set wrong is found before anything is opened
    manager = Manager()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, manager.ask_to_stop)
    if options.data_dir is not None:
        try:
            options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"cannot make {options.data_dir} for the journal: {error.strerror}") from error
    journal = await Journal.open(options.data_dir)
    manager.at_end("journal", journal.close)
    application = Application(options, version, configuration, journal)
    manager.at_end("client", application.client.close)
    await manager.run(application.run(manager))
