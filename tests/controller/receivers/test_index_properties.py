"""The index of receivers, against one that is rebuilt from scratch after every step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.kargo.objects import Config
from controller.receivers.index import ReceiverIndex
from controller.receivers.url import receiver_digest
from tests.support.receiving import SYSTEM, config
from tests.support.secrets import FakeSecrets

NAMESPACES = ("", "a", "ab", SYSTEM)
RECEIVERS = ("c", "bc", "az")
SECRETS = ("s", "t", "")
VALUES = (b"one", b"two", b"")
DIGESTS = [receiver_digest(ns, name, value) for ns in NAMESPACES for name in RECEIVERS for value in VALUES]
LISTS = st.lists(st.tuples(st.sampled_from(RECEIVERS), st.sampled_from(SECRETS)), max_size=3)


class ReceiverMachine(RuleBasedStateMachine):
    """Changes configs and Secrets of which many meet: paths, names and Secrets in common."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = FakeSecrets()
        self.index = ReceiverIndex(system_namespace=SYSTEM, secrets=self.secrets)
        self.configs: dict[str, Config] = {}
        self.index.on_change(lambda key: None)

    @rule(
        namespace=st.sampled_from(NAMESPACES),
        receivers=LISTS,
        published=st.lists(st.sampled_from(DIGESTS), max_size=3),
    )
    def put(self, namespace: str, receivers: list[tuple[str, str]], published: list[str]) -> None:
        """Add a config, or change one."""
        new = config(namespace, *receivers, published=tuple(published))
        old = self.configs.get(namespace)
        if old is None:
            self.index.added(new)
        else:
            self.index.updated(old, new)
        self.configs[namespace] = new

    @rule(namespace=st.sampled_from(NAMESPACES))
    def delete(self, namespace: str) -> None:
        """Delete a config, if it is there."""
        old = self.configs.pop(namespace, None)
        if old is not None:
            self.index.deleted(old)

    @rule(
        namespace=st.sampled_from(NAMESPACES[1:]),
        name=st.sampled_from(SECRETS[:2]),
        value=st.sampled_from([*VALUES, None, "refused", "unknown"]),
    )
    def secret(self, namespace: str, name: str, value: bytes | str | None) -> None:
        """Have a Secret seen, missed, refused or forgotten."""
        ref = (namespace, name)
        if isinstance(value, bytes):
            self.secrets.put(ref, value)
        elif value is None:
            self.secrets.miss(ref)
        elif value == "refused":
            self.secrets.refuse(ref)
        else:
            self.secrets.states.pop(ref, None)
        self.index.secret_changed(ref)

    @invariant()
    def is_as_rebuilt(self) -> None:
        """Every look-up, and every state, is that of an index that has seen only what there is now."""
        secrets = FakeSecrets()
        secrets.states = self.secrets.states
        fresh = ReceiverIndex(system_namespace=SYSTEM, secrets=secrets)
        for each in self.configs.values():
            fresh.added(each)
        for digest in DIGESTS:
            found, wanted = self.index.find(digest), fresh.find(digest)
            assert (found and found.name) == (wanted and wanted.name)
            assert self.index.expected(digest) == fresh.expected(digest)
            assert sorted(self.index.claimants(digest)) == sorted(fresh.claimants(digest))
        for key in {(name, name or "cluster") for name in NAMESPACES}:
            assert self.index.config(key) == fresh.config(key)
            assert self.index.states(key) == fresh.states(key)
        assert len(list(self.index.all_states())) == len(list(fresh.all_states()))
        assert self.secrets.followed == secrets.followed
        for index in (self.index, fresh):
            index.validate()


TestReceivers = ReceiverMachine.TestCase
TestReceivers.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
