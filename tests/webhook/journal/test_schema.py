"""The journal's file: damaged, of other releases, moved aside, and in folders that can't be used."""

import contextlib
import fcntl
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.deliveries import arrival
from tests.support.journal import NOW, ended, outcomes, record
from webhook.journal import schema
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.schema import FILE_NAME, LOCK_NAME, MIGRATIONS, JournalError, migrate, move_aside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def file(folder: Path) -> Iterator[JournalFile]:
    file = JournalFile.open(folder, HistoryLimits(), NOW)
    yield file
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
def test_an_unreadable_file_is_moved_aside(
    file: JournalFile, folder: Path, harm: Callable[[Path], None], why: str
) -> None:
    """The receiver starts with a new journal, says so once, and keeps the old file for whoever wants it."""
    record(file, *(arrival(str(number), ("image", "x" * 1000)) for number in range(100)))
    file.close()
    harm(folder / FILE_NAME)
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
    file.close()
    file = JournalFile.open(folder, HistoryLimits(), NOW)
    with (folder / FILE_NAME).open("r+b") as raw:
        size = raw.seek(0, 2)
        raw.seek(4096)
        raw.write(b"\xa5" * (size - 4096))
    with capture_logs() as logs:
        record(file, ends=[ended(str(number)) for number in range(3000)])
        record(file, arrival("new"))
    assert [line["event"] for line in logs] == ["journal_moved_aside"]
    assert file.pending == 1
    assert outcomes(folder) == {"new": None}
    file.close()


def test_one_file_moved_aside_is_kept_and_no_larger_one(folder: Path) -> None:
    """Journals that go bad again and again take the room of one, within the journal's budget."""
    for number in range(3):
        for suffix in ("", "-wal", "-shm"):
            (folder / (FILE_NAME + suffix)).write_text(f"garbage {number}{suffix}")
        aside = move_aside(folder / FILE_NAME, "corrupt", NOW + number // 2, max_bytes=100)
        assert aside is not None
        assert aside.read_text() == f"garbage {number}"
        assert aside.with_name(f"{aside.name}-wal").read_text() == f"garbage {number}-wal"
        assert len([*folder.iterdir()]) == 3
    (folder / FILE_NAME).write_text("garbage " * 20_000)
    with capture_logs() as logs:
        JournalFile.open(folder, HistoryLimits(bytes=400_000), NOW).close()
    assert [(line["event"], line["kept_as"]) for line in logs] == [("journal_moved_aside", None)]
    assert {each.name for each in folder.iterdir()} == {FILE_NAME, LOCK_NAME}


def test_what_was_moved_aside_counts_against_the_budget(folder: Path) -> None:
    """The journal and the file beside it take no more than the journal alone may."""
    limit = 1024 * 1024
    (folder / FILE_NAME).write_bytes(b"garbage " * (limit // 33))
    file = JournalFile.open(folder, HistoryLimits(bytes=limit), NOW)
    for number in range(40):
        huge = arrival(str(number), ("image", "x" * 100_000))
        record(file, huge, ends=[ended(huge.id)])
    file.close()
    assert len([*folder.glob(f"{FILE_NAME}.corrupt-*")]) == 1
    assert limit * 0.8 < sum(each.stat().st_size for each in folder.iterdir()) <= limit * 1.2


def test_older_schemas_are_migrated_step_by_step() -> None:
    """Rows survive an update of the receiver; a step that fails leaves the version before it."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, MIGRATIONS[:1])
    database.execute(
        "INSERT INTO delivery VALUES (1, 'a', 0, 'r', 's', 'e', '', NULL, '[]', 1, NULL, 0, 0, NULL, NULL)"
    )
    newer = (*MIGRATIONS, "ALTER TABLE delivery ADD COLUMN note TEXT DEFAULT 'none'")
    migrate(database, newer)
    migrate(database, newer)
    assert database.execute("SELECT id, via, note FROM delivery").fetchall() == [("a", "http", "none")]
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
def test_a_folder_that_can_not_be_used_is_one_clear_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], message: str
) -> None:
    """The operator reads which folder, and why."""
    monkeypatch.setattr(schema, "LOCK_SECONDS", 0.0)
    folder = make(folder)
    try:
        with pytest.raises(JournalError, match=message) as raised:
            JournalFile.open(folder, HistoryLimits(), NOW)
    finally:
        while IN_USE:
            IN_USE.pop().close()
    assert str(raised.value).startswith(f"cannot use {folder} for the journal: ")
    assert "\n" not in str(raised.value)


def test_a_receiver_that_is_about_to_end_is_waited_for(folder: Path) -> None:
    """The Pod before this one may still hold the folder: the start waits, as long as an end takes."""
    held = threading.Event()

    def end_soon() -> None:
        with contextlib.closing(JournalFile.open(folder, HistoryLimits(), NOW)):
            held.set()
            time.sleep(0.3)

    threading.Thread(target=end_soon).start()
    assert held.wait(10)
    JournalFile.open(folder, HistoryLimits(), NOW).close()
    with (folder / LOCK_NAME).open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
