"""``deliveries`` on what is no journal, or one that somebody made up: one line, exit code 2."""

import argparse
import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.cli import deliveries as history
from controller.cli.command import exit_code
from tests.support.deliveries import arrival
from tests.support.journal import NOW, record
from webhook.journal import reading
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.schema import FILE_NAME


def deliveries(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    history.add_arguments(parser)
    work = history.run(parser.parse_args(arguments), os.environ)
    return asyncio.run(exit_code("deliveries", work))


def empty(folder: Path) -> None:
    pass


def garbage(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"garbage " * 1000)


def newer(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.execute("PRAGMA user_version = 99")


def no_database(folder: Path) -> None:
    (folder / FILE_NAME).mkdir()


def device(folder: Path) -> None:
    (folder / FILE_NAME).symlink_to("/dev/zero")


def fifo(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        if suffix:
            (folder / FILE_NAME).write_bytes(b"")
        os.mkfifo(folder / (FILE_NAME + suffix))

    return make


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS seq, x AS id FROM n"


def foreign(script: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
            database.executescript(f"PRAGMA page_size = 4096; VACUUM; {script}")

    return make


def hostile(change: str) -> Callable[[Path], None]:
    """A journal of which one row was changed by hand; SQLite keeps values of any type in any column."""

    def make(folder: Path) -> None:
        with contextlib.closing(JournalFile.open(folder, HistoryLimits(), NOW)) as file:
            record(file, arrival("a"))
        with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
            (schema,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'delivery'").fetchone()
            database.executescript(
                f"ALTER TABLE delivery RENAME TO strict; {schema.replace('NOT NULL', '')};"
                f" INSERT INTO delivery SELECT * FROM strict; DROP TABLE strict;"
                f" UPDATE delivery SET {change};"
                " PRAGMA journal_mode = DELETE"
            )

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(empty, f"holds no journal: {FILE_NAME} is missing", id="no file"),
        pytest.param(garbage, "file is not a database", id="no database"),
        pytest.param(newer, "its schema version is 99, this release reads up to 3", id="a later release's"),
        pytest.param(no_database, "it is not a regular file", id="a folder"),
        pytest.param(fifo(""), "it is not a regular file", id="a FIFO"),
        pytest.param(fifo("-wal"), "it is not a regular file", id="a FIFO for a log"),
        pytest.param(device, "it is not a regular file", id="a device"),
        pytest.param(foreign(""), "its schema version is 0", id="empty database"),
        pytest.param(foreign("CREATE TABLE other (x)"), "its schema version is 0", id="foreign database"),
        pytest.param(
            foreign("PRAGMA user_version = 1; CREATE TABLE other (x)"),
            "no table of deliveries",
            id="no table",
        ),
        pytest.param(
            foreign(f"PRAGMA user_version = 1; CREATE VIEW delivery AS {ENDLESS}"),
            "no table of deliveries",
            id="an endless view",
        ),
        pytest.param(
            foreign("PRAGMA user_version = 1; CREATE TABLE delivery (seq, id)"),
            "no such column",
            id="columns",
        ),
        pytest.param(hostile("id = NULL"), "Expected `str`, got `null`", id="null"),
        pytest.param(hostile("id = x'00ff'"), "Expected `str`, got `bytes`", id="bytes"),
        pytest.param(hostile("id = CAST(x'ff' AS TEXT)"), "Could not decode to UTF-8", id="no UTF-8"),
        pytest.param(hostile("received = 'then'"), "Expected `float`, got `str`", id="time in words"),
        pytest.param(hostile("received = 9e999"), "Expected `float`", id="infinite time"),
        pytest.param(hostile("received = 1e300"), "Expected `float`", id="huge time"),
        pytest.param(hostile("received = -1"), "Expected `float`", id="before all times"),
        pytest.param(hostile("matched = 'many'"), "Expected `int`, got `str`", id="number in words"),
        pytest.param(hostile("outcome = 'lost'"), "Invalid enum value 'lost'", id="unknown outcome"),
        pytest.param(hostile("duration = 9e999"), "Expected `float", id="infinite duration"),
        pytest.param(hostile("subjects = NULL"), "Expected `array`, got `null`", id="no subjects"),
        pytest.param(hostile("subjects = 7"), "Expected `array`, got `int`", id="a number for subjects"),
        pytest.param(hostile("subjects = '{}'"), "Expected `array`, got `object`", id="an object"),
        pytest.param(hostile("subjects = '[[1, 2]]'"), "Expected `str`, got `int`", id="numbers in them"),
        pytest.param(hostile("subjects = '[[\"git\"'"), "truncated", id="half of them"),
        pytest.param(
            hostile("subjects = (SELECT replace(hex(zeroblob(50000)), '00', '['))"), "", id="nested deeply"
        ),
        pytest.param(hostile("subjects = hex(zeroblob(10000000))"), "too big", id="one huge value"),
    ],
)
def test_what_can_not_be_read_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], message: str
) -> None:
    """Exit code 2 and one line on stderr; nothing is created or changed."""
    make(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert deliveries("--data-dir", str(tmp_path)) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("kargo-azure-receiver deliveries: ")
    assert message in streams.err
    assert streams.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "--data-dir FOLDER, or DATA_DIR", id="no folder given"),
        pytest.param(["--data-dir", "/nowhere/at/all"], "/nowhere/at/all is not a folder", id="missing"),
    ],
)
def test_a_missing_folder_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Which folder, and how to name another."""
    monkeypatch.delenv("DATA_DIR", raising=False)
    assert deliveries(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_query_that_never_ends_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that somebody filled, or built, to keep the command busy."""
    monkeypatch.setattr(reading, "READ_SECONDS", 0.0)
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        record(file, *(arrival(str(number)) for number in range(30_000)))
    assert deliveries("--data-dir", str(tmp_path), "--receiver", "none/none") == 2
    assert "it takes longer than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        pytest.param("file", "is not a folder", id="a file"),
        pytest.param("file/in it", "is not a folder", id="in a file"),
        pytest.param("x" * 300, "File name too long", id="a long name"),
        pytest.param("loop", "Too many levels of symbolic links", id="a loop"),
    ],
)
def test_a_folder_that_is_none_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, message: str
) -> None:
    """Whatever the operating system says of it."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    assert deliveries("--data-dir", str(tmp_path / folder)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_that_can_not_be_read_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """As any user but root, whom no permission stops: for root the test refuses."""
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        record(file, arrival("a"))
    if os.geteuid() == 0:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "stat", refuse)
    tmp_path.chmod(mode)
    try:
        assert deliveries("--data-dir", str(tmp_path)) == 2
    finally:
        tmp_path.chmod(0o755)
    assert (
        capsys.readouterr().err
        == f"kargo-azure-receiver deliveries: cannot read {tmp_path}: Permission denied\n"
    )
