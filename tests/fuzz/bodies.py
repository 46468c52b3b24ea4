"""Bodies that no sender would send, made from those that they do: a pure function of a random generator."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAYLOADS = [
    path.read_bytes() for path in sorted((Path(__file__).parents[1] / "data/payloads").glob("*.json"))
]

CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "application/cloudevents+json",
    "application/cloudevents-batch+json; charset=utf-8",
    "application/vnd.docker.distribution.events.v1+json",
    "text/plain",
    "multipart/form-data; boundary=x",
    "",
    "application/json;;;=",
)
EVENT_GRID_TYPES = ("Notification", "SubscriptionValidation", "SubscriptionDeletion", "notification", "", "x")

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    "",
    " ",
    "\x00",
    "\u2028\u202e",
    "push",
    "ping",
    "git.push",
    "git.pullrequest.merged",
    "Microsoft.ContainerRegistry.ImagePushed",
    "../../etc/passwd",
    "https://user:token@dev.azure.com/o/p/_git/r?x=1#y",
    "https://dev.azure.com/%zz/%00/_git/",
    "İ" * 300,
    "a" * 70_000,
    "contoso.azurecr.io",
    "contoso.westeurope.geo.azurecr.io",
    [],
    {},
    [[]],
    [None] * 50,
    {"": {}},
    {"constructor": 1, "__proto__": {"x": 1}},
)
RAW_VALUES = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e99999",
    b"-0",
    b"00",
    b"0x10",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b"'x'",
    b"undefined",
    b"/*c*/1",
    b"[1,]",
    b'{"a":1,"a":2}',
    b"9" * 5000,
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 1500 + b"1" + b"}" * 1500,
)
MOST = 3 * 1024 * 1024
"""Bytes of a body at the most: beyond what is accepted, and short enough to send many."""
MARK = "\ue000raw\ue000"

Headers = tuple[tuple[str, str], ...]


def hostile(rng: random.Random) -> tuple[bytes, Headers]:
    """Make one body and the headers that it is sent with."""
    body = _body(rng)[:MOST]
    headers: list[tuple[str, str]] = [("Content-Type", rng.choice(CONTENT_TYPES[: rng.choice((1, 4, 9))]))]
    if rng.random() < 0.2:
        headers.append(("aeg-event-type", rng.choice(EVENT_GRID_TYPES)))
    if rng.random() < 0.05:
        headers.append(("aeg-delivery-count", rng.choice(("0", "-1", "x", "9" * 50))))
    return body, tuple(headers)


def _body(rng: random.Random) -> bytes:
    payload = rng.choice(PAYLOADS)
    kind = rng.random()
    if kind < 0.05:
        return payload
    if kind < 0.6:
        return _odd_structure(rng, payload)
    if kind < 0.9:
        body = payload
        for _ in range(rng.randint(1, 4)):
            body = rng.choice(BYTE_CHANGES)(rng, body)
        return body
    return rng.randbytes(rng.choice((0, 1, 7, 300, 5000)))


def _odd_structure(rng: random.Random, payload: bytes) -> bytes:
    """Change what the JSON says: values, keys, types; then some values into what JSON does not allow."""
    value = json.loads(payload)
    raw = b""
    for _ in range(rng.randint(1, 5)):
        places = list(_places(value))
        if not places:
            break
        container, key = rng.choice(places)
        what = rng.random()
        if what < 0.5:
            container[key] = copy.deepcopy(rng.choice(ODD_VALUES))  # the next change may be within
        elif what < 0.65:
            raw = rng.choice(RAW_VALUES)
            container[key] = MARK
        elif what < 0.8:
            del container[key]
        elif isinstance(container, dict):
            container[rng.choice((key.upper(), key + "\x00", "", "id"))] = container.pop(key)
        else:
            container.extend([container[key]] * rng.randint(1, 30))
    wrapped = rng.random()
    if wrapped < 0.1:
        value = [value] * rng.randint(1, 20)
    elif wrapped < 0.15:
        value = {"data": value}
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return text.replace(json.dumps(MARK, ensure_ascii=False).encode(), raw or b"1").replace(
        json.dumps(MARK).encode(), raw or b"1"
    )


def _places(value: Any) -> Any:
    """Yield every (container, key) in a JSON value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _flip(rng: random.Random, body: bytes) -> bytes:
    if not body:
        return body
    at = rng.randrange(len(body))
    return body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :]


def _cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _insert(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + rng.choice((*RAW_VALUES, b"\xef\xbb\xbf", b"\x00", b'"', b"{", b"}", b",")) + body[at:]


def _repeat(rng: random.Random, body: bytes) -> bytes:
    start = rng.randrange(len(body) + 1)
    end = min(len(body), start + rng.randrange(200))
    return body[:end] + body[start:end] * rng.randint(1, 20) + body[end:]


def _reencode(rng: random.Random, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))


BYTE_CHANGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (_flip, _cut, _insert, _repeat, _reencode)
