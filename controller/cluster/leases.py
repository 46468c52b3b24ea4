"""Reads and writes Leases: by them replicas know of each other, and of what is left to be caught up.

Each write is a compare-and-swap: of several replicas that write one Lease at once, one succeeds. Times are
Unix times in seconds by the writer's clock, so clocks of nodes are expected to agree within a few seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from controller.runtime.api.client import Client
from controller.runtime.api.errors import MalformedResponse, NotFound
from controller.runtime.api.resource import Resource
from controller.runtime.clock import Clock

LEASES = Resource("coordination.k8s.io", "v1", "leases")
LABEL = "app.kubernetes.io/name"
APPLICATION = "kargo-azure-receiver"
PREFIX = f"{APPLICATION}/"
"""Of our annotations."""
MOST = 500
"""Leases that are read: one for each Pod of the last minutes."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a Lease says (coordination.k8s.io/v1), as far as it is used here."""

    name: str
    version: str = ""
    """Its resourceVersion; empty if it is not stored yet."""
    holder: str = ""
    """Empty once it was released."""
    acquired: float = 0.0
    renewed: float = 0.0
    notes: Mapping[str, str] = field(default_factory=dict)
    """Our annotations, without PREFIX; an empty one is removed when the Lease is written."""

    def moment(self, note: str) -> float | None:
        """Return the time that a note names; None if there is none."""
        return _moment(self.notes.get(note))


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    acquire_time: str | None = None
    renew_time: str | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec | None = None


class _List(msgspec.Struct):
    items: list[_Object] | None = None


class LeaseStore:
    """The Leases of one namespace that carry our label. Every method raises ApiError."""

    def __init__(self, client: Client, clock: Clock, *, namespace: str, seconds: int) -> None:
        """Take ``seconds``: for how long a Lease counts after it was renewed."""
        self._client = client
        self._clock = clock
        self.namespace = namespace
        self._seconds = seconds

    async def read(self) -> list[Lease]:
        """Return all of them."""
        answer = await self._client.list_page(
            LEASES, namespace=self.namespace, label_selector=f"{LABEL}={APPLICATION}", limit=MOST
        )
        try:
            found = msgspec.json.decode(answer, type=_List)
        except msgspec.MsgspecError as error:
            raise MalformedResponse(
                "the answer is no list of leases",
                verb="list",
                resource=str(LEASES),
                namespace=self.namespace,
            ) from error
        return [_lease(each) for each in found.items or ()]

    async def write(self, lease: Lease) -> None:
        """Create a Lease without a version, or change the one of this version; raises Conflict."""
        notes = {f"{PREFIX}{note}": text or None for note, text in lease.notes.items()}
        metadata: dict[str, object] = {"name": lease.name, "annotations": notes}
        spec = {
            "holderIdentity": lease.holder or None,
            "acquireTime": timestamp(lease.acquired),
            "renewTime": timestamp(lease.renewed),
            "leaseDurationSeconds": self._seconds,
        }
        if lease.version:
            metadata["resourceVersion"] = lease.version
            body = msgspec.json.encode({"metadata": metadata, "spec": spec})
            await self._client.patch(
                LEASES, namespace=self.namespace, name=lease.name, body=body, metadata_only=True
            )
            return
        metadata["labels"] = {LABEL: APPLICATION}
        metadata["annotations"] = {note: text for note, text in notes.items() if text}
        kind = {"apiVersion": f"{LEASES.group}/{LEASES.version}", "kind": "Lease"}
        body = msgspec.json.encode({**kind, "metadata": metadata, "spec": spec})
        await self._client.create(LEASES, namespace=self.namespace, body=body)

    async def remove(self, name: str) -> None:
        """Delete a Lease; one that is gone already is no error."""
        try:
            await self._client.delete(LEASES, namespace=self.namespace, name=name)
        except NotFound as error:
            if not error.names(name):
                raise


def timestamp(moment: float) -> str:
    """Return a Unix time as Kubernetes' MicroTime."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def _lease(found: _Object) -> Lease:
    spec = found.spec or _Spec()
    annotations = found.metadata.annotations or {}
    return Lease(
        name=found.metadata.name,
        version=found.metadata.resource_version,
        holder=spec.holder_identity or "",
        acquired=_moment(spec.acquire_time) or 0.0,
        renewed=_moment(spec.renew_time) or 0.0,
        notes={key.removeprefix(PREFIX): text for key, text in annotations.items() if key.startswith(PREFIX)},
    )
