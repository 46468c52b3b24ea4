"""Merges this replica's reports with those of its peers."""

import asyncio
import functools
import secrets
import socket
from collections.abc import Awaitable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from controller.runtime.clock import Clock
from webhook.admin.deliveries import Delivery
from webhook.admin.history import JournalHistory
from webhook.admin.peers import Address, Peers, R, Trouble
from webhook.admin.ports import Program
from webhook.admin.reports import (
    DeliveriesReport,
    DeliveryReport,
    Overview,
    Receiver,
    ReceiverReport,
    Reporter,
)
from webhook.journal.history import Query, Summary

WORST = ("faulty", "pending", "served")
"""States, the worst first."""


class ReceiverRow(NamedTuple):
    """A receiver, merged from the reports of all replicas."""

    name: str
    state: str
    """The worst that a replica reports."""
    problem: str
    second_factor: str
    differs: Sequence[str]
    """Each replica with its state, where they differ; else empty."""
    summary: Summary

    @property
    def rank(self) -> tuple[int, bool, str]:
        """Sort key: what needs a person comes first."""
        place = WORST.index(self.state) if self.state in WORST else 0
        return place, not self.problem, self.name


class All(NamedTuple):
    """Every replica's overview, this one's first."""

    replicas: Sequence[Overview]
    receivers: Sequence[ReceiverRow]
    """Those that need a person come first, the rest is sorted by name."""
    latest: Sequence[Delivery]
    troubles: Sequence[Trouble]


class Deliveries(NamedTuple):
    """A page of deliveries of all replicas."""

    rows: Sequence[Delivery]
    more: bool
    troubles: Sequence[Trouble]


class Fleet:
    """Asks this replica and all others."""

    def __init__(self, reporter: Reporter, peers: Peers) -> None:
        self.own = reporter
        self._peers = peers

    async def overview(self, latest: int) -> All:
        """Return everything at a glance."""
        reports, troubles = await self._ask(self.own.overview(), "", Overview)
        found = _newest((report.latest for report in reports), latest)
        receivers = merged_receivers([(each.replica, each.receivers) for each in reports])
        return All(reports, sorted(receivers, key=lambda each: each.rank), found, troubles)

    async def receiver(self, name: str, limit: int) -> tuple[ReceiverRow | None, Deliveries]:
        """Return a receiver and its latest deliveries; None if no replica knows it."""
        path = f"receivers/{quote(name, safe='')}"
        reports, troubles = await self._ask(self.own.receiver(name, limit + 1), path, ReceiverReport)
        rows = merged_receivers([(each.replica, [each.receiver]) for each in reports])
        found = _newest((report.deliveries for report in reports), limit + 1)
        return next(iter(rows), None), Deliveries(found[:limit], len(found) > limit, troubles)

    async def deliveries(self, query: Query) -> Deliveries:
        """Return a page of deliveries, and whether there are more."""
        wanted = query._replace(limit=query.limit + 1)
        path = f"deliveries?{query_string(wanted)}"
        reports, troubles = await self._ask(self.own.deliveries(wanted), path, DeliveriesReport)
        found = _newest((report.deliveries for report in reports), wanted.limit)
        return Deliveries(found[: query.limit], len(found) > query.limit, troubles)

    async def delivery(self, wanted: str) -> tuple[Delivery | None, Sequence[Trouble]]:
        """Return one delivery, whichever replica received it."""
        own = await self.own.delivery(wanted)
        if own is not None:
            return own.delivery, ()
        others = await self._peers.ask(f"deliveries/{quote(wanted, safe='')}", DeliveryReport)
        return next((each.delivery for each in others.answers), None), others.troubles

    async def close(self) -> None:
        """Close the connections to the peers."""
        await self._peers.close()

    async def _ask(
        self, own: Awaitable[R | None], path: str, kind: type[R]
    ) -> tuple[Sequence[R], Sequence[Trouble]]:
        """Return this replica's report, if it has one, and then its peers'; and what is missing in them."""
        mine, others = await asyncio.gather(own, self._peers.ask(path, kind))
        reports = [*([mine] if mine is not None else ()), *others.answers]
        unread = [Trouble(each.replica, each.error) for each in reports if each.error]
        return reports, [*others.troubles, *unread]


def fleet(
    program: Program, history: JournalHistory, peers: tuple[str, int] | None, *, clock: Clock, version: str
) -> Fleet:
    """Return this replica, named after its Pod (the host's name), with its peers."""
    instance = secrets.token_hex(8)
    reporter = Reporter(program, history, clock, instance, socket.gethostname(), version)
    return Fleet(reporter, Peers(Address(*peers) if peers is not None else None, instance))


def query_string(query: Query) -> str:
    """Return a query as the query string of a URL, without what is empty."""
    return urlencode({key: str(value) for key, value in query._asdict().items() if value}, errors="replace")


def merged_receivers(reports: Sequence[tuple[str, Iterable[Receiver]]]) -> list[ReceiverRow]:
    """Return each receiver once, from the reports of several replicas."""
    seen: dict[str, list[tuple[str, Receiver]]] = {}
    for replica, receivers in reports:
        for receiver in receivers:
            seen.setdefault(receiver.state.name, []).append((replica, receiver))
    return [_merged(name, views) for name, views in seen.items()]


def _merged(name: str, views: Sequence[tuple[str, Receiver]]) -> ReceiverRow:
    states = [receiver.state for _, receiver in views]
    worst = min(states, key=lambda each: WORST.index(each.state) if each.state in WORST else 0)
    differ = len({each.state for each in states}) > 1
    problem = worst.problem or next((each.problem for each in states if each.problem), "")
    summary = functools.reduce(Summary.with_, (receiver.summary for _, receiver in views))
    told = [f"{replica}: {receiver.state.state}" for replica, receiver in views] if differ else []
    return ReceiverRow(name, worst.state, problem, worst.second_factor, told, summary)


def _newest(lists: Iterable[Sequence[Delivery]], limit: int) -> list[Delivery]:
    found = [delivery for each in lists for delivery in each]
    return sorted(found, key=lambda each: (each.unix, each.id), reverse=True)[:limit]
