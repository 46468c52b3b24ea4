"""``kargo-azure-receiver deliveries``, as an operator uses it."""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cli import deliveries as history
from controller.cli.deliveries import HistoryError
from tests.support.deliveries import arrival
from webhook.journal.file import JournalFile
from webhook.journal.requests import Batch, Finish, HistoryLimits, Record, Supersede
from webhook.journal.schema import FILE_NAME
from webhook.outcome import Outcome, outcome_of

NOW = 1_800_000_000.0
GIT = "https://dev.azure.com/org/Team%20A/_git/Web"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[JournalFile]:
    """The journal of a running receiver: its newest rows are in the write-ahead log only."""
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    file.write(
        Batch(
            records=[
                Record(arrival("d1", ("image", "registry.azurecr.io/team/app")), 3),
                Record(arrival("d2", ("git", GIT), receiver="cluster/all", received=NOW + 1.5), 2),
                Record(
                    arrival("d3", ("image", "other.azurecr.io/a"), ("image", "x.io/y"), received=NOW + 2), 0
                ),
                Record(arrival("d4", ("git", "https://dev.azure.com/org/p/_git/r"), received=NOW + 3), 5),
                Record(arrival("d5", received=NOW + 4), 1),
            ],
            finishes=[
                Finish("refreshed", 3, 0, 0.0124, 3, "d1"),
                Finish("partly_rejected", 1, 1, 75.26, 2, "d2"),
                Finish("unmatched", 0, 0, 0.0, 0, "d3"),
            ],
            supersedes=[Supersede('["d4"]', "d5")],
        ),
        NOW,
    )
    yield file
    file.close()


def deliveries(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    history.add_arguments(parser)
    return history.run(parser.parse_args(arguments))


@pytest.mark.usefixtures("running")
def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the operator sees, the newest first."""
    assert deliveries("--data-dir", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "ID RECEIVED RECEIVER EVENT REPOSITORY MATCHED REFRESHED TOOK OUTCOME",
        "d5 2027-01-15T08:00:04.000Z kargo-demo/az acr/push registry.azurecr.io/app 1 0 superseded",
        "d4 2027-01-15T08:00:03.000Z kargo-demo/az acr/push https://dev.azure.com/org/p/_git/r 5 0 pending",
        "d3 2027-01-15T08:00:02.000Z kargo-demo/az acr/push other.azurecr.io/a and 1 more 0 0 0ms unmatched",
        f"d2 2027-01-15T08:00:01.500Z cluster/all acr/push {GIT} 2 1 75.3s partly_rejected",
        "d1 2027-01-15T08:00:00.000Z kargo-demo/az acr/push registry.azurecr.io/team/app 3 3 12ms refreshed",
    ]
    columns = [line.index("acr/push") for line in lines[1:]]
    assert len(set(columns)) == 1, "aligned"


@pytest.mark.usefixtures("running")
def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is known, for a script."""
    assert deliveries("--data-dir", str(tmp_path), "-o", "json", "--receiver", "cluster/all") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "id": "d2",
            "received": "2027-01-15T08:00:01.500Z",
            "receiver": "cluster/all",
            "source": "acr",
            "event": "push",
            "senderId": "sender's d2",
            "deliveryCount": None,
            "subjects": [{"kind": "git", "url": GIT}],
            "matched": 2,
            "refreshed": 1,
            "rejected": 1,
            "outcome": "partly_rejected",
            "seconds": 75.26,
        }
    ]


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        pytest.param([], "d5 d4 d3 d2 d1", id="none"),
        pytest.param(["--receiver", "cluster/all"], "d2", id="receiver"),
        pytest.param(["--receiver", "cluster"], "", id="not a part of a receiver's name"),
        pytest.param(["--repository", "registry.azurecr.io/team/app"], "d1", id="repository"),
        pytest.param(["--repository", "azurecr.io"], "d5 d3 d1", id="part of a repository"),
        pytest.param(["--repository", "x.io/y"], "d3", id="any of a delivery's repositories"),
        pytest.param(["--repository", "oci://Registry.azurecr.io/team/app/"], "d1", id="as a chart's URL"),
        pytest.param(
            ["--repository", "https://me:token@dev.azure.com/org/team%20a/_git/web.git"], "d2", id="as cloned"
        ),
        pytest.param(["--repository", "%' OR 1=1 --"], "", id="no SQL, no wildcards"),
        pytest.param(["--outcome", "pending"], "d4", id="pending"),
        pytest.param(["--outcome", "refreshed"], "d1", id="refreshed"),
        pytest.param(["--outcome", "superseded", "--repository", "app"], "d5", id="two filters"),
        pytest.param(["--limit", "2"], "d5 d4", id="limit"),
        pytest.param(["--limit", "1", "--repository", "team"], "d2", id="limit counts what is found"),
        pytest.param(["-n", "0"], "d5 d4 d3 d2 d1", id="no limit"),
    ],
)
def test_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], ids: str) -> None:
    """By receiver, repository, outcome and number."""
    assert deliveries("--data-dir", str(tmp_path), *arguments) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ids.split()


@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_a_sender_writes_reaches_the_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """Escape sequences, line ends and text direction in sender-given text are shown, not obeyed."""
    evil = "".join(map(chr, range(1, 32))) + "\x7f\x9b31m\u202e\u2028\u200b"
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    hostile = replace(arrival("a", ("image", f"evil{evil}")), event=evil, sender_id=evil)
    file.write(Batch(records=[Record(hostile, 1)]), NOW)
    assert deliveries("--data-dir", str(tmp_path), "-o", output) == 0
    text = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == (2 if output == "table" else 22)
    file.close()


def test_long_repositories_are_cut_in_the_table_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One delivery with a URL of a megabyte does not make the table useless."""
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    file.write(Batch(records=[Record(arrival("a", ("image", "x" * 1_000_000)), 1)]), NOW)
    file.close()
    deliveries("--data-dir", str(tmp_path))
    assert len(capsys.readouterr().out) < 1000
    deliveries("--data-dir", str(tmp_path), "-o", "json")
    assert "x" * 1_000_000 in capsys.readouterr().out


CRASH = """
import os, signal, sys
from pathlib import Path
from tests.support.deliveries import arrival
from webhook.journal.file import JournalFile
from webhook.journal.requests import Batch, HistoryLimits, Record

file = JournalFile.open(Path(sys.argv[1]), HistoryLimits(), 0.0)
file.write(Batch(records=[Record(arrival("a"), 1)]), 0.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_after_a_crash(tmp_path: Path) -> None:
    """The file as kill -9 leaves it, with everything in the write-ahead log."""
    crashed = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], check=False)
    assert crashed.returncode == -signal.SIGKILL
    assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size
    assert [entry.id for entry in history.read(tmp_path)] == ["a"]
    assert [entry.id for entry in history.read(tmp_path)] == ["a"]
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        assert file.pending == 1, "the receiver's recovery is not disturbed"


def test_a_folder_copied_away_and_write_protected(running: JournalFile, tmp_path: Path) -> None:
    """A closed journal can be read where nothing can be created."""
    running.close()
    assert not (tmp_path / f"{FILE_NAME}-wal").exists()
    # Root is not stopped by permissions: a read-only file system would be. It is what SQLite then says.
    (tmp_path / f"{FILE_NAME}-wal").mkdir()
    with pytest.raises(HistoryError, match="cannot read"):
        history.read(tmp_path)
    (tmp_path / f"{FILE_NAME}-wal").rmdir()
    tmp_path.chmod(0o555)
    try:
        assert len(history.read(tmp_path)) == 5
    finally:
        tmp_path.chmod(0o755)


def test_reading_does_not_hold_the_receiver_up(running: JournalFile, tmp_path: Path) -> None:
    """Neither blocks the other, and the reader sees what was committed last."""
    for number in range(20):
        running.write(Batch(records=[Record(arrival(f"new {number}"), 1)]), NOW)
        assert history.read(tmp_path, limit=1)[0].id == f"new {number}"
    assert running._database is not None
    assert running._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_the_folder_may_come_from_the_environment(
    running: JournalFile, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the receiver's Pod ``DATA_DIR`` is set already."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert deliveries() == 0
    assert "d1" in capsys.readouterr().out
    running.close()


def empty(folder: Path) -> None:
    pass


def garbage(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"garbage " * 1000)


def newer(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.execute("PRAGMA user_version = 99")


def no_database(folder: Path) -> None:
    (folder / FILE_NAME).mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(empty, f"holds no journal: {FILE_NAME} is missing", id="no file"),
        pytest.param(garbage, "file is not a database", id="no database"),
        pytest.param(newer, "its schema version is 99, this release reads up to 1", id="a later release's"),
        pytest.param(no_database, "unable to open database file", id="a folder"),
    ],
)
def test_what_can_not_be_read_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, message: str
) -> None:
    """Exit code 2 and one line on stderr; nothing is created or changed."""
    make(tmp_path)  # type: ignore[operator]
    before = sorted(tmp_path.iterdir())
    assert deliveries("--data-dir", str(tmp_path)) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("kargo-azure-receiver: ")
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


@pytest.mark.process
def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """``deliveries | head -1`` ends without a stack trace."""
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        file.write(Batch(records=[Record(arrival(str(number)), 1) for number in range(5000)]), NOW)
    script = (
        "import argparse, sys; from controller.cli import deliveries; parser = argparse.ArgumentParser();"
        "deliveries.add_arguments(parser); sys.exit(deliveries.run(parser.parse_args()))"
    )
    command = [sys.executable, "-c", script, "--data-dir", str(tmp_path), "-n", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"ID")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("matched", "persisted", "rejected", "outcome"),
    [
        pytest.param(0, 0, 0, Outcome.UNMATCHED, id="nothing matched"),
        pytest.param(3, 3, 0, Outcome.REFRESHED, id="all"),
        pytest.param(3, 2, 1, Outcome.PARTLY_REJECTED, id="some refused"),
        pytest.param(3, 0, 3, Outcome.REJECTED, id="all refused"),
    ],
)
def test_outcomes(matched: int, persisted: int, rejected: int, outcome: Outcome) -> None:
    """What a finished delivery is called."""
    assert outcome_of(matched, persisted, rejected) is outcome
