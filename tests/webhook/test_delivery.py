"""From an event to its answer and its end in the journal."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.support.aio import run
from tests.support.fakes import FakeDispatcher, FakeJournal, FakeRefresh, FakeWebhookMetrics
from webhook.answers import Answer
from webhook.arrival import Arrival, Subject
from webhook.delivery import Deliveries, Delivery, clean, printable

IMAGE = Subject("image", "example.azurecr.io/app")
SHORT = 0.03
"""Seconds of reply budget in tests that use it up."""


def arrival(name: str = "d1", subjects: Sequence[Subject] = (IMAGE,)) -> Arrival:
    return Arrival(name, "kargo-demo/az", "acr", "push", "sender-1", subjects, 1_800_000_000.0)


class World:
    """Deliveries over fakes, on a clock that stands still at 100 s unless it is moved."""

    def __init__(self, *refreshes: FakeRefresh, budget: float = 4.0) -> None:
        self.dispatcher = FakeDispatcher(*refreshes)
        self.journal = FakeJournal()
        self.metrics = FakeWebhookMetrics()
        self.clock = 100.0
        self.deliveries = Deliveries(
            self.dispatcher, self.journal, self.metrics, reply_seconds=budget, now=lambda: self.clock
        )

    async def answer(self, name: str = "d1", subjects: Sequence[Subject] = (IMAGE,)) -> Answer:
        answer = await self.reply(self.deliveries.begin(arrival(name, subjects), self.clock))
        await asyncio.sleep(0)  # what follows an answer comes a turn later
        return answer

    def reply(self, delivery: Delivery) -> asyncio.Future[Answer]:
        """Follow a delivery; the result is its answer, as soon as it can be given."""
        reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.deliveries.follow(delivery, lambda it: reply.set_result(self.deliveries.answer(it)))
        return reply


def says(answer: Answer) -> tuple[int, str]:
    body = json.loads(answer.body)
    return answer.code, body.get("msg") or body["error"]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_everything_persisted_in_time_is_a_200_with_the_number() -> None:
    """A sender whose refreshes are all stored within the budget learns how many there were."""
    refresh = FakeRefresh(3)
    world = World(refresh)
    delivery = world.deliveries.begin(arrival(), world.clock)
    reply = world.reply(delivery)
    await turns()
    assert not reply.done()
    refresh.persist(3)
    assert says(await reply) == (200, "refreshed 3 warehouse(s)")
    assert world.journal.calls == [("record", "d1"), ("finish", "d1")]
    assert world.metrics.matches == [3]
    assert len(world.deliveries) == 0
    world.deliveries.give_up()
    assert len(world.journal.calls) == 2, "nobody waits for it any more"


async def test_work_and_journal_begin_before_anything_is_awaited() -> None:
    """The row is queued and the refresh requested in the turn in which the event was understood."""
    world = World(FakeRefresh(1))
    world.journal.holding = True
    world.deliveries.begin(arrival(), world.clock)
    assert world.journal.calls == [("record", "d1")]
    assert world.dispatcher.dispatched == [("kargo-demo/az", (IMAGE,), 1_800_000_000.0, "d1")]


async def test_persisted_in_time_does_not_wait_for_the_disk() -> None:
    """A 200 for stored refreshes needs no journal: a slow disk costs it nothing."""
    refresh = FakeRefresh(1)
    refresh.persist()
    world = World(refresh)
    world.journal.holding = True
    assert says(await world.answer()) == (200, "refreshed 1 warehouse(s)")
    assert not world.journal.hastened


def pending(matched: int, persisted: int, rejected: int) -> FakeRefresh:
    refresh = FakeRefresh(matched)
    refresh.persist(persisted)
    refresh.reject(rejected)
    return refresh


@pytest.mark.parametrize(
    ("refresh", "kind", "code", "text"),
    [
        pytest.param((0, 0, 0), "image", 200, "refreshed 0 warehouse(s)", id="none"),
        pytest.param((1, 1, 0), "git", 200, "refreshed 1 warehouse(s)", id="one"),
        pytest.param(
            (5, 2, 0), "image", 202, "refreshed 2 of 5 warehouse(s); the rest will follow", id="some"
        ),
        pytest.param(
            (5, 3, 2),
            "image",
            200,
            "refreshed 3 of 5 warehouse(s); 2 were rejected by the Kubernetes API",
            id="rejected",
        ),
        pytest.param(
            (5, 1, 2),
            "image",
            202,
            "refreshed 1 of 5 warehouse(s); 2 were rejected by the Kubernetes API; the rest will follow",
            id="rejected-and-pending",
        ),
        pytest.param((2, 2, 0), "pull_request", 200, "refreshed 2 promotion(s)", id="promotions"),
        pytest.param((1, 1, 0), "pull_request", 200, "refreshed 1 promotion(s)", id="promotion"),
        pytest.param(
            (2, 0, 0),
            "pull_request",
            202,
            "refreshed 0 of 2 promotion(s); the rest will follow",
            id="promotions-pending",
        ),
    ],
)
async def test_answers_of_the_contract(
    refresh: tuple[int, int, int], kind: str, code: int, text: str
) -> None:
    """Each outcome within the budget has the words of the contract's table."""
    world = World(pending(*refresh), budget=SHORT)
    assert says(await world.answer(subjects=[Subject(kind, "x")])) == (code, text)


async def test_budget_runs_from_the_headers() -> None:
    """Time that the body took is taken off what a sender waits for the refreshes."""
    world = World(FakeRefresh(1), FakeRefresh(1))
    spent = world.deliveries.begin(arrival("slow"), began=world.clock - 3.9)
    first = world.reply(spent)
    second = world.reply(world.deliveries.begin(arrival("fast"), began=world.clock))
    async with asyncio.timeout(2.0):
        assert (await first).code == 202
    assert not second.done()


async def test_failing_refresh_is_a_202_at_once() -> None:
    """In an outage of the API server no sender is held for the budget."""
    refresh = FakeRefresh(2, failing=True)
    world = World(refresh)
    async with asyncio.timeout(2.0):
        answer = await world.answer()
    assert says(answer) == (202, "refreshed 0 of 2 warehouse(s); the rest will follow")
    assert refresh.detached


async def test_202_waits_for_the_journal() -> None:
    """What is not yet persisted is promised only once it is on disk."""
    world = World(FakeRefresh(1, failing=True))
    world.journal.holding = True
    reply = asyncio.ensure_future(world.answer())
    await turns()
    assert not reply.done()
    assert world.journal.hastened
    world.journal.commit()
    assert (await reply).code == 202


def test_a_short_budget_does_not_let_the_row_wait_for_others() -> None:
    """Whatever is left of the budget, the row is on disk by its end: a 202, not a 503."""

    async def scenario(spent: float, hurries: bool) -> None:
        world = World(FakeRefresh(1))
        delivery = world.deliveries.begin(arrival(), world.clock)
        world.clock += spent
        reply = world.reply(delivery)
        await turns()
        assert not reply.done()
        assert bool(world.journal.hastened) is hurries

    run(scenario(0.0, False))
    run(scenario(3.9, True))


@pytest.mark.parametrize("holding", [pytest.param(True, id="hangs"), pytest.param(False, id="fails")])
async def test_no_journal_and_not_persisted_is_a_503(holding: bool) -> None:
    """What could neither be done nor be kept is the sender's to bring again."""
    refresh = FakeRefresh(1)
    world = World(refresh, budget=SHORT)
    world.journal.holding = holding
    world.journal.working = False
    answer = await world.answer()
    assert answer.code == 503
    assert dict(answer.headers)["Retry-After"] == "5"
    refresh.persist()
    world.journal.commit()
    await turns()
    assert len(world.deliveries) == 0, "it goes on, and is forgotten when it is done"


async def test_no_journal_but_persisted_in_time_is_a_200() -> None:
    """A full disk does not refuse what the API server has stored."""
    refresh = FakeRefresh(1)
    refresh.persist()
    world = World(refresh)
    world.journal.working = False
    assert (await world.answer()).code == 200
    assert world.journal.calls == [("record", "d1")], "a row that was never written is not finished"


async def test_persisted_while_the_journal_was_waited_for_is_a_200() -> None:
    """The refreshes may win over a journal that fails."""
    refresh = FakeRefresh(1, failing=True)
    world = World(refresh)
    world.journal.holding = True
    world.journal.working = False
    reply = asyncio.ensure_future(world.answer())
    await turns()
    refresh.persist()
    world.journal.commit()
    assert says(await reply) == (200, "refreshed 1 warehouse(s)")


async def test_nothing_matched_is_recorded_before_it_is_answered() -> None:
    """A Warehouse that is seen only later must find the delivery, also after a crash."""
    world = World()
    world.journal.holding = True
    reply = asyncio.ensure_future(world.answer())
    await turns()
    assert not reply.done()
    world.journal.commit()
    assert says(await reply) == (200, "refreshed 0 warehouse(s)")


async def test_nothing_matched_is_a_200_without_a_journal() -> None:
    """Azure DevOps' Test button succeeds on a full disk too."""
    world = World()
    world.journal.working = False
    assert (await world.answer()).code == 200


async def test_the_rest_follows_and_is_logged_and_finished() -> None:
    """After a 202 the outcome is in the journal and in the log, under the same id."""
    refresh = FakeRefresh(2, failing=True)
    world = World(refresh)
    with capture_logs() as lines:
        await world.answer()
        assert world.journal.calls == [("record", "d1")]
        world.clock += 30
        refresh.persist(2)
        await turns()
    assert world.journal.calls == [("record", "d1"), ("finish", "d1")]
    answered, completed = lines
    assert answered == {
        "event": "delivery",
        "log_level": "info",
        "receiver": "kargo-demo/az",
        "source": "acr",
        "event_type": "push",
        "repository": "example.azurecr.io/app",
        "matched": 2,
        "refreshed": 0,
        "rejected": 0,
        "seconds": 0.0,
        "id": "d1",
        "sender_id": "sender-1",
        "code": 202,
    }
    assert completed["event"] == "delivery_completed"
    assert (completed["id"], completed["refreshed"], completed["seconds"]) == ("d1", 2, 30.0)


# --- one delivery takes another's place ---


async def test_superseded_row_goes_once_the_newer_is_committed() -> None:
    """The older row stands until the one that carries its work is on disk."""
    old, new = FakeRefresh(1, failing=True), FakeRefresh(1, failing=True)
    world = World(old, new)
    await world.answer("old")
    world.journal.holding = True
    # As the dispatcher does it: while the newer one is being dispatched, before its row is queued.
    world.dispatcher.on_dispatch = lambda: old.supersede("new")
    reply = asyncio.ensure_future(world.answer("new"))
    await turns()
    assert world.journal.calls == [("record", "old"), ("record", "new")]
    world.journal.commit()
    await reply
    assert world.journal.calls[2:] == [("supersede", "old", "new")]
    assert len(world.deliveries) == 1


async def test_superseded_row_stays_if_the_newer_can_not_be_written() -> None:
    """On a disk that is full by now, the old row answers for both until the work is done."""
    old, new = FakeRefresh(1, failing=True), FakeRefresh(1, failing=True)
    world = World(old, new, budget=SHORT)
    await world.answer("old")
    world.journal.working = False
    world.dispatcher.on_dispatch = lambda: old.supersede("new")
    assert (await world.answer("new")).code == 503
    await turns()
    assert not [call for call in world.journal.calls if call[0] == "supersede"]
    new.persist()
    await turns()
    assert world.journal.calls[-1] == ("finish", "old")
    assert len(world.deliveries) == 0


async def test_a_chain_of_superseded_rows_ends_with_the_last() -> None:
    """If the newer one without a row is superseded in turn, the oldest waits for the one after it."""
    first, second, third = (FakeRefresh(1, failing=True) for _ in range(3))
    world = World(first, second, third, budget=SHORT)
    await world.answer("1")
    world.journal.working = False
    world.dispatcher.on_dispatch = lambda: first.supersede("2")
    await world.answer("2")
    world.dispatcher.on_dispatch = lambda: second.supersede("3")
    await world.answer("3")
    await turns()
    assert not [call for call in world.journal.calls if call[0] == "supersede"]
    third.persist()
    await turns()
    assert world.journal.calls[-1] == ("finish", "1")
    assert len(world.deliveries) == 0


async def test_superseded_by_several_waits_for_all_of_them() -> None:
    """A batch's row stands for each of its repositories."""
    batch, one, two = (FakeRefresh(1, failing=True) for _ in range(3))
    world = World(batch, one, two)
    await world.answer("batch", [IMAGE, Subject("image", "example.azurecr.io/other")])
    await world.answer("one")
    world.journal.holding = True
    world.dispatcher.on_dispatch = lambda: batch.supersede("one", "two")
    reply = asyncio.ensure_future(world.answer("two"))
    await turns()
    assert world.journal.calls[-1] == ("record", "two")
    world.journal.commit()
    await reply
    assert world.journal.calls[-2:] == [("record", "two"), ("supersede", "batch", "one", "two")]


async def test_an_outage_holds_no_more_than_the_newest_delivery() -> None:
    """What waits while the API server is down is Warehouses, not deliveries."""
    refreshes = [FakeRefresh(1, failing=True) for _ in range(200)]
    world = World(*refreshes)
    for number, previous in enumerate([None, *refreshes[:-1]]):
        if previous is not None:
            world.dispatcher.on_dispatch = lambda p=previous, n=number: p.supersede(f"{n}")  # type: ignore[misc]
        assert (await world.answer(str(number))).code == 202
    await turns()
    assert len(world.deliveries) == 1


# --- start ---


async def test_unfinished_deliveries_are_taken_up_at_start() -> None:
    """What a dead process owed is refreshed, and then finished in the journal."""
    refresh = FakeRefresh(2)
    world = World(refresh)
    world.deliveries.resume(arrival("from-before"), owed=True)
    assert world.dispatcher.dispatched[0][3] == "from-before"
    assert refresh.detached
    assert world.journal.calls == []
    refresh.persist(2)
    await turns()
    assert world.journal.calls == [("finish", "from-before")]


async def test_finished_delivery_resumed_for_late_warehouses_never_stands_for_another() -> None:
    """A finished row is not taken up again: a row that it supersedes stays until the work is done."""
    owed, late = FakeRefresh(1), FakeRefresh(1)
    world = World(owed, late)
    world.deliveries.resume(arrival("owed"), owed=True)
    world.dispatcher.on_dispatch = lambda: owed.supersede("late")
    world.deliveries.resume(arrival("late"), owed=False)
    await turns()
    assert world.journal.calls == []
    late.persist()
    await turns()
    assert world.journal.calls == [("finish", "owed")]


async def test_unanswered_at_shutdown_goes_on() -> None:
    """A sender that can't be answered in time costs nothing: the outcome still reaches the journal."""
    refresh = FakeRefresh(1)
    world = World(refresh)
    reply = asyncio.ensure_future(world.answer())
    await turns()
    world.deliveries.give_up()
    assert refresh.detached
    refresh.persist()
    await turns()
    assert world.journal.calls[-1] == ("finish", "d1")
    assert not reply.done()
    reply.cancel()


async def test_fault_while_beginning_leaves_nothing_open() -> None:
    """A fault of ours is the caller's to report, and holds no memory."""
    world = World()

    def broken() -> None:
        raise RuntimeError("broken")

    world.dispatcher.on_dispatch = broken
    with pytest.raises(RuntimeError):
        world.deliveries.begin(arrival(), world.clock)
    assert len(world.deliveries) == 0


async def test_close_stops_waiting() -> None:
    """At shutdown nothing of a delivery is left behind but its row."""
    old, new = FakeRefresh(1, failing=True), FakeRefresh(1, failing=True)
    world = World(old, new)
    await world.answer("old")
    world.journal.working = False
    world.dispatcher.on_dispatch = lambda: old.supersede("new")
    await world.answer("new")
    await turns()
    await world.deliveries.close()
    assert len(asyncio.all_tasks()) == 1
    assert not [call for call in world.journal.calls if call[0] == "supersede"]


# --- what is logged of a sender's text ---


@pytest.mark.parametrize(
    ("urls", "text"),
    [
        pytest.param(["reg.azurecr.io/app"], "reg.azurecr.io/app", id="plain"),
        pytest.param(["a", "b", "c"], "a and 2 more", id="batch"),
        pytest.param(["a\nb\x1b[31m\u202e"], "a�b�[31m�", id="control"),
        pytest.param(["https://user:token@dev.azure.com/o/p"], "https://dev.azure.com/o/p", id="user-info"),
        pytest.param(["x" * 256], "x" * 256, id="at-limit"),
        pytest.param(["x" * 257], "x" * 256 + "…", id="past-limit"),
        pytest.param(["https://" + "u" * 5000 + "@h/"], "https://h/", id="endless-user-info"),
    ],
)
def test_repository_in_the_log_is_harmless(urls: list[str], text: str) -> None:
    """A repository name breaks no log line, swells no log and leaks no credential."""
    assert printable([Subject("git", url) for url in urls]) == text


def test_sender_id_in_the_log_is_harmless() -> None:
    """The sender's id is cleaned the same way."""
    assert clean("1\r\n2") == "1��2"
