"""The JSON of lists and watches, taken apart as far as an informer needs: everything else stays bytes."""

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

W = TypeVar("W")


class Meta(msgspec.Struct, rename="camel", gc=False):
    """The identity of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class Event(msgspec.Struct, gc=False):
    """One line of a watch (metav1.WatchEvent)."""

    type: str
    object: msgspec.Raw
    """A view into the line."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")


class Page(msgspec.Struct):
    """One page of a list."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None
    """Views into the page: drop them, and the page's bytes go too."""

    @property
    def token(self) -> str:
        """The continue token; empty on the last page."""
        return self.metadata.continue_ or ""

    @property
    def version(self) -> str:
        """The list's resourceVersion; empty if the answer has none, so it is no list."""
        return self.metadata.resource_version or ""


class _Object(msgspec.Struct, gc=False):
    metadata: Meta


class _Named(msgspec.Struct, gc=False):
    name: str = ""


class _Answer(msgspec.Struct, gc=False):
    kind: str
    metadata: _Named = msgspec.field(default_factory=_Named)


class _Version(msgspec.Struct, rename="camel", gc=False):
    resource_version: str


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _Version  # it has no name


_page = msgspec.json.Decoder(Page)
_event = msgspec.json.Decoder(Event)
_object = msgspec.json.Decoder(_Object)
_bookmark = msgspec.json.Decoder(_Bookmark)
_answer = msgspec.json.Decoder(_Answer)


def parse_page(body: bytes) -> Page:
    """Take a list's answer apart. Raises what UNDECODABLE names."""
    try:
        return _page.decode(body)
    except RecursionError:  # one object is nested too deeply for msgspec: it must not cost the others
        parts = dict(split(body))
        items = [msgspec.Raw(item) for _, item in split(parts.get("items", b"[]"))]
        return Page(_decode(parts.get("metadata"), _ListMeta), items)


def parse_event(line: bytes) -> Event:
    """Take one line of a watch apart. Raises what UNDECODABLE names."""
    try:
        return _event.decode(line)
    except RecursionError:
        parts = dict(split(line))
        return Event(_decode(parts.get("type"), str), msgspec.Raw(parts.get("object", b"null")))


def parse_meta(raw: msgspec.Raw) -> Meta:
    """Read the identity of one object. Raises what UNDECODABLE names."""
    try:
        return _object.decode(raw).metadata
    except RecursionError:
        return _decode(dict(split(bytes(raw))).get("metadata"), Meta)


def is_object(body: bytes, name: str | None) -> bool:
    """Whether an answer is an object of the API, and the one called ``name`` if that is given."""
    try:
        answer = _answer.decode(body)
    except RecursionError:
        parts = dict(split(body))
        answer = _Answer(_decode(parts.get("kind"), str), _decode(parts.get("metadata"), _Named))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return answer.kind not in ("", "Status") and name in (None, answer.metadata.name)


def parse_version(raw: msgspec.Raw) -> str:
    """Read the version a bookmark carries. Raises what UNDECODABLE names."""
    return _bookmark.decode(raw).metadata.resource_version


def _decode(part: bytes | None, kind: type[W]) -> W:
    return msgspec.json.decode(part or b"", type=kind)


_CONTINUE = re.compile(rb'"metadata":\{"continue":"([A-Za-z0-9+/=_-]+)",[^{}]*\}\}\s*\Z')
_TAIL = 2048
"""Bytes at the end of a page among which its metadata is looked for: a continue token has some 100."""


def peek_token(body: bytes) -> str:
    """Return the continue token that a page not yet taken apart ends with; empty if none is seen there.

    API servers write a list's metadata last. What is seen is a guess: ``parse_page`` decides.
    """
    found = _CONTINUE.search(body, max(0, len(body) - _TAIL))
    return found[1].decode() if found else ""


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]', re.DOTALL)


def split(body: bytes) -> Iterator[tuple[Any, bytes]]:
    """Yield the members of a JSON object (key, value) or the elements of an array (None, value) as bytes.

    Counts brackets instead of recursing, so depth costs nothing; does not check what it passes over. Slow
    (some 20 MB/s): for what msgspec refuses as too deep. The API server accepts 10,000 levels.
    """
    depth, start, key = 0, 0, None
    for token in _TOKEN.finditer(body):
        sign = token.group()
        if sign in b"{[":
            depth += 1
            if depth == 1:
                start = token.end()
        elif sign in b"}]":
            depth -= 1
            if depth == 0:
                last = body[start : token.start()].strip()
                if last:
                    yield key, last
                return
        elif depth == 1 and sign == b":":
            key = msgspec.json.decode(body[start : token.start()].strip())
            start = token.end()
        elif depth == 1 and sign == b",":
            yield key, body[start : token.start()].strip()
            start = token.end()
