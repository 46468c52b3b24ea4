"""Looking a repository up, against a bare function that makes the same two dictionary look-ups."""

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse, decode_warehouse
from controller.refreshing.target_index import TargetIndex
from tests.benchmarks import data
from tests.benchmarks.rows import Row, at_most
from tests.benchmarks.stage import median

SIZES = (1_000, 100_000, 1_000_000)
LOOKUPS = 100_000
ROUNDS = 9
SHARED = 10
"""Every tenth URL has a second subscriber, in the same namespace."""


def lookups() -> Iterator[Row]:
    """One namespace and all of them, by number of URLs; and what an update of a status touches."""
    for size in SIZES:
        index, bare, keys = _filled(size)
        gc.collect()
        gc.freeze()
        for scope, namespaces in (
            ("one namespace", [data.seed(n).namespace for n in range(size)]),
            ("all", None),
        ):
            asked = _asked(keys, namespaces)
            ratios, ours, theirs = [], [], []
            for _ in range(ROUNDS):
                theirs.append(_time(bare, asked))
                ours.append(_time(index.find, asked))
                ratios.append(ours[-1] / theirs[-1])
            yield at_most(
                f"lookup in {scope}, {size:,} URLs",
                f"{median(ours) * 1e9:.0f} ns",
                f"{median(theirs) * 1e9:.0f} ns (two dict look-ups)",
                median(ratios),
                1.5,
            )
        gc.unfreeze()
    touched = _touched_by_status_update()
    yield Row("index entries touched by a status update", str(touched), target="0", ok=touched == 0)


def _filled(size: int) -> tuple[TargetIndex, Callable[[str, str | None], Any], list[str]]:
    index = TargetIndex()
    entries: dict[str, dict[str | None, Sequence[Target]]] = {}
    keys = []
    for number in range(size):
        of = data.seed(number)
        key = f"{data.REGISTRY}/{of.repository}"
        targets = [Target("Warehouse", of.namespace, of.name)]
        if number % SHARED == 0:
            targets.append(Target("Warehouse", of.namespace, f"{of.name}-too"))
        for target in targets:
            index.added(Warehouse(target, "uid", "1", (key,), 0, "", ""))
        both = tuple(targets)
        entries[key] = {of.namespace: both, None: both}
        keys.append(key)

    def bare(key: str, namespace: str | None) -> Sequence[Target]:
        found = entries.get(key)
        return () if found is None else found.get(namespace, ())

    for key in keys[:: max(1, size // 100)]:
        assert list(index.find(key, None)) == list(bare(key, None))
    return index, bare, keys


def _asked(keys: list[str], namespaces: list[str] | None) -> list[tuple[str, str | None]]:
    """Keys in random order, each a string of its own, as a request brings it."""
    dice = random.Random(1)
    numbers = [dice.randrange(len(keys)) for _ in range(LOOKUPS)]
    return [
        (keys[number].encode().decode(), None if namespaces is None else namespaces[number])
        for number in numbers
    ]


def _time(find: Callable[[str, str | None], Any], asked: list[tuple[str, str | None]]) -> float:
    began = time.thread_time()  # processor time: others may have the core meanwhile
    for key, namespace in asked:
        find(key, namespace)
    return (time.thread_time() - began) / len(asked)


def _touched_by_status_update() -> int:
    """Count what the index is told to change when only the status differs."""
    touched = 0

    class Counting(TargetIndex):
        def _add(self, key: str, target: Target) -> None:
            nonlocal touched
            touched += 1

        _remove = _add

    index = Counting()
    stored: dict[tuple[str, str], Warehouse] = {}

    def known(namespace: str, name: str) -> Warehouse | None:
        return stored.get((namespace, name))

    for turn in range(10):
        body = data.warehouse(1)
        body["metadata"] |= {"uid": "u", "resourceVersion": str(turn)}
        body["status"] = data.status(1, turn=turn)
        new = decode_warehouse(msgspec.json.encode(body), known)
        old = known(new.namespace, new.name)
        if old is None:
            index.added(new)
            touched = 0
        else:
            index.updated(old, new)
        stored[new.namespace, new.name] = new
    return touched
