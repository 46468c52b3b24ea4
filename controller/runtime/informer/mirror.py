"""Keeps a store equal to what lists and watches bring, and calls handlers for each difference."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from controller.runtime.api.errors import UNDECODABLE
from controller.runtime.api.wire import Meta, parse_meta
from controller.runtime.informer.store import Store, Stored

log = structlog.get_logger()

T = TypeVar("T", bound=Stored)
H = TypeVar("H", contravariant=True)

Decode = Callable[[msgspec.Raw, Callable[[str, str], T | None]], T | None]
"""Turns the JSON of one object into what is kept, None for nothing; the callable looks up what is stored."""

TURN = 200
"""Objects of a list published before other tasks get a turn of the event loop: a millisecond or two."""
DECODE_TURN = 50
"""The same for decoding, which takes four times as long."""


class Handler(Protocol[H]):
    """Is called for every change of the store, in order, right after it, with no ``await`` between.

    An exception out of a handler is a bug: it ends the informer, and so the process.
    """

    def added(self, obj: H) -> None:
        """``obj`` is in the store."""

    def updated(self, old: H, new: H) -> None:
        """``new`` has taken the place of ``old``, the same object (uid) at another version."""

    def deleted(self, obj: H) -> None:
        """``obj``, as last known, is no longer in the store."""


class Mirror(Generic[T]):
    """A store, its handlers, and the objects that can't be decoded.

    An object that does not decode is quarantined: logged and counted once per version, and left out; where
    an earlier version of the same object (uid) is stored, that one goes on being served. An object for which
    ``decode`` returns None is of no interest: it is treated as if it were not there.
    """

    def __init__(self, decode: Decode[T], *, kind: str, quarantined: Callable[[str], None]) -> None:
        self._decode = decode
        self._kind = kind
        self._count_quarantined = quarantined
        self.store: Store[T] = Store()
        self.handlers: list[Handler[T]] = []
        self._quarantine: dict[tuple[str, str], str] = {}  # (namespace, name) -> the version that is bad
        # The pages so far, by namespace and name; None for one that can't be decoded.
        self._listed: dict[str, dict[str, T | None]] = {}

    def begin_list(self) -> None:
        """Forget the pages collected so far."""
        self._listed = {}

    async def collect(self, items: list[msgspec.Raw]) -> None:
        """Decode one page and keep its objects aside; those whose version is stored are kept as they are."""
        for index, raw in enumerate(items):
            self._collect(raw)
            if index % DECODE_TURN == DECODE_TURN - 1:
                await asyncio.sleep(0)

    def _collect(self, raw: msgspec.Raw) -> None:
        try:
            if len(self.store):  # what is stored at this version need not be decoded again
                meta = parse_meta(raw)
                known = self.store.get(meta.namespace, meta.name)
                if known is not None and _is_same(known, meta):
                    self._listed.setdefault(meta.namespace, {})[meta.name] = known
                    return
            identity, obj = self._read(raw)
        except UNDECODABLE as error:
            self._reject(None, error)
            return
        if obj is not None or (identity.namespace, identity.name) in self._quarantine:
            self._listed.setdefault(identity.namespace, {})[identity.name] = obj

    async def publish(self) -> None:
        """Make the store equal to the collected pages, as one stream of deletes, adds and updates."""
        listed, self._listed = self._listed, {}
        for index, obj in enumerate(list(self.store.values())):
            if listed.get(obj.namespace, {}).get(obj.name) is None:
                self._remove(obj.namespace, obj.name)
            if index % TURN == TURN - 1:
                await asyncio.sleep(0)
        for index, new in enumerate(new for objects in listed.values() for new in objects.values()):
            if new is not None:
                self._put(new)
            if index % TURN == TURN - 1:
                await asyncio.sleep(0)
        for namespace, name in list(self._quarantine):
            if name not in listed.get(namespace, {}):
                del self._quarantine[namespace, name]

    def apply(self, kind: str, raw: msgspec.Raw) -> str:
        """Apply a watch event of type ``ADDED``, ``MODIFIED`` or ``DELETED``; return the object's version.

        Raises what UNDECODABLE names if not even the object's identity can be read.
        """
        identity: Stored
        if kind == "DELETED":
            identity, new = parse_meta(raw), None
            self._quarantine.pop((identity.namespace, identity.name), None)
        else:
            identity, new = self._read(raw)
        if new is not None:
            self._put(new)
        else:
            self._remove(identity.namespace, identity.name)
        return identity.version

    def _read(self, raw: msgspec.Raw) -> tuple[Stored, T | None]:
        """Return an object's identity, and what to serve for it: the stored one if it can't be decoded.

        Raises what UNDECODABLE names if not even its identity can be read.
        """
        try:
            new = self._decode(raw, self.store.get)
        except UNDECODABLE as error:
            meta = parse_meta(raw)
            self._reject(meta, error)
            known = self.store.get(meta.namespace, meta.name)
            # One that was deleted and made anew is another object, which takes nothing over.
            return meta, known if known is not None and known.uid == meta.uid else None
        identity: Stored = parse_meta(raw) if new is None else new
        self._quarantine.pop((identity.namespace, identity.name), None)
        return identity, new

    def _put(self, new: T) -> None:
        old = self.store.get(new.namespace, new.name)
        if old is not None and _is_same(old, new):
            return
        if old is not None and old.uid == new.uid:
            self.store.put(new)
            for handler in self.handlers:
                handler.updated(old, new)
            return
        self._remove(new.namespace, new.name)
        self.store.put(new)
        for handler in self.handlers:
            handler.added(new)

    def _remove(self, namespace: str, name: str) -> None:
        old = self.store.remove(namespace, name)
        if old is not None:
            for handler in self.handlers:
                handler.deleted(old)

    def _reject(self, meta: Meta | None, error: Exception) -> None:
        if meta is not None:
            key = (meta.namespace, meta.name)
            if self._quarantine.get(key) == meta.version:
                return
            self._quarantine[key] = meta.version
        self._count_quarantined(self._kind)
        log.warning(
            "object_undecodable",
            kind=self._kind,
            namespace=meta.namespace if meta else None,
            name=meta.name if meta else None,
            error=type(error).__name__ if isinstance(error, UnicodeDecodeError) else str(error),
        )


def _is_same(known: Stored, other: Stored) -> bool:
    return known.uid == other.uid and known.version == other.version
