"""The store, against a plain dict."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.runtime.informer.store import StoreWriter


@dataclass(frozen=True)
class Thing:
    """The least that can be stored."""

    namespace: str
    name: str
    uid: str
    version: str


NAMES = st.sampled_from(["", "a", "b", "c"])


class StoreMachine(RuleBasedStateMachine):
    """Puts and removes; after each step, the view must equal the dict."""

    def __init__(self) -> None:
        super().__init__()
        self.writer: StoreWriter[Thing] = StoreWriter()
        self.model: dict[tuple[str, str], Thing] = {}

    @rule(namespace=NAMES, name=NAMES, version=st.sampled_from("123"))
    def put(self, namespace: str, name: str, version: str) -> None:
        thing = Thing(namespace, name, "uid", version)
        assert self.writer.put(thing) == self.model.get((namespace, name))
        self.model[namespace, name] = thing

    @rule(namespace=NAMES, name=NAMES)
    def remove(self, namespace: str, name: str) -> None:
        assert self.writer.remove(namespace, name) == self.model.pop((namespace, name), None)

    @invariant()
    def view_equals_model(self) -> None:
        view = self.writer.view
        assert len(view) == len(self.model)
        assert {(thing.namespace, thing.name): thing for thing in view.values()} == self.model
        for namespace in ("", "a", "b", "c"):
            for name in ("", "a", "b", "c"):
                assert view.get(namespace, name) == self.model.get((namespace, name))

    @invariant()
    def no_empty_shells(self) -> None:
        assert all(self.writer.view._objects.values())


TestStore = StoreMachine.TestCase


def test_the_view_cannot_write() -> None:
    """What readers are given has no way to change the store."""
    view = StoreWriter[Thing]().view
    assert not [name for name in dir(view) if name in ("put", "remove", "clear", "update", "pop")]
