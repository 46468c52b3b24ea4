"""Builds what keeps this replica's Lease and makes catch-ups, unless settings or surroundings rule it out."""

from collections.abc import Callable
from functools import partial

import structlog

from controller.application.gauges import export_catch_up
from controller.application.informers import Informers
from controller.cli.settings import Settings
from controller.cluster.access import AccessReviewer
from controller.cluster.lease_keeper import LeaseKeeper
from controller.cluster.leases import LeaseStore, timestamp
from controller.cluster.replicas import EXPIRY_SECONDS, LOST, OUTAGE, Job
from controller.observability.metrics import Metrics
from controller.refreshing.catch_up import CatchUp
from controller.refreshing.refresher import Refresher
from controller.runtime.api.client import Client
from controller.runtime.clock import Clock
from webhook.arrival import CATCH_UP, Arrival
from webhook.endpoint import new_id
from webhook.journal.journal import Journal
from webhook.outcome import Outcome

log = structlog.get_logger()


def lease_keeper(
    options: Settings,
    *,
    client: Client,
    clock: Clock,
    access: AccessReviewer,
    informers: Informers,
    refresher: Refresher,
    unfinished: Callable[[], float | None],
    journal: Journal,
    metrics: Metrics,
) -> LeaseKeeper | None:
    """Return the keeper of this replica's Lease; None, logged once, if there is to be no catch-up."""
    if not options.catch_up or not options.pod_name or not options.pod_namespace:
        why = "POD_NAME and POD_NAMESPACE are not set" if options.catch_up else "it is switched off"
        log.info("no_catch_up", why=why)
        return None
    catch_up = CatchUp(
        warehouses=informers.warehouses.store,
        receivers=informers.receivers,
        refresher=refresher,
        refreshed=informers.refreshed,
        clock=clock,
        rate=options.catch_up_rate,
        record=partial(_note, journal, clock),
    )
    export_catch_up(metrics, catch_up)
    return LeaseKeeper(
        LeaseStore(client, clock, namespace=options.pod_namespace, seconds=EXPIRY_SECONDS),
        name=options.pod_name,
        journal=journal.identity,
        clock=clock,
        access=access,
        unfinished=unfinished,
        catch_up=catch_up.make,
        claimed=lambda reason: metrics.catch_ups.labels(reason).inc(),
        failed=metrics.lease_failures.inc,
    )


_BECAUSE = {OUTAGE: "no replica was serving", LOST: "a replica was lost with what it owed"}


def _note(journal: Journal, clock: Clock, job: Job, count: int) -> None:
    """Have the history show a catch-up that has ended."""
    arrival = Arrival(new_id(), source=CATCH_UP, event=CATCH_UP, received=clock.time(), via=CATCH_UP)
    when = f"from {timestamp(job.since)} to {timestamp(job.until)}"
    reason = f"catch-up, because {_BECAUSE[job.reason]} {when}: {count} Warehouses"
    journal.note(arrival, outcome=Outcome.REFRESHED, reason=reason, matched=count)
