"""Dispatches deliveries of the history anew, as if they came in now: each with an id and a row of its own."""

import asyncio
import functools
import re
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import structlog

from webhook import answers
from webhook.admin.deliveries import Delivery as ShownDelivery
from webhook.again.messages import CALL_SECONDS, MOST, Repeated, Request
from webhook.answers import Answer
from webhook.arrival import AGAIN, CATCH_UP
from webhook.delivery import Delivery
from webhook.endpoint import Endpoint
from webhook.journal import history
from webhook.journal.history import Entry
from webhook.journal.reading import HistoryError, ask
from webhook.journal.thread import DaemonThread
from webhook.outcome import Outcome, outcome_of
from webhook.reporting import printable

log = structlog.get_logger()

AT_A_TIME = 32
"""Deliveries that are waited for at a time: new events must find room."""
READ_SECONDS = 10.0
"""How long one look into the history may take."""
PEER_LOOKUPS = 10
"""Unknown ids of one call that the other replicas are asked for: each may take a second."""

_POD = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")

Elsewhere = Callable[[str], Awaitable[tuple[ShownDelivery | None, object]]]
"""Asks all replicas for the delivery of an id."""
T = TypeVar("T")


class CallError(Exception):
    """A call that is not carried out, or not to its end; the message is one line."""

    def __init__(self, message: str, *, wrong_use: bool = False) -> None:
        super().__init__(message)
        self.wrong_use = wrong_use


class Repeater:
    """Reads deliveries from the data folder and dispatches them through the endpoint's limits."""

    def __init__(self, folder: Path, endpoint: Endpoint, elsewhere: Elsewhere) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._elsewhere = elsewhere
        self._thread = DaemonThread("again")

    async def repeat(self, request: Request) -> AsyncGenerator[Repeated]:
        """Yield what became of each delivery, the oldest first or in the order of the ids.

        Raises CallError, before the first or when the time is used up.
        """
        ids = list(dict.fromkeys(request.ids)) or await self._matching(request)
        clock, lookups = self._endpoint.clock, PEER_LOOKUPS
        deadline = clock.monotonic() + CALL_SECONDS
        for first in range(0, len(ids), AT_A_TIME):
            if self._endpoint.gate.closed:
                raise CallError(f"the receiver is stopping: {first} of {len(ids)} were looked at")
            if clock.monotonic() > deadline:
                raise CallError(f"{CALL_SECONDS:g} s are over: {first} of {len(ids)} were looked at")
            begun = [await self._begin(id_) for id_ in ids[first : first + AT_A_TIME]]
            for repeated, wait in begun:
                if not repeated.known and lookups:
                    lookups -= 1
                    repeated.problem = await self._where(repeated.repeats)
                yield repeated if wait is None else await wait()

    async def _matching(self, request: Request) -> Sequence[str]:
        """Return the ids of what the filters leave, the oldest first."""
        query = history.Query(
            since=request.since,
            receiver=request.receiver,
            repository=request.repository,
            outcome=request.outcome,
            limit=MOST + 1,
        )
        found = await self._read(lambda database: history.repeatable(database, query))
        if len(found) > MOST:
            raise CallError(
                f"more than {MOST} deliveries match: ask for fewer, with a shorter --since, or with"
                " --receiver, --repository, --outcome",
                wrong_use=True,
            )
        return found[::-1]

    async def _begin(self, id_: str) -> tuple[Repeated, Callable[[], Awaitable[Repeated]] | None]:
        """Begin a delivery; return what is known of it, and what will be known within the reply budget."""
        entry = await self._read(lambda database: history.entry(database, id_))
        if entry is None:
            return Repeated(id_, known=False, problem="this replica has no delivery of this id"), None
        known = Repeated(id_, receiver=entry.receiver)
        if not entry.subjects:
            known.problem = _nothing_to_repeat(entry)
            return known, None
        known.repository = printable(entry.subjects)
        arrival = self._endpoint.arrived()
        arrival.receiver, arrival.source, arrival.event = entry.receiver, entry.source, entry.event
        arrival.sender_id, arrival.subjects, arrival.refs = entry.sender_id, entry.subjects, entry.refs
        arrival.via, arrival.repeats = AGAIN, entry.id
        begun = self._endpoint.begin(arrival)
        if isinstance(begun, Answer):
            known.problem = answers.text(begun)
            return known, None
        log.info("delivery_repeated", id=arrival.id, repeats=entry.id, receiver=entry.receiver)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._endpoint.deliveries.start(begun, self._see_through(begun, answer))
        return known, functools.partial(_answered, known, begun, answer)

    async def _see_through(self, delivery: Delivery, answer: "asyncio.Future[Answer]") -> None:
        """Follow a delivery to its end, whoever waits for its answer."""
        try:
            answer.set_result(await delivery.answer())
            await delivery.end()
        finally:
            self._endpoint.release(delivery)

    async def _where(self, id_: str) -> str:
        """Say where an unknown delivery is to be found."""
        found, _ = await self._elsewhere(id_)
        pod = found.replica if found is not None else ""
        if not _POD.fullmatch(pod):
            return "no replica that was asked has a delivery of this id"
        return f"Pod {pod} received it: kubectl exec {pod} -- kargo-azure-receiver again {id_}"

    async def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, ask, self._folder, question, READ_SECONDS)
        except HistoryError as error:
            raise CallError(str(error)) from error


async def _answered(known: Repeated, delivery: Delivery, answer: "asyncio.Future[Answer]") -> Repeated:
    """Return what became of a delivery when it would have been answered."""
    await asyncio.wait((answer, delivery.task), return_when=asyncio.FIRST_COMPLETED)
    refresh = delivery.refresh
    known.id = delivery.arrival.id
    known.matched, known.refreshed, known.rejected = refresh.matched, refresh.persisted, refresh.rejected
    known.names = tuple(refresh.names)
    outcome = outcome_of(refresh.matched, refresh.persisted, refresh.rejected)
    if refresh.superseded_by:
        outcome = Outcome.SUPERSEDED
    elif not refresh.done:
        outcome = Outcome.PENDING
    known.outcome = outcome.value
    if not answer.done():
        known.problem = "the receiver stopped, or failed, before its end; the log has more"
    elif answer.result().code >= HTTPStatus.BAD_REQUEST:
        known.problem = answers.text(answer.result())
    elif refresh.rejected:
        known.problem = f"the Kubernetes API rejected {refresh.rejected}"
    return known


def _nothing_to_repeat(entry: Entry) -> str:
    """Say why a row of the history can't be dispatched."""
    if entry.via == CATCH_UP:
        return "a catch-up can't be repeated: it was no delivery"
    return f"it asked for no refresh ({entry.event}, {entry.outcome.value}): nothing can be repeated"
