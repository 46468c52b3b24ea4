"""``again`` where something is wrong: one line each, and the receiver goes on."""

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.again import Called, call, remembering
from tests.support.deliveries import arrival
from webhook.again import repeater
from webhook.again.messages import LINE_BYTES, SOCKET_NAME
from webhook.journal.schema import FILE_NAME

Capture = pytest.CaptureFixture[str]


def one_line(done: Called) -> str:
    """What a call says that printed nothing else."""
    assert done.out == ""
    assert done.err.startswith("kargo-azure-receiver again: ")
    assert done.err.count("\n") == 1
    return done.err.removeprefix("kargo-azure-receiver again: ").rstrip()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        pytest.param([], "give either ids of deliveries or --since TIME", id="nothing"),
        pytest.param(["d1", "--since=1h"], "give either ids of deliveries or --since TIME", id="both"),
        pytest.param(["d1", "--receiver=a/b"], "go with --since, not with ids", id="filter of ids"),
        pytest.param(["../../etc"], "'../../etc' is no id of a delivery", id="path"),
        pytest.param(["\x1b[31m"], r"'\x1b[31m' is no id", id="control characters"),
        pytest.param(["d" * 65], "is no id of a delivery", id="long"),
        pytest.param([f"d{number}" for number in range(1001)], "at most 1000 ids", id="many"),
    ],
)
async def test_wrong_use(flags: list[str], said: str, tmp_path: Path, capsys: Capture) -> None:
    """Is said before anything is asked."""
    done = await call(capsys, tmp_path, *flags)
    assert said in one_line(done)
    assert done.code == 2


async def test_no_running_receiver(tmp_path: Path, capsys: Capture) -> None:
    """No folder, none given, a file, a socket that a killed process left, a path too long for one."""
    done = await call(capsys, None, "d1")
    assert (done.code, one_line(done)) == (
        2,
        "say where the receiver's data folder is: --data-dir FOLDER, or DATA_DIR",
    )
    (tmp_path / "file").touch()
    for folder, said, code in (
        (tmp_path, f"no receiver of this release runs on {tmp_path}", 1),
        (tmp_path / "none", f"{tmp_path / 'none'} is not a folder", 2),
        (tmp_path / "file", f"{tmp_path / 'file'} is not a folder", 2),
        (tmp_path / ("x" * 200), "path too long", 1),
    ):
        done = await call(capsys, folder, "d1")
        assert said in one_line(done)
        assert done.code == code
    _leave_behind(tmp_path)
    done = await call(capsys, tmp_path, "d1")
    assert (done.code, one_line(done)) == (1, f"no receiver runs on {tmp_path}: the one that did has ended")


async def test_a_folder_that_may_not_be_read(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a socket of another user. (Tests may run as root, who may read everything.)"""

    async def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "open_unix_connection", refused)
    done = await call(capsys, tmp_path, "d1")
    assert (done.code, one_line(done)) == (1, f"cannot reach a receiver in {tmp_path}: Permission denied")


async def test_what_a_killed_process_left_is_replaced(tmp_path: Path, capsys: Capture) -> None:
    """The folder is the receiver's own while it holds the journal's lock."""
    _leave_behind(tmp_path)
    async with remembering(tmp_path) as history:
        await history.add(arrival("d1"))
        assert (await call(capsys, tmp_path, "d1")).code == 0


async def test_a_socket_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    """The log says why."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with capture_logs() as logs:
        async with remembering(folder) as history:
            await history.add(arrival("d1"))
    assert [(each["event"], each["error"]) for each in logs if each["log_level"] == "warning"] == [
        ("again_not_available", "AF_UNIX path too long")
    ]


async def test_a_data_folder_of_another_version(tmp_path: Path, capsys: Capture) -> None:
    """Somebody put a newer journal in its place."""
    async with remembering(tmp_path) as history:
        await history.add(arrival("d1"))
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
            database.execute("PRAGMA user_version = 99")
            for flags in (["d1"], ["--since=1h"]):
                done = await call(capsys, tmp_path, *flags)
                assert "its schema version is 99, this release reads up to" in one_line(done)
                assert done.code == 1
            database.execute("PRAGMA user_version = 3")


async def test_too_many(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is dispatched then: which of them would be chance."""
    monkeypatch.setattr(repeater, "MOST", 2)
    async with remembering(tmp_path) as history:
        await history.add(*(arrival(f"d{number}") for number in range(3)))
        done = await call(capsys, tmp_path, "--since=1h")
        assert one_line(done).startswith("more than 2 deliveries match: ask for fewer")
        assert (done.code, history.dispatched) == (2, [])


async def test_the_time_is_limited(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is shown, and how much was not."""
    monkeypatch.setattr(repeater, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(repeater, "AT_A_TIME", 1)
    async with remembering(tmp_path) as history:
        await history.add(arrival("d1"), arrival("d2"))
        done = await call(capsys, tmp_path, "d1", "d2")
    assert done.code == 1
    assert done.err.endswith("0 s are over: 1 of 2 were looked at\n") or "0 of 2" in done.err


async def test_while_the_receiver_stops(tmp_path: Path, capsys: Capture) -> None:
    """Nothing is begun any more."""
    async with remembering(tmp_path) as history:
        await history.add(arrival("d1"))
        history.endpoint.gate.closed = True
        done = await call(capsys, tmp_path, "d1")
        assert (done.code, one_line(done)) == (1, "the receiver is stopping: 0 of 1 were looked at")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "not understood", id="HTTP"),
        pytest.param(b"[" * 100_000 + b"\n", "not understood", id="deep"),
        pytest.param(b"x" * (3 * LINE_BYTES), "no line of JSON", id="long"),
        pytest.param(b'{"version":2,"ids":["d1"]}\n', "of another release (messages 1, not 2)", id="version"),
        pytest.param(b'{"version":1}\n', "say which", id="nothing"),
        pytest.param(b'{"version":1,"since":0,"outcome":"x"}\n', "not understood", id="outcome"),
        pytest.param(json.dumps({"version": 1, "ids": ["d"] * 1001}).encode() + b"\n", "at most", id="many"),
    ],
)
async def test_nonsense_on_the_socket(sent: bytes, said: str, tmp_path: Path, capsys: Capture) -> None:
    """Is answered, and the next call is as any other."""
    async with remembering(tmp_path) as history:
        await history.add(arrival("d1"))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            answer = json.loads(await reader.readline())
            assert said in answer["problem"]
            assert answer["wrong_use"]
        writer.close()
        assert history.dispatched == []
        assert (await call(capsys, tmp_path, "d1")).code == 0


@contextlib.asynccontextmanager
async def another(folder: Path, *lines: bytes) -> AsyncIterator[None]:
    """Something else that answers on the socket."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.writelines(lines)
        writer.close()

    server = await asyncio.start_unix_server(answer, str(folder / SOCKET_NAME))
    yield
    server.close()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param([], "the receiver ended before its answer did", id="nothing"),
        pytest.param([b"HTTP/1.1 400 Bad Request\r\n"], "the answer is not a receiver's", id="HTTP"),
        pytest.param([b'{"type":"other"}\n'], "the answer is not a receiver's", id="newer"),
        pytest.param([b"x" * (3 * LINE_BYTES)], "the answer is not a receiver's", id="long"),
        pytest.param([b'{"type":"end","problem":"a\\u001b[31m\\nb"}\n'], "a [31m b", id="control"),
    ],
)
async def test_another_answer(lines: list[bytes], said: str, tmp_path: Path, capsys: Capture) -> None:
    """Is one line, too."""
    async with another(tmp_path, *lines):
        done = await call(capsys, tmp_path, "d1")
    assert said in one_line(done)
    assert done.code == 1


def _leave_behind(folder: Path) -> None:
    """Leave a socket as a killed process does."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / SOCKET_NAME))
        left.listen()
