"""Kargo's normalization of Git URLs in their SSH forms; Kargo plans to drop it: one file to delete then."""

import re

from controller.repositories import gourl

# [user@]host[:path], with ASCII word characters.
_SCP = re.compile(r"((?:[\w-]++@)?[\w-]++(?:\.[\w-]++)*+)(?::(.*))?\Z", re.ASCII)


def normalize_ssh(cleaned: str) -> str:
    """Normalize ``ssh://…`` or ``[user@]host[:path]``. Raises ValueError for anything else."""
    if cleaned.startswith("ssh://"):
        url = gourl.parse(cleaned.encode("utf-8"))
        if url.has_parameters():
            raise ValueError("query")
        url.path = url.path.removesuffix(b"/").removesuffix(b".git")
        return str(url)
    match = _SCP.match(cleaned)
    if match is None:
        raise ValueError("no form of a Git URL")
    url = gourl.parse((match[2] or "").encode("utf-8"))
    url.path = url.path.removesuffix(b"/").removesuffix(b".git")
    return f"ssh://{match[1]}/{url}" if url.path else f"ssh://{match[1]}"
