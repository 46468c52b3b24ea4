"""Kargo's objects and the Secrets beside them, as structs that hold only the fields that are used.

A Warehouse is 5 to 20 KB on the wire, nearly all of it status; of it, two or three short keys stay. Every
``decode_*`` function takes the JSON of one object and the informer's look-up of the stored one, and raises
``msgspec.MsgspecError`` only where the object's identity can't be read: whatever else in it makes no sense
is skipped, so that one odd object is served as far as possible and never stops the others.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import decode

GROUP, VERSION = "kargo.akuity.io", "v1alpha1"
WAREHOUSES = Resource(GROUP, VERSION, "warehouses")
PROMOTIONS = Resource(GROUP, VERSION, "promotions")
PROJECT_CONFIGS = Resource(GROUP, VERSION, "projectconfigs")
CLUSTER_CONFIGS = Resource(GROUP, VERSION, "clusterconfigs")
SECRETS = Resource("", "v1", "secrets")
EVENTS = Resource("", "v1", "events")

REFRESH_ANNOTATION = "kargo.akuity.io/refresh"
CLUSTER_CONFIG_NAME = "cluster"
"""Kargo's one ClusterConfig is always called so."""

Known = Callable[[str, str], Any]


class Target(NamedTuple):
    """An object that can be refreshed."""

    kind: str
    """``Warehouse`` or ``Promotion``."""
    namespace: str
    name: str


class Refreshable(msgspec.Struct, gc=False):
    """What is kept of every object that can be refreshed."""

    target: Target
    uid: str
    version: str
    keys: tuple[str, ...]
    """The distinct keys of the index under which events find it."""

    @property
    def namespace(self) -> str:
        """Its Project."""
        return self.target.namespace

    @property
    def name(self) -> str:
        """Its name."""
        return self.target.name


class Annotations(msgspec.Struct):
    """The one annotation that is read."""

    refresh: Any = msgspec.field(default=None, name=REFRESH_ANNOTATION)


class Metadata(msgspec.Struct, rename="camel"):
    """The identity of an object, and its refresh annotation."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    """Counts the changes of spec."""
    annotations: Annotations | None = None


class Parts(msgspec.Struct):
    """The same object where something in it has a type that no schema allows."""

    metadata: Metadata
    spec: Any = None
    status: Any = None


_parts = msgspec.json.Decoder(Parts)


def decode_parts(raw: bytes | msgspec.Raw) -> Parts:
    """Decode an object of whatever shape and depth; raises ``msgspec.MsgspecError`` if it has no identity."""
    return decode(_parts, raw)


def field(value: Any, name: str) -> Any:
    """Return ``value[name]``, or None where ``value`` is no object or has no such field."""
    return value.get(name) if isinstance(value, dict) else None


def items(value: Any, name: str) -> list[Any]:
    """Return the list ``value[name]``, or an empty one where there is none."""
    found = field(value, name)
    return found if isinstance(found, list) else []


class ReceiverSpec(NamedTuple):
    """One Azure receiver of a config."""

    name: str
    secret: str
    """Name of the Secret it refers to; empty if the reference is missing, or no name of a Secret."""
    wrong_name: str = ""
    """What the reference holds (its beginning) where that is no name of a Secret."""


SERVED_RECEIVERS = 200
"""Azure receivers of one config that are served: the first ones in spec. Each may cost a watch, and one is
enough for all repositories of a Project."""
_SECRET_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""A DNS-1123 subdomain, as the API server demands."""


class Config(msgspec.Struct):
    """What is kept of a ProjectConfig, or of the ClusterConfig (whose namespace is empty)."""

    namespace: str
    name: str
    uid: str
    version: str
    receivers: tuple[ReceiverSpec, ...]
    """The first SERVED_RECEIVERS Azure receivers, in the order of spec."""
    order: tuple[str, ...]
    """The names of all receivers in spec, those of other types too."""
    entries: tuple[dict[str, Any], ...]
    """``status.webhookReceivers`` as it is, entries of other types and unknown fields included."""
    condition: dict[str, Any] | None
    """Our own condition in status, if it is there."""
    conditions: tuple[Any, ...]
    """All conditions in status, as they are."""
    generation: int = 0
    """``metadata.generation``; 0 if the API server gives none."""
    surplus: int = 0
    """How many more Azure receivers are in spec."""


CONDITION = "AzureReceiversReady"


def decode_config(raw: bytes | msgspec.Raw, known: Known) -> Config:
    """Decode one ProjectConfig or ClusterConfig."""
    parts = decode_parts(raw)
    return config_from(parts.metadata, parts.spec, parts.status)


def config_from(meta: Metadata, spec: Any, status: Any) -> Config:
    """Build a Config from decoded JSON parts of whatever shape."""
    receivers, order = [], []
    for item in items(spec, "webhookReceivers"):
        name, azure = field(item, "name"), field(item, "azure")
        if isinstance(name, str):
            order.append(name)
        if isinstance(name, str) and name and isinstance(azure, dict):
            receivers.append(_receiver(name, field(field(azure, "secretRef"), "name")))
    entries = tuple(item for item in items(status, "webhookReceivers") if isinstance(item, dict))
    conditions = items(status, "conditions")
    ours = [item for item in conditions if field(item, "type") == CONDITION]
    return Config(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        version=meta.resource_version,
        receivers=tuple(receivers[:SERVED_RECEIVERS]),
        order=tuple(order),
        entries=entries,
        condition=ours[0] if ours else None,
        conditions=tuple(conditions),
        generation=meta.generation,
        surplus=max(0, len(receivers) - SERVED_RECEIVERS),
    )


def _receiver(name: str, secret: Any) -> ReceiverSpec:
    if not isinstance(secret, str) or not secret:
        return ReceiverSpec(name, "")
    if _SECRET_NAME.fullmatch(secret):
        return ReceiverSpec(name, secret)
    return ReceiverSpec(name, "", wrong_name=secret[:60])


class Secret(msgspec.Struct):
    """A Secret that a receiver refers to; its values never leave the process."""

    namespace: str
    name: str
    uid: str
    version: str
    secret: bytes
    """Key ``secret``; empty if missing, or if it is no base64."""
    username: bytes | None
    password: bytes | None
    authorization: bytes | None

    def __repr__(self) -> str:
        return f"Secret({self.namespace}/{self.name})"


class _SecretData(msgspec.Struct):
    secret: Any = None
    username: Any = msgspec.field(default=None, name="receiver-username")
    password: Any = msgspec.field(default=None, name="receiver-password")
    authorization: Any = msgspec.field(default=None, name="receiver-authorization")


class _SecretJSON(msgspec.Struct):
    metadata: Metadata
    data: _SecretData | None = None


_secret = msgspec.json.Decoder(_SecretJSON)


def decode_secret(raw: bytes | msgspec.Raw, known: Known) -> Secret:
    """Decode the keys that matter of one Secret."""
    wire = _secret.decode(raw)
    data = wire.data if wire.data is not None else _SecretData()
    return Secret(
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        uid=wire.metadata.uid,
        version=wire.metadata.resource_version,
        secret=_unbase64(data.secret) or b"",
        username=_unbase64(data.username),
        password=_unbase64(data.password),
        authorization=_unbase64(data.authorization),
    )


def _unbase64(value: Any) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
