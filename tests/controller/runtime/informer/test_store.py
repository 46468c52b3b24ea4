"""The store, against a plain dict."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.runtime.informer.store import Store


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
        self.store: Store[Thing] = Store()
        self.model: dict[tuple[str, str], Thing] = {}

    @rule(namespace=NAMES, name=NAMES, version=st.sampled_from("123"))
    def put(self, namespace: str, name: str, version: str) -> None:
        thing = Thing(namespace, name, "uid", version)
        self.store.put(thing)
        self.model[namespace, name] = thing

    @rule(namespace=NAMES, name=NAMES)
    def remove(self, namespace: str, name: str) -> None:
        assert self.store.remove(namespace, name) == self.model.pop((namespace, name), None)

    @invariant()
    def view_equals_model(self) -> None:
        view = self.store
        assert len(view) == len(self.model)
        assert {(thing.namespace, thing.name): thing for thing in view.values()} == self.model
        for namespace in ("", "a", "b", "c"):
            for name in ("", "a", "b", "c"):
                assert view.get(namespace, name) == self.model.get((namespace, name))

    @invariant()
    def no_empty_shells(self) -> None:
        assert all(self.store._objects.values())


TestStore = StoreMachine.TestCase
