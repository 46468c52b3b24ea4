"""Bodies of 2 MiB that are made to be slow to read: each well within what the server accepts."""

from collections.abc import Callable

SIZE = 2 * 1024 * 1024
"""Bytes of the largest body that is accepted."""

ACR_PUSH = b'"action":"push","request":{"host":"r.azurecr.io"},"target":{"repository":"a"}'
GIT_PUSH = (
    b'"eventType":"git.push","resource":{"repository":{"remoteUrl":"https://dev.azure.com/o/p/_git/r"}%s}'
)
IMAGE_PUSHED = b'"type":"Microsoft.ContainerRegistry.ImagePushed","data":{' + ACR_PUSH + b"}"


def filled(start: bytes, unit: bytes | Callable[[int], bytes], end: bytes) -> bytes:
    """Return ``start``, as many units as fit, and ``end``."""
    room = SIZE - len(start) - len(end)
    if isinstance(unit, bytes):
        return start + unit * (room // len(unit)) + end
    parts, number = [], 0
    while room > 0:
        parts.append(unit(number))
        room -= len(parts[-1])
        number += 1
    return start + b"".join(parts[:-1]) + end


def in_a_commit(unit: bytes, end: bytes = b"") -> bytes:
    """Return a push whose last commit has a comment of these units."""
    before, after = GIT_PUSH.split(b"%s")
    return filled(b"{" + before + b',"commits":[{"comment":"', unit, end + b'"}]' + after + b"}")


BODIES: dict[str, Callable[[], bytes]] = {
    "plain comment": lambda: in_a_commit(b"a"),
    "newlines": lambda: in_a_commit(rb"\n"),
    "newlines and half a surrogate": lambda: in_a_commit(rb"\n", rb"\ud83d"),
    "surrogates": lambda: in_a_commit(rb"\ud83d\ude80"),
    "high halves": lambda: in_a_commit(rb"\ud83d"),
    "low halves": lambda: in_a_commit(rb"\uDE80"),
    "halves of both cases": lambda: in_a_commit(rb"\uDe80\ude80"),
    "backslashes": lambda: in_a_commit(rb"\\"),
    "backslashes and half a surrogate": lambda: in_a_commit(rb"\\", rb"\ud83d"),
    "no UTF-8": lambda: in_a_commit(b"\xff"),
    "no UTF-8, now and then": lambda: in_a_commit(b"a\xe2\x82"),
    "no UTF-8 in the URL": lambda: filled(
        b'{"eventType":"git.push","resource":{"repository":{"remoteUrl":"', b"\xff", b'"}}}'
    ),
    "a long URL of escapes": lambda: filled(
        b'{"eventType":"git.push","resource":{"repository":{"remoteUrl":"', rb"\u00e9", b'"}}}'
    ),
    "a long id": lambda: filled(b'{"action":"ping","id":"', rb"\n", b'"}'),
    "a long id of halves": lambda: filled(b'{"action":"ping","id":"', rb"\ud83d", b'"}'),
    "a huge number": lambda: filled(b'{"action":"ping","id":', b"9", b"}"),
    "a huge pull request": lambda: filled(
        b'{"eventType":"git.pullrequest.merged","resource":{"repository":{"remoteUrl":"x"},"pullRequestId":',
        b"9",
        b"}}",
    ),
    "numbers": lambda: filled(b"{" + ACR_PUSH + b',"x":[', b"1e5,", b"1]}"),
    "empty arrays": lambda: filled(b"{" + ACR_PUSH + b',"x":[', b"[],", b"1]}"),
    "nested arrays": lambda: filled(b"{" + ACR_PUSH + b',"x":[', b"[" * 99 + b"]" * 99 + b",", b"1]}"),
    "too deep": lambda: filled(b'{"action":', b"[", b""),
    "too deep, objects": lambda: filled(b"", b'{"data":', b""),
    "distinct keys": lambda: filled(b"{", lambda number: b'"%x":1,' % number, ACR_PUSH + b"}"),
    "distinct keys, no sender": lambda: filled(b"{", lambda number: b'"%x":1,' % number, b'"x":1}'),
    "distinct keys, no resource": lambda: filled(
        b'{"eventType":"git.push","Resource":{', lambda number: b'"%x":1,' % number, b'"x":1}}'
    ),
    "distinct keys in the resource": lambda: filled(
        b'{"eventType":"git.push","resource":{', lambda number: b'"%x":1,' % number, b'"Repository":1}}'
    ),
    "keys in another case": lambda: filled(b"{", b'"Action":"push",', b'"x":1}'),
    "one key, again and again": lambda: filled(b"{", b'"action":"push",', ACR_PUSH + b"}"),
    "one object, again and again": lambda: filled(b"{", b'"request":{},', ACR_PUSH + b"}"),
    "spaces": lambda: filled(b"", b" ", b"{" + ACR_PUSH + b"}"),
    "quotes": lambda: filled(b"{", b'"', b""),
    "zeros": lambda: filled(b"", b"\x00", b""),
    "empty events": lambda: filled(b"[", b"{},", b"{}]"),
    "small events": lambda: filled(b"[", b'{"type":"x"},', b'{"type":"x"}]'),
    "one push, again and again": lambda: filled(
        b"[", b"{" + IMAGE_PUSHED + b"},", b"{" + IMAGE_PUSHED + b"}]"
    ),
    "as many pushes as may be": lambda: filled(
        b"[{" + IMAGE_PUSHED + b"}",
        lambda number: (
            b',{%s,"x":"%s"}' % (IMAGE_PUSHED.replace(b'"a"', b'"a%d"' % number), b"." * (1260 + number % 9))
        ),
        b"]",
    ),
    "as many pushes as may be, unreadable": lambda: filled(
        b"[{" + IMAGE_PUSHED + b"}",
        lambda number: (
            b',{%s,"x":"%s"}' % (IMAGE_PUSHED.replace(b'"host"', b'"hos"'), b"." * (1260 + number % 9))
        ),
        b"]",
    ),
    "events in strings": lambda: filled(b"[", b'"{",', b'{"type":"x"}]'),
    "numbers in a batch": lambda: filled(b"[", b"1,", b"1]"),
}
