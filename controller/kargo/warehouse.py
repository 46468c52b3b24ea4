"""What is kept of a Warehouse, and how it is read from an object that may hold nonsense.

The index over Warehouses is a ``TargetIndex``, keyed by the repository keys of their subscriptions.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from controller.kargo.objects import Known, Metadata, Refreshable, Target, decode_parts, field
from controller.repositories.azure import KEY_PREFIX
from controller.repositories.keys import subscription_key
from controller.runtime.api.wire import decode

UNREADABLE = f"{KEY_PREFIX}unreadable"
"""The key of Warehouses of which not all subscriptions could be read: no event comes to it."""


class Warehouse(Refreshable, gc=False):
    """What is kept of a Warehouse: about 0.7 KB.

    ``keys`` are its subscriptions', and ``UNREADABLE`` if one could not be read.
    """

    fingerprint: int
    """Hash of the subscriptions' JSON: an update that leaves it as it was keeps ``keys`` as they were."""
    requested: str
    """The value of the refresh annotation while Kargo has not handled it, else empty."""
    handled: str
    """While that is so: what Kargo has handled last; else empty."""
    refreshed: float = 0.0
    """Unix time in seconds that the refresh annotation names; 0 if there is none."""


class _WarehouseSpec(msgspec.Struct):
    subscriptions: msgspec.Raw = msgspec.Raw(b"[]")


class _WarehouseStatus(msgspec.Struct, rename="camel"):
    last_handled_refresh: Any = None


class _WarehouseJSON(msgspec.Struct):
    metadata: Metadata
    spec: _WarehouseSpec | None = None
    status: _WarehouseStatus | None = None


_warehouse = msgspec.json.Decoder(_WarehouseJSON)


def decode_warehouse(raw: bytes | msgspec.Raw, known: Known) -> Warehouse:
    """Decode one Warehouse; reuse the stored one's identity and keys where they are the same."""
    stored: Warehouse | None
    try:
        wire = decode(_warehouse, raw)
    except msgspec.ValidationError:
        parts = decode_parts(raw)
        meta = parts.metadata
        subscriptions: bytes = msgspec.json.encode(field(parts.spec, "subscriptions"))
        handled = field(parts.status, "lastHandledRefresh")
    else:
        meta = wire.metadata
        subscriptions = bytes(wire.spec.subscriptions) if wire.spec is not None else b"[]"
        handled = wire.status.last_handled_refresh if wire.status is not None else None
    stored = known(meta.namespace, meta.name)
    fingerprint = hash(subscriptions)
    if stored is not None and stored.fingerprint == fingerprint:
        target, keys = stored.target, stored.keys
    else:
        target = stored.target if stored is not None else Target("Warehouse", meta.namespace, meta.name)
        keys = tuple(
            dict.fromkeys(
                subscription_key(kind, url) if url else UNREADABLE
                for kind, url in _repositories(subscriptions)
            )
        )
    annotation = meta.annotations.refresh if meta.annotations is not None else None
    requested = annotation if isinstance(annotation, str) and annotation != handled else ""
    return Warehouse(
        target=target,
        uid=meta.uid,
        version=meta.resource_version,
        keys=keys,
        fingerprint=fingerprint,
        requested=requested,
        handled=handled if requested and isinstance(handled, str) else "",
        refreshed=moment(annotation) if annotation else 0.0,
    )


def moment(annotation: object) -> float:
    """Return the Unix time in seconds that a refresh annotation names; 0 if it is no RFC 3339 timestamp."""
    try:
        return datetime.fromisoformat(annotation).timestamp() if isinstance(annotation, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _repositories(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield (kind, repoURL) of every subscription, in whatever shape the list is; no URL if it has none."""
    subscriptions = msgspec.json.decode(raw)
    if subscriptions is not None and not isinstance(subscriptions, list):
        yield "", ""
        return
    for subscription in subscriptions or ():
        for kind in ("image", "git", "chart"):
            of_kind = field(subscription, kind)
            if of_kind is not None:
                url = field(of_kind, "repoURL")
                yield kind, url if isinstance(url, str) else ""
