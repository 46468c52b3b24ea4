"""``kargo-azure-receiver deliveries``, as an operator uses it."""

import argparse
import asyncio
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
from controller.cli.command import exit_code
from tests.support.deliveries import arrival
from tests.support.journal import NOW, record
from webhook.journal.file import HistoryLimits, JournalFile
from webhook.journal.history import Query
from webhook.journal.reading import HistoryError
from webhook.journal.schema import FILE_NAME
from webhook.journal.statements import End, row_of
from webhook.outcome import Outcome, outcome_of

GIT = "https://dev.azure.com/org/Team%20A/_git/Web"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[JournalFile]:
    """The journal of a running receiver: its newest rows are in the write-ahead log only."""
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    two = arrival("d3", ("image", "other.azurecr.io/a"), ("image", "x.io/y"), received=NOW + 2)
    file.write(
        [
            row_of(arrival("d1", ("image", "registry.azurecr.io/team/app")), 3),
            row_of(arrival("d2", ("git", GIT), receiver="cluster/all", received=NOW + 1.5), 2),
            row_of(two, 0),
            row_of(arrival("d4", ("git", "https://dev.azure.com/org/p/_git/r"), received=NOW + 3), 5),
            row_of(arrival("d5", received=NOW + 4), 1),
        ],
        [
            End("d1", "refreshed", 3, 0, 0.0124, 3),
            End("d2", "partly_rejected", 1, 1, 75.26, 2),
            End("d3", "unmatched", 0, 0, 0.0, 0),
            End("d5", "superseded", superseded_by='["d4"]'),
        ],
        None,
        NOW,
    )
    yield file
    file.close()


def deliveries(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    history.add_arguments(parser)
    work = history.run(parser.parse_args(arguments), os.environ)
    return asyncio.run(exit_code("deliveries", work))


@pytest.mark.usefixtures("running")
def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the operator sees, the newest first."""
    assert deliveries("--data-dir", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "ID RECEIVED RECEIVER EVENT REPOSITORY MATCHED REFRESHED TOOK CODE OUTCOME",
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
            "via": "http",
            "repeats": None,
            "senderId": "sender's d2",
            "deliveryCount": None,
            "subjects": [{"kind": "git", "url": GIT}],
            "refs": [],
            "matched": 2,
            "names": [],
            "refreshed": 1,
            "rejected": 1,
            "outcome": "partly_rejected",
            "code": None,
            "reason": None,
            "seconds": 75.26,
            "nearMisses": None,
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
    """By receiver, repository, outcome and number; the exit code tells scripts that nothing matched."""
    assert deliveries("--data-dir", str(tmp_path), *arguments) == (0 if ids else 3)
    header, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ids.split()
    assert header.startswith("ID ") if ids else header == "no delivery matches"


@pytest.mark.parametrize(("output", "text"), [("table", "no deliveries yet\n"), ("json", "[]\n")])
def test_an_empty_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, text: str) -> None:
    """A receiver that has just been installed: nothing is wrong."""
    JournalFile.open(tmp_path, HistoryLimits(), NOW).close()
    assert deliveries("--data-dir", str(tmp_path), "-o", output) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_a_sender_writes_reaches_the_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """Escape sequences, line ends and text direction in sender-given text are shown, not obeyed."""
    evil = "".join(map(chr, range(1, 32))) + "\x7f\x9b31m\u202e\u2028\u200b"
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    hostile = replace(arrival("a", ("image", f"evil{evil}")), event=evil, sender_id=evil)
    record(file, hostile)
    assert deliveries("--data-dir", str(tmp_path), "-o", output) == 0
    text = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == (2 if output == "table" else 29)
    file.close()


def test_long_repositories_are_cut_in_the_table_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One delivery with a URL of a megabyte does not make the table useless."""
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    record(file, arrival("a", ("image", "x" * 1_000_000)))
    file.close()
    deliveries("--data-dir", str(tmp_path))
    assert len(capsys.readouterr().out) < 1000
    deliveries("--data-dir", str(tmp_path), "-o", "json")
    assert "x" * 1_000_000 in capsys.readouterr().out


CRASH = """
import os, signal, sys
from pathlib import Path
from tests.support.deliveries import arrival
from tests.support.journal import record
from webhook.journal.file import HistoryLimits, JournalFile

file = JournalFile.open(Path(sys.argv[1]), HistoryLimits(), 0.0)
record(file, arrival("a"), now=0.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_after_a_crash(tmp_path: Path) -> None:
    """The file as kill -9 leaves it, with everything in the write-ahead log."""
    crashed = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], check=False)
    assert crashed.returncode == -signal.SIGKILL
    assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size
    assert [entry.id for entry in history.read(tmp_path, Query())] == ["a"]
    assert [entry.id for entry in history.read(tmp_path, Query())] == ["a"]
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        assert file.pending == 1, "the receiver's recovery is not disturbed"


def test_a_folder_copied_away_and_write_protected(running: JournalFile, tmp_path: Path) -> None:
    """A closed journal can be read where nothing can be created."""
    running.close()
    assert not (tmp_path / f"{FILE_NAME}-wal").exists()
    # Root is not stopped by permissions: a read-only file system would be. It is what SQLite then says.
    (tmp_path / f"{FILE_NAME}-wal").mkdir()
    with pytest.raises(HistoryError, match="it is not a regular file"):
        history.read(tmp_path, Query())
    (tmp_path / f"{FILE_NAME}-wal").rmdir()
    tmp_path.chmod(0o555)
    try:
        assert len(history.read(tmp_path, Query())) == 5
    finally:
        tmp_path.chmod(0o755)


def test_reading_does_not_hold_the_receiver_up(running: JournalFile, tmp_path: Path) -> None:
    """Neither blocks the other, and the reader sees what was committed last."""
    for number in range(20):
        record(running, arrival(f"new {number}", received=NOW + 10 + number))
        assert history.read(tmp_path, Query(limit=1))[0].id == f"new {number}"
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_the_folder_may_come_from_the_environment(
    running: JournalFile, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the receiver's Pod ``DATA_DIR`` is set already."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert deliveries() == 0
    assert "d1" in capsys.readouterr().out
    running.close()


@pytest.mark.process
def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """``deliveries | head -1`` ends without a stack trace."""
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        record(file, *(arrival(str(number)) for number in range(5000)))
    command = [sys.executable, "-m", "controller", "deliveries", "--data-dir", str(tmp_path), "-n", "0"]
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


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "9" * 5000])
def test_a_wrong_number_is_said_in_the_users_words(capsys: pytest.CaptureFixture[str], number: str) -> None:
    """No name of a function of ours, and no number of a megabyte."""
    with pytest.raises(SystemExit) as ended:
        deliveries("--data-dir", "/", f"-n={number}")
    error = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert error.endswith(f"argument -n/--limit: {number[:20]!r} is no number of deliveries")


def test_credentials_that_an_earlier_release_kept_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old rows are shown as new ones are kept."""
    file = JournalFile.open(tmp_path, HistoryLimits(), NOW)
    row = row_of(arrival("a"), 1)._replace(subjects='[["git","ssh://me:hush@h/x?token=hush"]]')
    file.write([row], [], None, NOW)
    file.close()
    for output in ("table", "json"):
        assert deliveries("--data-dir", str(tmp_path), "-o", output) == 0
        text = capsys.readouterr().out
        assert "ssh://me@h/x" in text
        assert "hush" not in text


@pytest.mark.process
@pytest.mark.parametrize(
    ("encoding", "output", "code"),
    [("ascii", None, 0), ("utf-8", "/dev/full", 1)],
    ids=["ascii", "full disk"],
)
def test_where_the_list_goes(tmp_path: Path, encoding: str, output: str | None, code: int) -> None:
    """A terminal without the letters shows others; a file that can't be written is one line."""
    with contextlib.closing(JournalFile.open(tmp_path, HistoryLimits(), NOW)) as file:
        record(file, arrival("a", ("git", "https://h/größe")))
    command = [sys.executable, "-m", "controller", "deliveries", "--data-dir", str(tmp_path)]
    with open(output or os.devnull, "wb") as target:
        ended = subprocess.run(
            command,
            stdout=target,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            check=False,
            text=True,
        )
    assert ended.returncode == code
    assert ended.stderr.count("\n") == (1 if code else 0)
