"""The index from key to refresh targets: repository key to Warehouses, pull request to Promotions.

One entry per key. While one object has the key, the entry is its bare Target; a dictionary by namespace is
made only for the second, and one by name only for the second in a namespace: with 50,000 Warehouses nearly
every key has one subscriber, and a dictionary for each would cost more than all else together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from controller.kargo.objects import Target

# An entry: one Warehouse; or by namespace, one or several by name.
_Entry = Target | dict[str, Target | dict[str, Target]]
EnteredKey = Callable[[str, Target], None]


class TargetIndex:
    """From key to the targets that have it, kept by an informer's handlers.

    Looking a key up costs the same with a thousand and with a million keys: two dictionary look-ups.
    A namespace sees its own targets only, and never walks another's.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._get = self._entries.get  # bound once: a look-up takes little more than this call
        self._entered: EnteredKey | None = None

    def on_enter(self, entered: EnteredKey) -> None:
        """Have ``entered(key, target)`` called whenever a target gets a key that it did not have."""
        self._entered = entered

    def __len__(self) -> int:
        """Return the number of distinct keys."""
        return len(self._entries)

    def find(self, key: str, namespace: str | None) -> Sequence[Target]:
        """Return the targets with this key in one namespace, or in all of them for None."""
        entry = self._get(key)
        if entry is None:
            return ()
        if isinstance(entry, Target):
            return (entry,) if namespace is None or entry[1] == namespace else ()
        if namespace is None:
            found: list[Target] = []
            for names in entry.values():
                # Not by a generator, nor below: it would double the time of a look-up.
                if isinstance(names, Target):
                    found.append(names)
                else:
                    found.extend(names.values())
            return found
        own = entry.get(namespace)
        if own is None:
            return ()
        return (own,) if isinstance(own, Target) else tuple(own.values())

    def keys(self) -> list[str]:
        """Return all keys, as they are now."""
        return list(self._entries)

    def walk(self, key: str, *, only: str | None = None, without: str | None = None) -> Iterator[Target]:
        """Yield the targets with this key, in one namespace or without those of one, as far as asked for.

        The index must not change meanwhile.
        """
        entry = self._get(key)
        if entry is None:
            return
        if isinstance(entry, Target):
            entry = {entry.namespace: entry}
        for namespace in entry if only is None else (only,):
            names = entry.get(namespace)
            if names is None or namespace == without:
                continue
            if isinstance(names, Target):
                yield names
            else:
                yield from names.values()

    # --- the informer's handlers ---

    def added(self, obj: Any) -> None:
        """Enter a new object under its keys."""
        for key in obj.keys:
            self._add(key, obj.target)

    def updated(self, old: Any, new: Any) -> None:
        """Move an object to its new keys; touch nothing where they are the same."""
        if old.keys is new.keys or old.keys == new.keys:
            return
        before, after = set(old.keys), set(new.keys)
        for key in old.keys:
            if key not in after:
                self._remove(key, old.target)
        for key in new.keys:
            if key not in before:
                self._add(key, new.target)

    def deleted(self, obj: Any) -> None:
        """Take an object out."""
        for key in obj.keys:
            self._remove(key, obj.target)

    def _add(self, key: str, target: Target) -> None:
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = target
        elif isinstance(entry, Target):
            if entry != target:
                self._entries[key] = _joined(_joined({}, entry), target)
        else:
            _joined(entry, target)
        if self._entered is not None:
            self._entered(key, target)

    def _remove(self, key: str, target: Target) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        if isinstance(entry, Target):
            if entry == target:
                del self._entries[key]
            return
        names = entry.get(target.namespace)
        if isinstance(names, dict):
            names.pop(target.name, None)
            if len(names) == 1:
                (entry[target.namespace],) = names.values()
        elif names == target:
            del entry[target.namespace]
        if len(entry) == 1:
            (last,) = entry.values()
            if isinstance(last, Target):
                self._entries[key] = last


def _joined(
    entry: dict[str, Target | dict[str, Target]], target: Target
) -> dict[str, Target | dict[str, Target]]:
    names = entry.get(target.namespace)
    if names is None or names == target:
        entry[target.namespace] = target
    elif isinstance(names, dict):
        names[target.name] = target
    else:
        entry[target.namespace] = {names.name: names, target.name: target}
    return entry
