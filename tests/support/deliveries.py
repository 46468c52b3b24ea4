"""Deliveries to put into a journal, and deliveries over fakes."""

import asyncio
import json

from tests.support.clock import FakeClock
from tests.support.fakes import FakeDispatcher, FakeJournal, FakeRefresh, FakeWebhookMetrics
from webhook.answers import Answer
from webhook.arrival import Arrival, Subject
from webhook.delivery import Deliveries, Delivery
from webhook.ports import NearMissFinder

IMAGE = Subject("image", "registry.azurecr.io/app")


def arrival(
    name: str,
    *subjects: tuple[str, str],
    receiver: str = "kargo-demo/az",
    received: float = 1_800_000_000.0,
) -> Arrival:
    """Return a delivery with this id; of an image's repository if no subject is given."""
    about = tuple(Subject(*subject) for subject in subjects) or (IMAGE,)
    return Arrival(name, receiver, "acr", "push", f"sender's {name}", about, received)


class World:
    """Deliveries over fakes, on a clock that stands still unless it is moved."""

    def __init__(
        self, *refreshes: FakeRefresh, budget: float = 4.0, near_misses: NearMissFinder | None = None
    ) -> None:
        self.dispatcher = FakeDispatcher(*refreshes)
        self.journal = FakeJournal()
        self.metrics = FakeWebhookMetrics()
        self.clock = FakeClock()
        self.deliveries = Deliveries(
            self.dispatcher,
            self.journal,
            self.metrics,
            clock=self.clock,
            reply_seconds=budget,
            near_misses=near_misses,
        )

    def begin(self, name: str = "d1", *subjects: tuple[str, str], spent: float = 0.0) -> Delivery:
        """Begin a delivery whose headers were read so many seconds ago."""
        given = arrival(name, *subjects)
        given.began = self.clock.monotonic() - spent
        return self.deliveries.begin(given)

    def see_through(self, delivery: Delivery) -> "asyncio.Future[Answer]":
        """Let a delivery live its whole life. The result is its answer, as soon as it can be given."""
        reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        async def life() -> None:
            answer = await delivery.answer()
            reply.set_result(answer)
            await delivery.end(answer.code)

        self.deliveries.start(delivery, life())
        return reply

    def send(self, name: str = "d1", *subjects: tuple[str, str]) -> "asyncio.Future[Answer]":
        """Begin a delivery and see it through."""
        return self.see_through(self.begin(name, *subjects))

    async def answer(self, name: str = "d1", *subjects: tuple[str, str]) -> Answer:
        """Begin a delivery, and return its answer, which must need no time to pass."""
        reply = self.send(name, *subjects)
        await self.clock.settle()
        assert reply.done(), "not answered yet"
        return reply.result()

    async def answer_late(self, name: str = "d1", *subjects: tuple[str, str]) -> Answer:
        """Begin a delivery, and return its answer at the end of its reply budget."""
        reply = self.send(name, *subjects)
        await self.clock.advance(self.deliveries.reply_seconds - 0.01)
        assert not reply.done(), "answered too early"
        await self.clock.advance(0.01)
        return reply.result()


def says(answer: Answer) -> tuple[int, str]:
    """Return the status of an answer, and its text."""
    body = json.loads(answer.body)
    return answer.code, body.get("msg") or body["error"]
