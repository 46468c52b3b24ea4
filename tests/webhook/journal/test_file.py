"""What the journal's file keeps, what it lets go, and what it survives."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.deliveries import arrival
from webhook.arrival import Arrival, Subject
from webhook.journal.file import JournalFile
from webhook.journal.requests import Batch, Finish, HistoryLimits, Record, Supersede
from webhook.journal.schema import FILE_NAME, MIGRATIONS, JournalError, migrate, move_aside

NOW = 1_800_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def file(folder: Path) -> Iterator[JournalFile]:
    file = JournalFile.open(folder, HistoryLimits(), NOW)
    yield file
    file.close()


def finish(delivery: str) -> Finish:
    return Finish("refreshed", 1, 0, 0.1, 1, delivery)


def record(file: JournalFile, *arrivals: Arrival, now: float = NOW) -> None:
    file.write(Batch(records=[Record(each, 1) for each in arrivals]), now)


def resumed(file: JournalFile, window: float = 300.0, now: float = NOW) -> list[tuple[str, bool]]:
    rows = dict(file.resumable(window, now))
    return [(each.id, rows[row]) for row, each in file.read([*rows], now)]


def reopen(file: JournalFile, folder: Path, limits: HistoryLimits | None = None) -> JournalFile:
    file.close()
    return JournalFile.open(folder, limits or HistoryLimits(), NOW)


def outcomes(folder: Path) -> dict[str, str | None]:
    database = sqlite3.connect(folder / FILE_NAME)
    try:
        return dict(database.execute("SELECT id, outcome FROM delivery ORDER BY seq").fetchall())
    finally:
        database.close()


def test_a_delivery_comes_back_as_it_was(file: JournalFile, folder: Path) -> None:
    """Everything needed to match it again, whatever characters the sender wrote."""
    given = arrival(
        "a", ("git", "https://dev.azure.com/org/proj/_git/\u202e\x1b[31m'\"\x00"), ("image", "ü/😀")
    )
    given.delivery_count = 3
    record(file, given)
    file = reopen(file, folder)
    assert file.pending == 1
    rows = file.resumable(300, NOW)
    assert [each for _, each in file.read([row for row, _ in rows], NOW)] == [given]
    file.close()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(
            "https://org@dev.azure.com/org/p/_git/r", "https://dev.azure.com/org/p/_git/r", id="user"
        ),
        pytest.param("HTTPS://u:t@ken@h/org", "HTTPS://h/org", id="password with an at sign"),
        pytest.param("git@ssh.dev.azure.com:v3/o/p/r", "git@ssh.dev.azure.com:v3/o/p/r", id="ssh: no secret"),
        pytest.param("https://h/a@b", "https://h/a@b", id="at sign in the path"),
        pytest.param("half \ud800 a pair", "half ? a pair", id="what UTF-8 can't hold"),
    ],
)
def test_no_password_and_nothing_unstorable_gets_in(file: JournalFile, given: str, kept: str) -> None:
    """A token in a clone URL is not written to the disk; text that can't be stored fails nobody's row."""
    record(file, replace(arrival("a", ("git", given)), sender_id="\udcff" * 1000), arrival("b"))
    (_, first), _ = file.read([1, 2], NOW)
    assert first.subjects == (Subject("git", kept),)
    assert first.sender_id == "?" * 300


def test_unfinished_and_recent_deliveries_are_resumed_oldest_first(file: JournalFile, folder: Path) -> None:
    """After a restart: all unfinished, and the latest of each repository since before the sign of life."""
    record(
        file,
        arrival("old unfinished", received=NOW - 5000),
        arrival("old", received=NOW - 2000),
        arrival("recent x", ("image", "x"), received=NOW - 1200),
        arrival("recent y", ("image", "y"), received=NOW - 1100),
        arrival("recent x again", ("image", "x"), received=NOW - 1000),
        arrival("unfinished z", ("image", "z"), received=NOW - 10),
        arrival("finished z", ("image", "z"), received=NOW - 5),
        arrival("other receiver's z", ("image", "z"), receiver="b/az", received=NOW - 5),
    )
    done = ("old", "recent x", "recent y", "recent x again", "finished z", "other receiver's z")
    file.write(Batch(finishes=[finish(each) for each in done], alive=NOW - 1000), NOW)
    file = reopen(file, folder)
    assert file.last_alive == NOW - 1000
    record(file, arrival("of this process"))
    assert resumed(file) == [
        ("old unfinished", True),
        ("recent y", False),
        ("recent x again", False),
        ("unfinished z", True),
        ("finished z", False),
        ("other receiver's z", False),
    ]
    file.close()


def test_resumed_finished_deliveries_are_bounded(file: JournalFile, folder: Path) -> None:
    """A burst just before the restart does not delay it: the newest are taken."""
    names = [f"{number:03}" for number in range(100)]
    record(file, *(arrival(name, ("image", name)) for name in names))
    file.write(Batch(finishes=[finish(name) for name in names[1:]]), NOW)
    file = reopen(file, folder, HistoryLimits(resumed=2))
    assert resumed(file) == [("000", True), ("098", False), ("099", False)]
    file.close()


def test_superseded_only_when_all_carriers_have_rows(file: JournalFile, folder: Path) -> None:
    """The older delivery stays unfinished until the newer ones that carry it are on the disk."""
    record(file, arrival("old"), arrival("carrier 1"))
    file.write(Batch(supersedes=[Supersede('["carrier 1", "carrier 2"]', "old")]), NOW)
    assert (file.pending, outcomes(folder)["old"]) == (2, None)
    file.write(
        Batch(
            records=[Record(arrival("carrier 2"), 1)],
            supersedes=[Supersede('["carrier 1", "carrier 2"]', "old")],
        ),
        NOW,
    )
    assert (file.pending, outcomes(folder)["old"]) == (2, "superseded")
    file.write(Batch(finishes=[finish("old")]), NOW)
    assert (file.pending, outcomes(folder)["old"]) == (2, "superseded")


def test_pending_counts_each_delivery_once(file: JournalFile, folder: Path) -> None:
    """The gauge is right after repeated requests, unknown ids and a restart."""
    record(file, arrival("a"), arrival("a"), arrival("b"), arrival("c"))
    record(file, arrival("a"))
    assert file.pending == 3
    file.write(Batch(finishes=[finish("a"), finish("a"), finish("unknown")]), NOW)
    assert (file.pending, file.finished) == (2, 1)
    file = reopen(file, folder)
    assert (file.pending, file.finished) == (2, 1)
    file.close()


@pytest.mark.parametrize("finished", [1, 7, 600])
def test_history_is_bounded_by_count_and_keeps_the_unfinished(folder: Path, finished: int) -> None:
    """The newest finished deliveries stay, and every unfinished one however old."""
    file = JournalFile.open(folder, HistoryLimits(finished=finished), NOW)
    record(file, arrival("unfinished"))
    for start in range(0, 2000, 40):
        number = range(start, start + 40)
        record(file, *(arrival(str(each)) for each in number))
        file.write(Batch(finishes=[finish(str(each)) for each in number]), NOW)
        assert file.finished <= finished
    kept = outcomes(folder)
    assert kept.pop("unfinished") is None
    assert len(kept) == file.finished
    assert list(kept) == [str(each) for each in range(2000 - len(kept), 2000)]
    file.close()


def test_history_is_bounded_by_age(folder: Path) -> None:
    """A finished delivery goes when it is a week old, an unfinished one never; without any new one too."""
    file = JournalFile.open(folder, HistoryLimits(seconds=1000), NOW)
    record(file, *(arrival(name, received=NOW) for name in ("done", "unfinished")))
    file.write(Batch(finishes=[finish("done")]), NOW)
    file.write(Batch(), NOW + 999)
    assert set(outcomes(folder)) == {"done", "unfinished"}
    file.write(Batch(), NOW + 1100)
    assert outcomes(folder) == {"unfinished": None}
    assert (file.pending, file.finished) == (1, 0)
    file.close()


def fits(file: JournalFile, name: str) -> bool:
    try:
        record(file, arrival(name, ("image", "x" * 100_000)))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        return False
    return True


def test_the_files_size_is_bounded(folder: Path) -> None:
    """Large deliveries push old ones out of a full file; when all is unfinished, new ones are refused."""
    limit = 1024 * 1024
    file = JournalFile.open(folder, HistoryLimits(bytes=limit), NOW)
    record(file, arrival("unfinished"))
    for number in range(100):
        record(file, arrival(f"large {number}", ("image", "x" * 100_000)))
        file.write(Batch(finishes=[finish(f"large {number}")]), NOW)
    kept = outcomes(folder)
    assert kept["unfinished"] is None
    assert "large 99" in kept
    assert (folder / FILE_NAME).stat().st_size <= limit
    assert sum(each.stat().st_size for each in folder.iterdir()) < limit + 10 * 1024 * 1024
    refused = [number for number in range(100) if not fits(file, f"unfinished {number}")]
    assert 0 < refused[0] < 11
    assert refused == [*range(refused[0], 100)]
    pending = file.pending
    file.write(Batch(finishes=[finish("unfinished 0")]), NOW)
    record(file, arrival("there is room again", ("image", "x" * 50_000)))
    assert file.pending == pending
    file.close()


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" + path.read_bytes()[21:])


def damage_middle(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 8192) + content[-4096:])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def from_the_future(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(damage_header, "corrupt", id="garbage in the header"),
        pytest.param(damage_middle, "corrupt", id="garbage in the middle"),
        pytest.param(truncate, "corrupt", id="half of the file is gone"),
        pytest.param(from_the_future, "newer", id="schema of a later release"),
    ],
)
def test_an_unreadable_file_is_moved_aside(file: JournalFile, folder: Path, harm: object, why: str) -> None:
    """The receiver starts with a new journal, says so once, and keeps the old file for whoever wants it."""
    record(file, *(arrival(str(number), ("image", "x" * 1000)) for number in range(100)))
    file.close()
    harm(folder / FILE_NAME)  # type: ignore[operator]
    harmed = (folder / FILE_NAME).read_bytes()
    for attempt in (1, 0):
        with capture_logs() as logs:
            file = JournalFile.open(folder, HistoryLimits(), NOW)
        assert file.moved_aside == attempt
        assert [line["event"] for line in logs] == ["journal_moved_aside"] * attempt
        record(file, arrival("new"))
        file.close()
    (aside,) = folder.glob(f"{FILE_NAME}.{why}-*")
    assert aside.name == f"{FILE_NAME}.{why}-20270115T080000Z"
    assert aside.read_bytes() == harmed
    assert outcomes(folder) == {"new": None}


def test_a_file_that_goes_bad_while_in_use_is_moved_aside(file: JournalFile, folder: Path) -> None:
    """Also after the start nothing but a new file helps; the delivery at hand is kept in it."""
    record(file, *(arrival(str(number), ("image", "x" * 1000)) for number in range(3000)))
    assert file._database is not None
    file._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file._database.execute("PRAGMA cache_size = 1")
    with (folder / FILE_NAME).open("r+b") as raw:
        size = raw.seek(0, 2)
        raw.seek(4096)
        raw.write(b"\xa5" * (size - 4096))
    with capture_logs() as logs:
        file.write(Batch(finishes=[finish(str(number)) for number in range(3000)]), NOW)
        record(file, arrival("new"))
    assert [line["event"] for line in logs] == ["journal_moved_aside"]
    assert file.pending == 1
    assert outcomes(folder) == {"new": None}


def test_files_moved_aside_in_one_second_are_all_kept(folder: Path) -> None:
    """Nothing that was moved aside is overwritten, and its write-ahead log is not left to the new file."""
    for number in range(3):
        for suffix in ("", "-wal", "-shm"):
            (folder / (FILE_NAME + suffix)).write_text(f"garbage {number}{suffix}")
        aside = move_aside(folder / FILE_NAME, "corrupt", NOW)
        assert aside.read_text() == f"garbage {number}"
        assert aside.with_name(f"{aside.name}-wal").read_text() == f"garbage {number}-wal"
    assert len([*folder.iterdir()]) == 9
    JournalFile.open(folder, HistoryLimits(), NOW).close()


def test_older_schemas_are_migrated_step_by_step() -> None:
    """Rows survive an update of the receiver; a step that fails leaves the version before it."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, MIGRATIONS)
    database.execute(
        "INSERT INTO delivery VALUES (1, 'a', 0, 'r', 's', 'e', '', NULL, '[]', 1, NULL, 0, 0, NULL, NULL)"
    )
    newer = (*MIGRATIONS, "ALTER TABLE delivery ADD COLUMN note TEXT DEFAULT 'none'")
    migrate(database, newer)
    migrate(database, newer)
    assert database.execute("SELECT id, note FROM delivery").fetchall() == [("a", "none")]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        migrate(database, (*newer, "CREATE TABLE half (x); DELETE FROM nowhere"))
    assert database.execute("PRAGMA user_version").fetchone() == (len(newer),)
    assert not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
    database.close()


def missing(folder: Path) -> Path:
    return folder / "missing"


def no_folder(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def folder_in_the_way(folder: Path) -> Path:
    (folder / FILE_NAME).mkdir()
    return folder


def in_use(folder: Path) -> Path:
    IN_USE.append(JournalFile.open(folder, HistoryLimits(), NOW))
    return folder


IN_USE: list[JournalFile] = []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(missing, "No such file or directory", id="missing"),
        pytest.param(no_folder, "Not a directory", id="a file"),
        pytest.param(folder_in_the_way, "unable to open database file", id="a folder in place of the file"),
        pytest.param(lambda _: Path("/proc"), "No such file or directory|Permission", id="read-only"),
        pytest.param(in_use, "another receiver is using it", id="in use"),
    ],
)
def test_a_folder_that_can_not_be_used_is_one_clear_line(folder: Path, make: object, message: str) -> None:
    """The operator reads which folder, and why."""
    folder = make(folder)  # type: ignore[operator]
    try:
        with pytest.raises(JournalError, match=message) as raised:
            JournalFile.open(folder, HistoryLimits(), NOW)
    finally:
        while IN_USE:
            IN_USE.pop().close()
    assert str(raised.value).startswith(f"cannot use {folder} for the journal: ")
    assert "\n" not in str(raised.value)
