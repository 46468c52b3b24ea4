"""References to images as go-containerregistry's ``name.ParseReference`` reads them, with weak validation.

Looser than Docker's own rules: a repository may end in ``/``, and ``https:`` passes for a registry. The
rules are those of its versions up to 0.21, which Kargo used when the fixture of the tests was made.
"""

import re
from typing import NamedTuple

from controller.repositories import gourl

DOCKER_HUB = "index.docker.io"

_REPOSITORY = re.compile(r"[a-z0-9_./-]{2,255}")
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_PLAIN_REGISTRY = re.compile(r"[a-z0-9.-]+(?::[0-9]*)?")
_LONGEST_REPOSITORY = 255


class Repository(NamedTuple):
    """A registry and a repository in it."""

    registry: str
    """``index.docker.io`` where none was given."""
    name: str
    """Without ``library/`` where that was left out."""


def parse(reference: str) -> Repository:
    """Return the repository that an image reference names. Raises ValueError where it names none."""
    name, at, digest = reference.partition("@")
    if not at:
        return _tagged(reference)
    if not _DIGEST.fullmatch(digest):
        raise ValueError("invalid digest")
    repository = _tagged(name)
    if _is_implicit(repository) and len("library/" + repository.name) > _LONGEST_REPOSITORY:
        raise ValueError("repository too long")  # behind a tag the prefix does not count, here it does
    return repository


def _tagged(reference: str) -> Repository:
    name, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return _repository(reference)
    if not _TAG.fullmatch(tag):
        raise ValueError("invalid tag")
    return _repository(name)


def _repository(text: str) -> Repository:
    registry, slash, name = text.partition("/")
    if not slash or not (registry == "localhost" or "." in registry or ":" in registry):
        registry, name = DOCKER_HUB, text
    if not _REPOSITORY.fullmatch(name):
        raise ValueError("invalid repository")
    if not _PLAIN_REGISTRY.fullmatch(registry):
        authority = registry.encode("utf-8")
        if gourl.parse(b"//" + authority).host != authority:
            raise ValueError("invalid registry")
    return Repository(DOCKER_HUB if registry == "docker.io" else registry, name)


def _is_implicit(repository: Repository) -> bool:
    return repository.registry == DOCKER_HUB and "/" not in repository.name
