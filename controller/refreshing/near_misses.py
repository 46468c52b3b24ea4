"""Why a push found nothing: Warehouses that nearly match. Pure functions over the index's keys.

A key is compared by its place: host and path as people read them, without scheme, user, port, query, markers
such as ``_git``, and case. Most keys are turned away by one substring test, so that a million of them can be
looked at in slices between other work.
"""

import enum
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from controller.kargo.objects import Target
from controller.repositories.azure import KEY_PREFIX
from controller.repositories.keys import event_keys

MOST_NEAR_MISSES = 5

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?([^/:?#]*)(?::[0-9]*)?:?/*([^?#]*)", re.DOTALL)
_LEGACY_HOST = re.compile(r"([^.]+)\.visualstudio\.com")
_MARKERS = {"_git", "_ssh", "_optimized", "_full", "v3", "defaultcollection", "tfs", ""}
_CLOUD = "dev.azure.com"


class Kind(enum.IntEnum):
    """What is different about a near miss; the less, the better."""

    OUT_OF_SCOPE = 0
    """The same repository, in a Project that the receiver does not cover."""
    OTHER_SPELLING = 1
    """The same host and path, in a spelling that the rules keep apart."""
    OTHER_KIND = 2
    """The same host and path, but Git against image or chart."""
    OTHER_PLACE = 3
    """The same name on another host, or in another organization, project or registry."""
    UNREADABLE = 4
    """A Warehouse whose subscriptions could not be read."""


WHY = {
    Kind.OUT_OF_SCOPE: "the same repository, in a Project that no served receiver here covers",
    Kind.OTHER_SPELLING: "the same host and path, in a spelling that is compared as another repository",
    Kind.OTHER_KIND: "the same host and path, but Git against image or chart",
    Kind.OTHER_PLACE: "the same name in another place",
    Kind.UNREADABLE: "its subscriptions can't be read",
}
"""Each kind in words, for operators."""


class NearMiss(NamedTuple):
    """A Warehouse that an event nearly matched. Sorts the best first."""

    kind: Kind
    distance: int
    """How much of the place differs, in segments."""
    target: Target
    key: str
    """The key of its subscription; empty for ``UNREADABLE``."""


class _Place(NamedTuple):
    git: bool
    segments: tuple[str, ...]
    """Host, path and name."""


class Search:
    """Collects the best near misses of an event about one repository, from keys given in any order."""

    def __init__(self, kind: str, url: str, covers: Callable[[str], bool]) -> None:
        """``kind`` is ``git`` or ``image``; ``covers`` returns whether the receiver covers a namespace."""
        self._keys = event_keys(kind, url)
        self._covers = covers
        self._place = _place(self._keys[0], git=kind == "git")
        self._name = self._place.segments[-1]
        self._found: list[NearMiss] = []

    def consider(self, key: str, targets: Iterable[Target]) -> None:
        """Look at one key of the index and the Warehouses that have it, of all Projects."""
        if self._name not in key and ("%" not in key or self._name not in unquote(key)):
            return
        if key in self._keys:
            self._keep(Kind.OUT_OF_SCOPE, 0, key, targets, covered=False)
            return
        place = _place(key, git=key.startswith(KEY_PREFIX) or "://" in key)
        if place.segments == self._place.segments:
            self._keep(
                Kind.OTHER_SPELLING if place.git is self._place.git else Kind.OTHER_KIND, 0, key, targets
            )
        elif place.segments[-1] == self._name:
            distance = len(set(place.segments) ^ set(self._place.segments))
            self._keep(Kind.OTHER_PLACE, distance, key, targets)

    def unreadable(self, targets: Iterable[Target]) -> None:
        """Add Warehouses whose subscriptions could not be read."""
        self._keep(Kind.UNREADABLE, 0, "", targets)

    def best(self) -> Sequence[NearMiss]:
        """Return at most ``MOST_NEAR_MISSES``, the best first."""
        return tuple(self._found)

    def _keep(
        self, kind: Kind, distance: int, key: str, targets: Iterable[Target], *, covered: bool = True
    ) -> None:
        if len(self._found) == MOST_NEAR_MISSES and (kind, distance) > self._found[-1][:2]:
            return  # nearly all, where many repositories have the same name
        wanted = (target for target in targets if self._covers(target.namespace) is covered)
        for target in itertools.islice(wanted, MOST_NEAR_MISSES):
            self._found.append(NearMiss(kind, distance, target, key))
        self._found.sort()
        del self._found[MOST_NEAR_MISSES:]


def shown(text: str) -> str:
    """Return a URL or key for people: without user and password; of a query only that there is one."""
    if text.startswith(KEY_PREFIX):
        return " ".join(text.split(KEY_PREFIX)[1:])
    place, mark, _ = _CREDENTIALS.sub("", text).partition("?")
    return f"{place}?…" if mark else place


def _place(key: str, *, git: bool) -> _Place:
    """Return where a key's repository is, as far as people tell places apart."""
    if key.startswith(KEY_PREFIX):
        family, _, rest = key[1:].partition(KEY_PREFIX)
        address = f"{_CLOUD}/{rest}" if family == "ado" else rest
    else:
        address = key
    match = _ADDRESS.match(unquote(address).lower())
    host, path = (match[1], match[2]) if match is not None else ("", address)
    segments = [segment for segment in path.split("/") if segment not in _MARKERS]
    legacy = _LEGACY_HOST.fullmatch(host)
    if host == "ssh.dev.azure.com":
        host = _CLOUD
    elif legacy is not None:
        host = _CLOUD
        if segments[:1] != [legacy[1]]:
            segments.insert(0, legacy[1])
    if segments:
        segments[-1] = segments[-1].removesuffix(".git")
    return _Place(git, (host, *segments))
