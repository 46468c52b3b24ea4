"""The JSON of lists and watches, taken apart as far as an informer needs: everything else stays bytes."""

import re
from typing import TypeVar

import msgspec

W = TypeVar("W")


class Meta(msgspec.Struct, gc=False):
    """The identity of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    version: str = msgspec.field(default="", name="resourceVersion")


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


DEEPEST = 64
"""Levels of JSON that are read. msgspec takes some hundreds, the API server 10,000."""


def decode(decoder: msgspec.json.Decoder[W], raw: bytes | msgspec.Raw) -> W:
    """Decode JSON of any depth; where msgspec refuses it, what lies below DEEPEST levels counts as null.

    One object that is nested too deeply must not cost the others of its list. Raises msgspec.MsgspecError or
    UnicodeDecodeError.
    """
    try:
        return decoder.decode(raw)
    except RecursionError:
        return decoder.decode(shallow(bytes(raw)))


def parse_page(body: bytes) -> Page:
    """Take a list's answer apart. Raises what UNDECODABLE names."""
    return decode(_page, body)


def parse_event(line: bytes) -> Event:
    """Take one line of a watch apart. Raises what UNDECODABLE names."""
    return decode(_event, line)


def parse_meta(raw: msgspec.Raw) -> Meta:
    """Read the identity of one object. Raises what UNDECODABLE names."""
    return decode(_object, raw).metadata


def is_object(body: bytes, name: str | None) -> bool:
    """Whether an answer is an object of the API, and the one called ``name`` if that is given."""
    try:
        answer = decode(_answer, body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return answer.kind not in ("", "Status") and name in (None, answer.metadata.name)


def parse_version(raw: msgspec.Raw) -> str:
    """Read the version a bookmark carries. Raises what UNDECODABLE names."""
    return _bookmark.decode(raw).metadata.resource_version


_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)


def shallow(body: bytes) -> bytes:
    """Return JSON with null in place of each value that is nested below DEEPEST levels.

    Counts brackets outside of strings and checks nothing else. Slow (some 20 MB/s).
    """
    kept, depth, start = [], 0, 0
    for token in _BRACKET.finditer(body):
        sign = token.group()
        if sign in b"{[":
            depth += 1
            if depth == DEEPEST + 1:
                kept += [body[start : token.start()], b"null"]
        elif sign in b"}]":
            if depth == DEEPEST + 1:
                start = token.end()
            depth -= 1
    return b"".join((*kept, body[start:])) if depth <= DEEPEST else b""
