"""Values of settings, in the spelling that Kargo accepts: Go durations, Go booleans.

Every function raises ValueError with a message that says what is accepted.
"""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from controller.receivers.url import digest_in, receiver_path
from controller.repositories import gourl

_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.IGNORECASE)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = {"1", "t", "true", "yes", "on"}
_FALSE = {"0", "f", "false", "no", "off"}
_HOST = re.compile(r"[0-9A-Za-z_.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")

_QUEUE_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,55}")
"""Of 3 to 63 characters: room is left for ``-poison``."""
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_OTHER_SERVICE = re.compile(r"\.(blob|dfs|file|table|web|servicebus|azurecr)\.")

LONGEST = 86_400.0
"""Seconds: no setting of ours is sensibly longer than a day."""


def duration(text: str) -> float:
    """Read a Go duration such as ``4s``, ``1m30s`` or ``500ms``; return seconds, at most a day."""
    given = text.strip()
    if given in ("0", "+0", "-0"):
        return 0.0
    rest = given.removeprefix("+")
    total, position = 0.0, 0
    for part in _DURATION_PART.finditer(rest):
        if part.start() != position:
            break
        total += float(part.group(1)) * _UNITS[part.group(2).lower()]
        position = part.end()
    if not rest or position != len(rest):
        raise ValueError("is not a duration such as 4s, 1m30s or 500ms")
    if total > LONGEST:
        raise ValueError("is longer than 24h")
    return total


def positive_duration(text: str) -> float:
    """Read a Go duration above zero; return seconds."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    return seconds


def boolean(text: str) -> bool:
    """Read a boolean in any case: true/false, t/f, 1/0 (Go's), and yes/no, on/off."""
    value = text.strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def port(text: str) -> int:
    """Read a TCP port, 0 (any free one) to 65535."""
    return _whole(text, 0, 65_535)


def host_and_port(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``; an IPv6 address stands in brackets."""
    host, _, number = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _HOST.fullmatch(bare) or (":" in bare) != (bare != host):
        raise ValueError("is not HOST:PORT")
    return bare, _whole(number, 1, 65_535)


def address(text: str) -> str:
    """Read an IP address or a host's name, to listen on."""
    given = text.strip()
    if not _HOST.fullmatch(given):
        raise ValueError("is neither an IP address nor the name of a host")
    return given


def concurrency(text: str) -> int:
    """Read a number of concurrent patches, 1 to 512."""
    return _whole(text, 1, 512)


def rate(text: str) -> float:
    """Read a number a second, 0.1 to 1,000."""
    given = text.strip()
    if not re.fullmatch(r"\d{1,4}(?:\.\d{1,3})?", given, re.ASCII) or not 0.1 <= float(given) <= 1000:
        raise ValueError("is no number from 0.1 to 1000")
    return float(given)


def pod(text: str) -> str:
    """Read the name of a Pod."""
    name = text.strip()
    if len(name) > 253 or not all(_DNS_LABEL.match(part) for part in name.split(".")):
        raise ValueError("is no name of a Pod")
    return name


def namespace(text: str) -> str:
    """Read the name of a namespace."""
    name = text.strip()
    if not _DNS_LABEL.match(name):
        raise ValueError("is no name of a namespace")
    return name


def base_url(text: str) -> str:
    """Read an absolute http or https URL: what Kargo takes for one, as far as Azure can call it."""
    given = text.strip()
    try:
        url = gourl.parse(given.encode("utf-8", "surrogatepass"))
        path = receiver_path(given, "0" * 64)
        urlsplit(given).port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError as error:
        # Its message would repeat the value, however long that is.
        raise ValueError("is no URL that Kargo takes: its host, port or escapes make no sense") from error
    if url.scheme not in (b"http", b"https") or not url.host:
        raise ValueError("is no absolute URL such as https://kargo.example.com/webhooks")
    if url.user is not None:
        raise ValueError("must not hold a user name or password: the URL is published in status")
    if digest_in(path) is None:
        raise ValueError(
            "must not hold %3F or %23 (? or #) in its path: Kargo takes what follows for no path"
        )
    return given


class QueueSource(NamedTuple):
    """An Azure Storage Queue to read."""

    url: str
    """Its query may be a SAS, which is a credential."""
    name: str
    """``queue:ACCOUNT/QUEUE``, which is none."""
    project: str
    """The namespace whose Warehouses its events refresh; empty for all."""


def queues(given: str) -> tuple[QueueSource, ...]:
    """Read URLs of queues, separated by white space, each with ``;project=NAMESPACE`` or without."""
    found = tuple(_queue(each) for each in given.split())
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name} twice")
    return found


def _queue(given: str) -> QueueSource:
    url, _, option = given.partition(";")
    key, _, project = option.partition("=")
    if option and (key != "project" or not _DNS_LABEL.match(project)):
        raise ValueError("must end after the URL, or with ;project=NAMESPACE")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError as error:
        raise ValueError("is no URL of a queue") from error
    local = host in ("127.0.0.1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError("is no URL such as https://ACCOUNT.queue.core.windows.net/QUEUE")
    if parts.username is not None or parts.fragment:
        raise ValueError("must hold neither a user name nor a fragment")
    if parts.query and "sig=" not in parts.query:
        raise ValueError("has a query that is no SAS")
    if _OTHER_SERVICE.search(host):
        raise ValueError("is of another service than Azure's queues")
    *accounts, queue = parts.path.strip("/").split("/")  # an emulator's has the account in the path
    if ".queue." in host:
        accounts.insert(0, host.partition(".")[0])
    if len(accounts) != 1 or not _ACCOUNT.fullmatch(accounts[0]) or not _QUEUE_NAME.fullmatch(queue):
        raise ValueError("is no URL such as https://ACCOUNT.queue.core.windows.net/QUEUE")
    return QueueSource(url, f"queue:{accounts[0]}/{queue}", project)


def text(value: str) -> str:
    """Read any text that is not blank."""
    if not value.strip():
        raise ValueError("is blank")
    return value


def path(value: str) -> Path:
    """Read the path of a file or folder."""
    return Path(text(value))


def _whole(given: str, low: int, high: int) -> int:
    stripped = given.strip()
    if not re.fullmatch(r"\d{1,9}", stripped, re.ASCII) or not low <= int(stripped) <= high:
        raise ValueError(f"is no whole number from {low} to {high}")
    return int(stripped)
