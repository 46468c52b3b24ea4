"""What the journal's file keeps, and what it lets go."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.deliveries import arrival
from tests.support.journal import NOW, ended, outcomes, record
from webhook.arrival import Subject
from webhook.journal import file as file_module
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.schema import FILE_NAME
from webhook.journal.statements import End


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def file(folder: Path) -> Iterator[JournalFile]:
    file = JournalFile.open(folder, HistoryLimits(), NOW)
    yield file
    file.close()


def resumed(file: JournalFile, since: float = 0.0) -> list[tuple[str, bool]]:
    """All that is to be resumed, slice by slice."""
    found, after = [], 0
    while part := file.resumable(after, since, NOW):
        found += [(each.arrival.id, each.owed) for each in part]
        after = part[-1].seq
    return found


def reopen(file: JournalFile, folder: Path, limits: HistoryLimits | None = None) -> JournalFile:
    file.close()
    return JournalFile.open(folder, limits or HistoryLimits(), NOW)


def test_a_delivery_comes_back_as_it_was(file: JournalFile, folder: Path) -> None:
    """Everything needed to match it again, whatever characters the sender wrote."""
    given = arrival(
        "a", ("git", "https://dev.azure.com/org/proj/_git/\u202e\x1b[31m'\"\x00"), ("image", "ü/😀")
    )
    given.delivery_count = 3
    record(file, given)
    file = reopen(file, folder)
    assert file.pending == 1
    assert [each.arrival for each in file.resumable(0, 0.0, NOW)] == [given]
    file.close()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(
            "https://org@dev.azure.com/org/p/_git/r", "https://dev.azure.com/org/p/_git/r", id="user"
        ),
        pytest.param("HTTPS://u:t@ken@h/org", "HTTPS://h/org", id="password with an at sign"),
        pytest.param(" https://u:pw@h/org", "https://h/org", id="behind a space"),
        pytest.param("ssh://u:pw@h/org", "ssh://u@h/org", id="password over ssh"),
        pytest.param("https://h/org?token=x", "https://h/org", id="query"),
        pytest.param("git@ssh.dev.azure.com:v3/o/p/r", "git@ssh.dev.azure.com:v3/o/p/r", id="ssh: no secret"),
        pytest.param("https://h/a@b", "https://h/a@b", id="at sign in the path"),
        pytest.param("half \ud800 a pair", "half ? a pair", id="what UTF-8 can't hold"),
    ],
)
def test_no_password_and_nothing_unstorable_gets_in(
    file: JournalFile, folder: Path, given: str, kept: str
) -> None:
    """A token in a clone URL is not written to the disk; text that can't be stored fails nobody's row."""
    record(file, replace(arrival("a", ("git", given)), sender_id="\udcff" * 1000), arrival("b"))
    file = reopen(file, folder)
    first, _ = file.resumable(0, 0.0, NOW)
    assert first.arrival.subjects == (Subject("git", kept),)
    assert first.arrival.sender_id == "?" * 300
    file.close()


def test_unfinished_and_recent_deliveries_are_resumed_oldest_first(file: JournalFile, folder: Path) -> None:
    """After a restart: all unfinished, and what came since a moment; nothing of this process's own."""
    record(
        file,
        arrival("old unfinished", received=NOW - 5000),
        arrival("old", received=NOW - 2000),
        arrival("recent x", ("image", "x"), received=NOW - 1200),
        arrival("recent x again", ("image", "x"), received=NOW - 1000),
        arrival("unfinished z", ("image", "z"), received=NOW - 10),
        arrival("finished z", ("image", "z"), received=NOW - 5),
    )
    done = ("old", "recent x", "recent x again", "finished z")
    file.write([], [ended(each) for each in done], NOW - 1000, NOW)
    file = reopen(file, folder)
    assert file.last_alive == NOW - 1000
    record(file, arrival("of this process"))
    assert resumed(file, since=NOW - 1300) == [
        ("old unfinished", True),
        ("recent x", False),
        ("recent x again", False),
        ("unfinished z", True),
        ("finished z", False),
    ]
    file.close()


def test_slices_are_bounded_by_rows_and_by_bytes(
    file: JournalFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in the file, little of it is read at a time; what is larger alone comes alone."""
    monkeypatch.setattr(file_module, "SLICE_ROWS", 3)
    monkeypatch.setattr(file_module, "SLICE_BYTES", 10_000)
    sizes = [10, 10, 10, 10, 50_000, 20_000, 10, 9_000, 9_000]
    record(file, *(arrival(str(number), ("image", "x" * size)) for number, size in enumerate(sizes)))
    file = reopen(file, folder)
    slices, after = [], 0
    while part := file.resumable(after, 0.0, NOW):
        slices.append([int(each.arrival.id) for each in part])
        after = part[-1].seq
    assert slices == [[0, 1, 2], [3, 4], [5], [6, 7, 8]]
    file.close()


def test_superseded_only_when_all_carriers_have_rows(file: JournalFile, folder: Path) -> None:
    """The older delivery stays unfinished until the newer ones that carry it are on the disk."""
    superseded = End("old", "superseded", superseded_by='["carrier 1", "carrier 2"]')
    record(file, arrival("old"), arrival("carrier 1"), ends=[superseded])
    assert (file.pending, outcomes(folder)["old"]) == (2, None)
    record(file, arrival("carrier 2"), ends=[superseded])
    assert (file.pending, outcomes(folder)["old"]) == (2, "superseded")
    record(file, ends=[ended("old")])
    assert (file.pending, outcomes(folder)["old"]) == (2, "superseded")


def test_pending_counts_each_delivery_once(file: JournalFile, folder: Path) -> None:
    """The gauge is right after repeated requests, unknown ids and a restart."""
    record(file, arrival("a"), arrival("a"), arrival("b"), arrival("c"))
    record(file, arrival("a"))
    assert file.pending == 3
    record(file, ends=[ended("a"), ended("a"), ended("unknown")])
    assert (file.pending, file.finished) == (2, 1)
    file = reopen(file, folder)
    assert (file.pending, file.finished) == (2, 1)
    file.close()


def test_what_is_unfinished_is_summed_up_by_project(file: JournalFile, folder: Path) -> None:
    """What earlier processes left counts against its Project's share."""
    record(file, arrival("a", ("image", "x" * 5000)), arrival("b", receiver="kargo-demo/other"))
    record(file, arrival("c", ("image", "x"), ("image", "y"), receiver="cluster/all"), arrival("done"))
    record(file, ends=[ended("done")])
    file = reopen(file, folder)
    assert set(file.found) == {"kargo-demo", "cluster"}
    assert 7_000 < file.found["kargo-demo"] < 10_000
    assert 2_000 < file.found["cluster"] < 4_000
    file.close()


@pytest.mark.parametrize("finished", [1, 7, 600])
def test_history_is_bounded_by_count_and_keeps_the_unfinished(folder: Path, finished: int) -> None:
    """The newest finished deliveries stay, and every unfinished one however old."""
    file = JournalFile.open(folder, HistoryLimits(finished=finished), NOW)
    record(file, arrival("unfinished"))
    for start in range(0, 2000, 40):
        names = [str(each) for each in range(start, start + 40)]
        record(file, *map(arrival, names), ends=[ended(name) for name in names])
        assert file.finished <= finished
    kept = outcomes(folder)
    assert kept.pop("unfinished") is None
    assert len(kept) == file.finished
    assert list(kept) == [str(each) for each in range(2000 - len(kept), 2000)]
    file.close()


def test_a_flood_of_one_project_displaces_its_own_history_only(folder: Path) -> None:
    """Whose finished deliveries are too many loses the oldest of them; others keep theirs, however old."""
    file = JournalFile.open(folder, HistoryLimits(finished=1000), NOW)
    others = [arrival(f"other {number}", receiver=f"b{number % 10}/az") for number in range(100)]
    record(file, *others, ends=[ended(each.id) for each in others])
    for start in range(0, 20_000, 1000):
        flood = [arrival(f"a {each}", receiver=f"a/az{each % 2}") for each in range(start, start + 1000)]
        record(file, *flood, ends=[ended(each.id) for each in flood])
    kept = outcomes(folder)
    assert file.finished == len(kept) <= 1000
    assert sum(name.startswith("other") for name in kept) == 100
    assert "a 19999" in kept
    file.close()


def test_history_is_bounded_by_age(folder: Path) -> None:
    """A finished delivery goes when it is a week old, an unfinished one never; without any new one too."""
    file = JournalFile.open(folder, HistoryLimits(seconds=1000), NOW)
    record(file, *(arrival(name, received=NOW) for name in ("done", "unfinished")))
    record(file, ends=[ended("done")])
    file.write([], [], None, NOW + 999)
    assert set(outcomes(folder)) == {"done", "unfinished"}
    file.write([], [], None, NOW + 1100)
    assert outcomes(folder) == {"unfinished": None}
    assert (file.pending, file.finished) == (1, 0)
    file.close()


def test_age_is_looked_at_although_the_clock_was_set_back(folder: Path) -> None:
    """A clock that was an hour ahead for a moment does not stop the removal of old deliveries for an hour."""
    file = JournalFile.open(folder, HistoryLimits(seconds=1000), NOW + 3600)
    file.write([], [], None, NOW + 3600)
    record(file, arrival("done", received=NOW - 2000), ends=[ended("done")], now=NOW)
    assert outcomes(folder) == {}
    file.close()


def test_the_files_size_is_bounded(folder: Path) -> None:
    """Large deliveries push old ones out of a full file, never an unfinished one."""
    limit = 1024 * 1024
    file = JournalFile.open(folder, HistoryLimits(bytes=limit), NOW)
    record(file, arrival("unfinished"))
    for number in range(100):
        record(file, arrival(f"large {number}", ("image", "x" * 100_000)))
        record(file, ends=[ended(f"large {number}")])
    kept = outcomes(folder)
    assert kept["unfinished"] is None
    assert "large 99" in kept
    assert (folder / FILE_NAME).stat().st_size <= limit + 300_000
    assert sum(each.stat().st_size for each in folder.iterdir()) < limit + 10 * 1024 * 1024
    file.close()


def test_room_is_made_at_the_expense_of_who_takes_most_of_it(folder: Path) -> None:
    """A few huge deliveries of one Project do not push the many small ones of others out of the file."""
    file = JournalFile.open(folder, HistoryLimits(bytes=2 * 1024 * 1024), NOW)
    others = [arrival(f"other {number}", receiver="b/az") for number in range(1000)]
    record(file, *others, ends=[ended(each.id) for each in others])
    for number in range(40):
        huge = arrival(f"huge {number}", ("image", "x" * 200_000), receiver="a/az")
        record(file, huge, ends=[ended(huge.id)])
    kept = outcomes(folder)
    assert sum(name.startswith("other") for name in kept) == 1000
    assert file.finished == len(kept)
    file.close()


def test_a_file_that_an_earlier_release_filled_can_be_emptied(folder: Path) -> None:
    """Outcomes are written into a file that is full of unfinished deliveries; then there is room again."""
    limit = 1024 * 1024
    file = JournalFile.open(folder, HistoryLimits(bytes=2 * limit), NOW)
    names = [str(number) for number in range(600)]
    record(file, *(arrival(name, ("image", "x" * 2000)) for name in names))
    file = reopen(file, folder, HistoryLimits(bytes=limit))
    for name in names:
        record(file, ends=[ended(name, "partly_rejected")])
    record(file, *(arrival(f"new {name}", ("image", "x" * 2000)) for name in names[:300]))
    assert file.pending == 300
    assert (folder / FILE_NAME).stat().st_size < 3 * limit
    file.close()
