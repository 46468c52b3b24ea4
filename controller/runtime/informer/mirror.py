"""Keeps a store equal to what lists and watches bring, and calls handlers for each difference."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from controller.runtime.api.errors import UNDECODABLE
from controller.runtime.api.wire import Meta, parse_meta
from controller.runtime.informer.store import Stored, StoreWriter

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

    def __init__(
        self,
        decode: Decode[T],
        *,
        kind: str,
        quarantined: Callable[[], None],
    ) -> None:
        self._decode = decode
        self._kind = kind
        self._count_quarantined = quarantined
        self._writer: StoreWriter[T] = StoreWriter()
        self.store = self._writer.view
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
        if not len(self.store):  # the first list: no version is known that would spare the decoding
            with contextlib.suppress(*UNDECODABLE):
                obj = self._decode(raw, self.store.get)
                if obj is not None:
                    self._heal(obj.namespace, obj.name)
                    self._listed.setdefault(obj.namespace, {})[obj.name] = obj
                    return
                if not self._quarantine:
                    return
        try:
            meta = parse_meta(raw)
        except UNDECODABLE as error:
            self._reject(None, error)
            return
        obj = self._resolve(raw, meta)
        if obj is not None:
            self._listed.setdefault(meta.namespace, {})[obj.name] = obj
        elif (meta.namespace, meta.name) in self._quarantine:
            self._listed.setdefault(meta.namespace, {})[meta.name] = None

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
        if kind != "DELETED":
            # Nearly always a version that is new and sound: its identity need not be read beforehand.
            with contextlib.suppress(*UNDECODABLE):
                new = self._decode(raw, self.store.get)
                if new is not None:
                    self._heal(new.namespace, new.name)
                    self._put(new)
                    return new.version
        meta = parse_meta(raw)
        new = None if kind == "DELETED" else self._resolve(raw, meta)
        if new is not None:
            self._put(new)
        else:
            self._remove(meta.namespace, meta.name)
        if kind == "DELETED":
            self._quarantine.pop((meta.namespace, meta.name), None)
        return meta.resource_version

    def _resolve(self, raw: msgspec.Raw, meta: Meta) -> T | None:
        """Return what to serve for ``raw``: what is stored if nothing changed, or if that is all we have."""
        known = self.store.get(meta.namespace, meta.name)
        if known is not None and known.uid != meta.uid:
            known = None  # deleted and made anew: another object, which takes nothing over
        if known is not None and known.version == meta.resource_version:
            return known
        try:
            new = self._decode(raw, self.store.get)
        except UNDECODABLE as error:
            self._reject(meta, error)
            return known
        self._heal(meta.namespace, meta.name)
        return new

    def _heal(self, namespace: str, name: str) -> None:
        if self._quarantine:
            self._quarantine.pop((namespace, name), None)

    def _put(self, new: T) -> None:
        old = self.store.get(new.namespace, new.name)
        if old is new or (old is not None and old.version == new.version and old.uid == new.uid):
            return
        if old is not None and old.uid == new.uid:
            self._writer.put(new)
            for handler in self.handlers:
                handler.updated(old, new)
            return
        self._remove(new.namespace, new.name)
        self._writer.put(new)
        for handler in self.handlers:
            handler.added(new)

    def _remove(self, namespace: str, name: str) -> None:
        old = self._writer.remove(namespace, name)
        if old is not None:
            for handler in self.handlers:
                handler.deleted(old)

    def _reject(self, meta: Meta | None, error: Exception) -> None:
        if meta is not None:
            key = (meta.namespace, meta.name)
            if self._quarantine.get(key) == meta.resource_version:
                return
            self._quarantine[key] = meta.resource_version
        self._count_quarantined()
        log.warning(
            "object_undecodable",
            kind=self._kind,
            namespace=meta.namespace if meta else None,
            name=meta.name if meta else None,
            error=type(error).__name__ if isinstance(error, UnicodeDecodeError) else str(error),
        )
