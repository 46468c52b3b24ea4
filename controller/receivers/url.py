"""The URL of a receiver, byte for byte as Kargo computes it: users have registered it with Azure."""

import functools
import hashlib
import re

from controller.repositories import gourl

_DIGEST = "0" * 64
_PATH_END = re.compile(r"(?:^|/)azure/([0-9a-f]{64})\Z")


def receiver_digest(project: str, receiver: str, secret: bytes) -> str:
    """Return the 64 hex digits that end a receiver's path: SHA-256 of the three, concatenated.

    ``project`` is empty for ClusterConfig's receivers.
    """
    return hashlib.sha256(project.encode() + receiver.encode() + secret).hexdigest()


def receiver_path(base_url: str, digest: str) -> str:
    """Return the receiver's path below the base URL; raises ValueError for a base URL that Kargo refuses."""
    return _path_and_url(base_url)[0].replace(_DIGEST, digest)


def receiver_url(base_url: str, digest: str) -> str:
    """Return the base URL with the receiver's path, its query and fragment kept; raises as receiver_path."""
    return _path_and_url(base_url)[1].replace(_DIGEST, digest)


@functools.lru_cache(maxsize=4)
def _path_and_url(base_url: str) -> tuple[str, str]:
    """Compute both as Kargo does (``pkg/webhook/external/receiver.go``), for a digest of zeros.

    Kargo joins the *decoded* path, and what that gives, escapes and all, is decoded for it and escaped again
    in the URL: ``/a%20b`` becomes ``/a%2520b``, which decodes to the path in status.
    """
    url = gourl.parse(base_url.encode("utf-8", "surrogatepass"))
    path = gourl.join_path(url.path or b"/", "azure", _DIGEST)
    url.path = path.encode()
    return path, str(url)


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
