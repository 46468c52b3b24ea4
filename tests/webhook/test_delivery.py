"""From an event to its answer."""

import pytest

from tests.support.deliveries import IMAGE, World, says
from tests.support.fakes import FakeRefresh
from webhook.arrival import Subject
from webhook.reporting import clean, printable


async def test_everything_persisted_in_time_is_a_200_with_the_number() -> None:
    """A sender whose refreshes are all stored within the budget learns how many there were."""
    refresh = FakeRefresh(3)
    world = World(refresh)
    reply = world.send()
    await world.clock.settle()
    assert not reply.done()
    refresh.persist(3)
    assert says(await reply) == (200, "refreshed 3 warehouse(s)")
    await world.clock.settle()
    assert world.journal.calls == [("record", "d1"), ("finish", "d1")]
    assert world.metrics.matches == [3]
    assert len(world.deliveries) == 0
    assert world.clock.pending == [], "nothing of it is left to happen"


async def test_work_and_journal_begin_before_anything_is_awaited() -> None:
    """The row is queued and the refresh requested in the turn in which the event was understood."""
    world = World(FakeRefresh(1))
    world.journal.holding = True
    world.begin()
    assert world.journal.calls == [("record", "d1")]
    assert world.dispatcher.dispatched == [("kargo-demo/az", (IMAGE,), 1_800_000_000.0, "d1")]


async def test_persisted_in_time_does_not_wait_for_the_disk() -> None:
    """A 200 for stored refreshes needs no journal: a slow disk costs it nothing."""
    refresh = FakeRefresh(1)
    refresh.persist()
    world = World(refresh)
    world.journal.holding = True
    assert says(await world.answer()) == (200, "refreshed 1 warehouse(s)")


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
    world = World(pending(*refresh))
    reply = world.send("d1", (kind, "x"))
    await world.clock.advance(4.0)
    assert says(reply.result()) == (code, text)


async def test_budget_runs_from_the_headers() -> None:
    """Time that the body took is taken off what a sender waits for the refreshes."""
    world = World(FakeRefresh(1), FakeRefresh(1))
    slow = world.see_through(world.begin("slow", spent=3.9))
    fast = world.send("fast")
    await world.clock.advance(0.09)
    assert not slow.done()
    await world.clock.advance(0.01)
    assert slow.result().code == 202
    await world.clock.advance(3.89)
    assert not fast.done()
    await world.clock.advance(0.01)
    assert fast.result().code == 202


async def test_failing_refresh_is_a_202_at_once() -> None:
    """In an outage of the API server no sender is held for the budget."""
    refresh = FakeRefresh(2, failing=True)
    world = World(refresh)
    assert says(await world.answer()) == (202, "refreshed 0 of 2 warehouse(s); the rest will follow")
    assert refresh.detached


async def test_202_waits_for_the_journal() -> None:
    """What is not yet persisted is promised only once it is on disk."""
    world = World(FakeRefresh(1, failing=True))
    world.journal.holding = True
    reply = world.send()
    await world.clock.settle()
    assert not reply.done()
    world.journal.commit()
    assert (await reply).code == 202


@pytest.mark.parametrize("holding", [pytest.param(True, id="hangs"), pytest.param(False, id="fails")])
async def test_no_journal_and_not_persisted_is_a_503(holding: bool) -> None:
    """What could neither be done nor be kept is the sender's to bring again."""
    refresh = FakeRefresh(1)
    world = World(refresh)
    world.journal.holding = holding
    world.journal.working = False
    answer = await world.answer_late()
    assert answer.code == 503
    assert dict(answer.headers)["Retry-After"] == "5"
    refresh.persist()
    world.journal.commit()
    await world.clock.settle()
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
    reply = world.send()
    await world.clock.settle()
    refresh.persist()
    world.journal.commit()
    assert says(await reply) == (200, "refreshed 1 warehouse(s)")


async def test_nothing_matched_is_recorded_before_it_is_answered() -> None:
    """A Warehouse that is seen only later must find the delivery, also after a crash."""
    world = World()
    world.journal.holding = True
    reply = world.send()
    await world.clock.settle()
    assert not reply.done()
    world.journal.commit()
    assert says(await reply) == (200, "refreshed 0 warehouse(s)")


async def test_nothing_matched_is_a_200_without_a_journal() -> None:
    """Azure DevOps' Test button succeeds on a full disk too."""
    world = World()
    world.journal.working = False
    assert (await world.answer()).code == 200


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
