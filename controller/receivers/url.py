"""The URL of a receiver, byte for byte as Kargo computes it: users have registered it with Azure."""

import hashlib
import re
from urllib.parse import urlsplit, urlunsplit

_PATH_END = re.compile(r"(?:^|/)azure/([0-9a-f]{64})\Z")


def receiver_digest(project: str, receiver: str, secret: bytes) -> str:
    """Return the 64 hex digits that end a receiver's path: SHA-256 of the three, concatenated.

    ``project`` is empty for ClusterConfig's receivers.
    """
    return hashlib.sha256(project.encode() + receiver.encode() + secret).hexdigest()


def receiver_path(base_url: str, digest: str) -> str:
    """Return ``{path of base URL}/azure/{digest}``, joined without double slashes."""
    return f"{urlsplit(base_url).path.rstrip('/')}/azure/{digest}"


def receiver_url(base_url: str, digest: str) -> str:
    """Return the base URL with the receiver's path."""
    parts = urlsplit(base_url)
    return urlunsplit((parts.scheme, parts.netloc, receiver_path(base_url, digest), "", ""))


def digest_in(path: object) -> str | None:
    """Return the digest at the end of a path that is one of an Azure receiver, else None."""
    found = _PATH_END.search(path) if isinstance(path, str) else None
    return found.group(1) if found else None


def receiver_name(namespace: str, name: str) -> str:
    """Return the name by which people and the journal know a receiver.

    ``namespace/name``; for ClusterConfig's (no namespace) ``cluster/name``. A Project that is itself called
    ``cluster`` must not be taken for the ClusterConfig, whose receivers reach every Project: its are
    ``project:cluster/name``.
    """
    if namespace == "cluster":
        return f"project:cluster/{name}"
    return f"{namespace or 'cluster'}/{name}"


def scope_of(receiver: str) -> str | None:
    """Return the namespace whose objects a receiver of this name refreshes; None for all."""
    owner = receiver.partition("/")[0]
    if owner == "cluster":
        return None
    return owner.removeprefix("project:")
