"""Logging: structlog's lines for us, and the same lines for the libraries that use ``logging``.

One event name and its data a line, to standard error. A receiver's path is a credential; no call logs it, and
as a second fence whatever looks like one is cut out of every line before it is written.
"""

import contextlib
import json
import logging
import re
import sys
from typing import Any, TextIO, cast

import msgspec
import structlog

LEVELS = {
    "trace": 5,
    "debug": 10,
    "info": 20,
    "warn": 30,
    "warning": 30,
    "error": 40,
    "discard": 100,
}
"""Kargo's level names as numbers of the standard library's scale; ``discard`` silences everything."""

_PATH = re.compile(r"(?i)azure(/|%2f)[0-9a-f]{64}")
LIBRARIES = ("aiohttp", "asyncio", "kubernetes", "kubernetes.aio", "tornado", "urllib3")


def read_level(text: str) -> str:
    """Return the name in LEVELS that ``text`` is, in any case; raise ValueError if it is none."""
    name = text.strip().lower()
    if name not in LEVELS:
        raise ValueError(f"is none of {', '.join(LEVELS)}")
    return name


def read_format(text: str) -> str:
    """Return the log format that ``text`` names, in any case; raise ValueError if it is none."""
    name = text.strip().lower()
    if name not in ("json", "console"):
        raise ValueError("is neither json nor console")
    return name


class _Lines:
    """Standard error, for lines of which one that can't be written is lost: logging must end no work."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk; a closed file
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(level: str, log_format: str) -> None:
    """Set up all logging of the process: ``level`` is a name in LEVELS, ``log_format`` json or console."""
    number = LEVELS[level]
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[Any]
    if log_format == "console":
        tail = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # Not the fancy one: it prints local variables, a receiver's path among them.
                exception_formatter=structlog.dev.plain_traceback,
            ),
            _cut_paths,
        ]
    else:
        tail = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json),
            _cut_paths,
        ]
    if number > logging.CRITICAL:
        shared.insert(0, _discard)
    structlog.configure(
        processors=[*shared, *tail],
        # structlog knows neither "trace", so what would be logged there is logged at debug, nor "discard".
        wrapper_class=structlog.make_filtering_bound_logger(
            min(max(number, logging.DEBUG), logging.CRITICAL)
        ),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lines())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_Lines())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in LIBRARIES:
        # Their debug lines hold URLs and headers, tokens among them: never below warning.
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    # Azure's client logs URLs, whose query may be a credential, and each token that it can't have.
    for name in ("azure", "msal"):
        logging.getLogger(name).setLevel(max(number, logging.CRITICAL))


def _json(event: dict[str, Any], **_: Any) -> str:
    # When, how bad and what come first: lines are read by people, cut off on the right.
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    try:
        return msgspec.json.encode(first | event, enc_hook=repr).decode()
    except UnicodeEncodeError:  # a lone surrogate, as the names of files may have
        return json.dumps(first | event, default=repr)


def _cut_paths(_logger: Any, _name: str, line: str) -> str:
    # The last step, on the text as it is written: whatever value, error or key a path came in. Looked for
    # first, since the pattern takes four times as long: this is done for every line.
    low = line.lower()
    if "azure/" in low or "azure%2f" in low:
        return _PATH.sub("azure/[redacted]", line)
    return line


def _discard(_logger: Any, _name: str, _event: dict[str, Any]) -> dict[str, Any]:
    raise structlog.DropEvent
