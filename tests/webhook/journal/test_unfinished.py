"""Shares of the room for unfinished deliveries: one Project can't take that of others."""

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from tests.support.deliveries import arrival
from tests.support.journal import NOW, finish, hold, left, opened, outcomes, record
from webhook.arrival import Arrival
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.journal import Journal

LIMITS = HistoryLimits(unfinished=1_000_000, project=20_000)


def large(name: str, project: str = "a") -> Arrival:
    return arrival(name, ("image", f"{name}/" + "x" * 100_000), receiver=f"{project}/az{name}")


async def kept(journal: Journal, *arrivals: Arrival) -> list[bool]:
    return await asyncio.gather(*(journal.record(each, 1) for each in arrivals))


async def test_one_project_can_not_take_the_room_of_others(tmp_path: Path) -> None:
    """Whoever holds as much as is free is refused, at once; all others still fit."""
    async with opened(tmp_path, LIMITS) as journal:
        with capture_logs() as logs:
            results = await kept(journal, *(large(str(number)) for number in range(140)))
        assert results == [True] * 5 + [False] * 135
        assert [(line["event"], line["project"]) for line in logs] == [("journal_share_used_up", "a")]
        assert (journal.failing, journal.pending) == (False, 5)
        assert await kept(journal, *(large(f"b{number}", "b") for number in range(3))) == [True, True, False]
        small = [arrival(f"c{number}", receiver=f"c{number % 10}/az") for number in range(100)]
        assert await kept(journal, *small) == [True] * 100


async def test_queued_rows_count_before_they_are_written(tmp_path: Path) -> None:
    """Memory is bounded while a disk hangs: what is beyond a Project's share is refused at once."""
    journal = await Journal.open(tmp_path, limits=LIMITS)  # nothing writes
    results = [journal.record(large(str(number)), 1) for number in range(10)]
    assert [each.done() for each in results] == [False] * 5 + [True] * 5
    assert not any(each.result() for each in results[5:])
    await journal.close()
    assert [each.result() for each in results] == [True] * 5 + [False] * 5


async def test_what_ends_makes_room(tmp_path: Path) -> None:
    """Finished, superseded and refused deliveries count no more, each once."""
    async with opened(tmp_path, LIMITS) as journal:
        for number in range(0, 60, 4):
            names = [str(number + each) for each in range(4)]
            assert await kept(journal, *map(large, names)) == [True] * 4
            for name in names[:3]:
                finish(journal, name)
                finish(journal, name)
            journal.supersede(names[3], by=names[:1])
        assert await kept(journal, large("last")) == [True]
        assert journal.pending == 1


async def test_many_subjects_count_by_what_they_take_in_memory(tmp_path: Path) -> None:
    """A delivery of 450 short repositories is 9 KB on the disk, and half a megabyte while unfinished."""
    many = tuple(("image", f"r{number}") for number in range(450))
    async with opened(tmp_path, LIMITS) as journal:
        assert await kept(journal, arrival("1", *many), arrival("2", *many)) == [True, False]


async def test_what_an_earlier_process_left_counts(tmp_path: Path) -> None:
    """A restart gives no Project room anew; what it resumes and finishes makes room."""
    async with opened(tmp_path, LIMITS) as journal:
        assert await kept(journal, *map(large, "12345")) == [True] * 5
    async with opened(tmp_path, LIMITS) as journal:
        assert await kept(journal, large("6")) == [False]
        for name in await left(journal):
            finish(journal, name)
        assert await kept(journal, large("7"), large("8", "b")) == [True, True]


async def test_a_file_that_an_earlier_release_filled_leaves_room_for_others(tmp_path: Path) -> None:
    """Although one Project holds more than all may, each other one can still have its small share."""
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    record(file, *(large(str(number)) for number in range(30)))
    file.close()
    async with opened(tmp_path, LIMITS) as journal:
        assert await kept(journal, large("x"), arrival("b", receiver="b/az")) == [False, True]


async def test_outcomes_make_room_for_the_records_beside_them(tmp_path: Path) -> None:
    """One commit ends some and keeps others, its own included, although there was no room before."""
    async with opened(tmp_path, LIMITS) as journal:
        assert await kept(journal, *map(large, "12345")) == [True] * 5
        holder = hold(tmp_path)
        ahead = journal.record(arrival("ahead", receiver="b/az"), 1)
        for name in "12345":
            finish(journal, name)
        recorded = [journal.record(large(name), 1) for name in "678"]
        finish(journal, "6")
        holder.close()
        assert all(await asyncio.gather(ahead, *recorded))
    assert outcomes(tmp_path) == dict.fromkeys("123456", "refreshed") | {"ahead": None, "7": None, "8": None}
