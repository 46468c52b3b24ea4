"""Logging: one line for each event, never a receiver's path, and nothing of what libraries know."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from controller.observability import logs

DIGEST = "a8fdb6dd7704b4bea1f4f75d2efecfc35535bcdbcc82c388d40b0e0fa9676869"
PATH = f"/webhooks/azure/{DIGEST}"
FORMATS = ["json", "console"]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was: other tests capture it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.LIBRARIES}
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


class Lines:
    """What was written to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self) -> str:
        return self._capsys.readouterr().err

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


def raise_with(path: str) -> None:
    """Raise an error whose frame has a secret in a local variable."""
    secret_local = "horse-" * 2 + path[:0] + "battery"
    assert secret_local
    raise ValueError(f"no receiver at {path}")


def test_one_json_object_a_line(lines: Lines) -> None:
    """Whatever is in an event, it is one line, which begins with when, how bad and what."""
    logs.configure("info", "json")
    log = structlog.get_logger()
    log.info("delivery", receiver="p/az", text="two\nlines", odd={1, 2}, big=2**70, raw=b"x", none=None)
    log.warning("other", error=ValueError("why"))
    first, second = lines.json()
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["level"], first["event"], first["receiver"]) == ("info", "delivery", "p/az")
    assert first["text"] == "two\nlines"
    assert first["big"] == 2**70
    assert second["error"] == "ValueError('why')"


def test_text_that_is_no_unicode(lines: Lines) -> None:
    """A lone surrogate, as file names may have, costs neither the line nor the process."""
    logs.configure("info", "json")
    structlog.get_logger().info("delivery", name="a\ud800b")
    (found,) = lines.json()
    assert found["name"].startswith("a")


def test_standard_loggers_write_the_same_lines(lines: Lines) -> None:
    """Libraries that use ``logging`` come out in our form."""
    logs.configure("info", "json")
    logging.getLogger("some.library").warning("it %s", "happens")
    (found,) = lines.json()
    assert (found["level"], found["event"]) == ("warning", "it happens")
    assert "timestamp" in found


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PATH, id="path"),
        pytest.param(f"https://h{PATH}?x=1", id="URL"),
        pytest.param(PATH.upper(), id="capitals"),
        pytest.param(PATH.replace("/", "%2F"), id="encoded"),
        pytest.param(f"{PATH} and {PATH}", id="twice"),
        pytest.param([PATH], id="in a list"),
        pytest.param({"a": {"b": PATH}}, id="in an object"),
        pytest.param({PATH: 1}, id="as a key"),
        pytest.param(ValueError(PATH), id="in an error"),
        pytest.param(PATH.encode(), id="as bytes"),
    ],
)
def test_paths_are_cut_out(lines: Lines, log_format: str, value: object) -> None:
    """A path that slips into a value is not written, however it is wrapped."""
    logs.configure("debug", log_format)
    structlog.get_logger().info("delivery", value=value, receiver="p/az")
    written = lines.text()
    assert DIGEST not in written.lower()
    assert "p/az" in written


@pytest.mark.parametrize("log_format", FORMATS)
def test_paths_are_cut_out_of_event_names_and_keys(lines: Lines, log_format: str) -> None:
    """Nor is one that is an event's name."""
    logs.configure("debug", log_format)
    structlog.get_logger().info(f"GET {PATH}")
    structlog.get_logger().info("delivery", **{PATH: 1})
    logging.getLogger("some.library").warning("GET %s", PATH)
    written = lines.text()
    assert DIGEST not in written
    assert written.count("azure/[redacted]") == 3


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("standard", [False, True], ids=["ours", "a library's"])
def test_exceptions(lines: Lines, log_format: str, standard: bool) -> None:
    """A traceback says where and what; no local variable, no path."""
    logs.configure("debug", log_format)
    try:
        raise_with(PATH)
    except ValueError:
        if standard:
            logging.getLogger("some.library").exception("failed")
        else:
            structlog.get_logger().exception("failed")
    written = lines.text()
    assert "raise_with" in written
    assert "no receiver at" in written
    assert "horse-horse-battery" not in written
    assert DIGEST not in written
    if log_format == "json":
        assert written.count("\n") == 1


@pytest.mark.parametrize("log_format", FORMATS)
def test_discard_silences(lines: Lines, log_format: str) -> None:
    """Kargo's level ``discard`` means nothing at all, from nobody."""
    logs.configure("discard", log_format)
    structlog.get_logger().critical("part_failed")
    logging.getLogger("some.library").critical("help")
    logging.getLogger("tornado.access").critical("help")
    assert lines.text() == ""


@pytest.mark.parametrize(
    ("level", "written"),
    [
        pytest.param("trace", ["debug", "info", "warning", "error"], id="trace"),
        pytest.param("debug", ["debug", "info", "warning", "error"], id="debug"),
        pytest.param("info", ["info", "warning", "error"], id="info"),
        pytest.param("warn", ["warning", "error"], id="warn"),
        pytest.param("error", ["error"], id="error"),
    ],
)
def test_levels(lines: Lines, level: str, written: list[str]) -> None:
    """Each level writes itself and what is worse."""
    logs.configure(level, "json")
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)("event")
        getattr(logging.getLogger("some.library"), name)("event")
    assert [line["level"] for line in lines.json()] == [each for each in written for _ in range(2)]


@pytest.mark.parametrize(
    "name", ["aiohttp.access", "kubernetes.aio.client.rest", "tornado.access", "asyncio"]
)
def test_libraries_say_nothing_below_a_warning(lines: Lines, name: str) -> None:
    """At debug they would write URLs and headers, tokens among them."""
    logs.configure("trace", "json")
    logging.getLogger(name).info("Authorization: Bearer t0ken")
    logging.getLogger(name).warning("slow")
    assert [line["event"] for line in lines.json()] == ["slow"]


@pytest.mark.process
def test_loggers_made_before_are_configured_too() -> None:
    """Modules make their loggers when they are imported, before anything is configured."""
    program = (
        "import structlog\nlog = structlog.get_logger()\nfrom controller.observability import logs\n"
        "logs.configure('info', 'json')\nlog.info('started', x=1)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["event"] == "started"
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["TRACE", "debug", "Info", "warn", "WARNING", "error", "discard"])
def test_level_names(name: str) -> None:
    """Kargo's level names, in any case."""
    assert logs.read_level(name) == name.lower()
    assert logs.read_level(f" {name} ") in logs.LEVELS


@pytest.mark.parametrize("name", ["JSON", "console", "Console"])
def test_log_formats(name: str) -> None:
    """Kargo's log formats, in any case."""
    assert logs.read_format(name) == name.lower()


@pytest.mark.parametrize(("read", "text"), [(logs.read_level, "verbose"), (logs.read_format, "xml")])
def test_other_names_are_refused(read: Callable[[str], str], text: str) -> None:
    """The error says which names there are."""
    with pytest.raises(ValueError, match=r"^is n.*(info|json)"):
        read(text)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(log_format: str) -> None:
    """On a full disk whoever logs goes on with its work, by structlog and by the standard library."""
    program = (
        "import logging, structlog\nfrom controller.observability import logs\n"
        f"logs.configure('info', {log_format!r})\n"
        "structlog.get_logger().info('started')\nlogging.getLogger('x').error('failed')\nprint('went on')\n"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert done.stdout == b"went on\n"
