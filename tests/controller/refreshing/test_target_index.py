"""The index from key to targets, against one that is rebuilt from scratch after every step."""

from collections import Counter
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.kargo.objects import Target
from controller.refreshing.target_index import TargetIndex

NAMESPACES = ("a", "b", "c")
NAMES = ("w", "x", "y", "z")
KEYS = ("k1", "k2", "k3")
KEY_SETS = st.lists(st.sampled_from(KEYS), unique=True, max_size=3).map(tuple)


class Thing(NamedTuple):
    """An object with keys, as an informer stores them."""

    target: Target
    keys: tuple[str, ...]


def thing(namespace: str, name: str, *keys: str) -> Thing:
    return Thing(Target("Warehouse", namespace, name), keys)


class IndexMachine(RuleBasedStateMachine):
    """Adds, updates and deletes as an informer does, over few enough names that they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.index = TargetIndex()
        self.store: dict[tuple[str, str], Thing] = {}
        self.entered: list[tuple[str, Target]] = []
        self.wanted: list[tuple[str, Target]] = []

    @initialize()
    def listen(self) -> None:
        self.index.on_enter(lambda key, target: self.entered.append((key, target)))

    @rule(namespace=st.sampled_from(NAMESPACES), name=st.sampled_from(NAMES), keys=KEY_SETS)
    def put(self, namespace: str, name: str, keys: tuple[str, ...]) -> None:
        """Add an object, or change the keys of one."""
        new = thing(namespace, name, *keys)
        old = self.store.get((namespace, name))
        if old is None:
            self.index.added(new)
        else:
            self.index.updated(old, new)
        self.store[namespace, name] = new
        before = old.keys if old is not None else ()
        self.wanted += [(key, new.target) for key in keys if key not in before]

    @rule(namespace=st.sampled_from(NAMESPACES), name=st.sampled_from(NAMES))
    def delete(self, namespace: str, name: str) -> None:
        """Delete an object, if it is there."""
        old = self.store.pop((namespace, name), None)
        if old is not None:
            self.index.deleted(old)

    @rule(namespace=st.sampled_from(NAMESPACES), keys=KEY_SETS)
    def put_all(self, namespace: str, keys: tuple[str, ...]) -> None:
        """Give all objects of a namespace the same keys."""
        for name in NAMES:
            self.put(namespace, name, keys)

    @invariant()
    def is_as_rebuilt(self) -> None:
        """Every look-up gives what a walk through all objects gives, each target once."""
        model: dict[str, dict[str, set[Target]]] = {}
        for (namespace, _), each in self.store.items():
            for key in each.keys:
                model.setdefault(key, {}).setdefault(namespace, set()).add(each.target)
        assert len(self.index) == len(model)
        for key in KEYS:
            spaces = model.get(key, {})
            for namespace in NAMESPACES:
                assert Counter(self.index.find(key, namespace)) == Counter(spaces.get(namespace, ()))
            everywhere = [target for targets in spaces.values() for target in targets]
            assert Counter(self.index.find(key, None)) == Counter(everywhere)

    @invariant()
    def entering_is_told(self) -> None:
        """Whoever gets a key that it did not have is told of, once, and nobody else is."""
        assert self.entered == self.wanted

    @invariant()
    def is_small(self) -> None:
        """A key of one object costs no dictionary, nor does one object in a namespace."""
        for key in KEYS:
            entry = self.index._entries.get(key)
            if len(self.index.find(key, None)) == 1:
                assert isinstance(entry, Target)
            if isinstance(entry, dict):
                assert all(isinstance(names, Target) or len(names) > 1 for names in entry.values())


TestIndex = IndexMachine.TestCase
TestIndex.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_namespace_never_sees_anothers() -> None:
    """Two Projects subscribe to one repository: each finds its own, the ClusterConfig both."""
    index = TargetIndex()
    index.added(thing("a", "w", "k"))
    assert index.find("k", "b") == ()
    index.added(thing("b", "w", "k"))
    index.added(thing("b", "x", "k"))
    assert [target.namespace for target in index.find("k", "a")] == ["a"]
    assert [target.namespace for target in index.find("k", "b")] == ["b", "b"]
    assert len(index.find("k", None)) == 3


def test_a_namespace_never_walks_anothers() -> None:
    """What a Project's look-up touches does not grow with what other Projects have."""
    index = TargetIndex()
    for number in range(2000):
        index.added(thing("big", f"w{number}", "k"))
    index.added(thing("small", "w", "k"))
    entry = index._entries["k"]
    assert isinstance(entry, dict)

    class Guarded(dict[str, Target]):
        def values(self) -> None:  # type: ignore[override]
            raise AssertionError("walked another Project's Warehouses")

        __iter__ = items = keys = values  # type: ignore[assignment]

    big = entry["big"]
    assert isinstance(big, dict)
    entry["big"] = Guarded(big)
    assert index.find("k", "small") == (Target("Warehouse", "small", "w"),)


def test_what_was_found_stays_as_it_was() -> None:
    """A delivery's targets do not change under it while Warehouses come and go."""
    index = TargetIndex()
    for name in ("w", "x"):
        index.added(thing("a", name, "k"))
    found, everywhere = index.find("k", "a"), index.find("k", None)
    index.deleted(thing("a", "w", "k"))
    index.added(thing("a", "y", "k"))
    assert [target.name for target in found] == ["w", "x"]
    assert [target.name for target in everywhere] == ["w", "x"]


def test_deleting_what_is_not_there_does_nothing() -> None:
    """An unknown object, or one whose key another has, takes nobody out."""
    index = TargetIndex()
    index.added(thing("a", "w", "k"))
    index.deleted(thing("a", "x", "k"))
    index.deleted(thing("b", "w", "k", "other"))
    assert index.find("k", None) == (Target("Warehouse", "a", "w"),)
