"""The index from path to receiver, from ProjectConfigs, the ClusterConfig and the Secrets they refer to.

Each receiver is in one state: *served* under its path; *pending* while its Secret is not known (not read
yet, or we may not read it); or *faulty* for a reason that its owner can mend. A fault concerns that receiver
alone. Handlers of the informers keep the index; nothing is read from the API in a request.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from controller.kargo.objects import CLUSTER_CONFIG_NAME, Config, ReceiverSpec
from controller.receivers.second_factor import SecondFactor
from controller.receivers.state import ReceiverState, SecretState, State, conflict, judge
from controller.receivers.url import digest_in, receiver_name

SecretRef = tuple[str, str]
"""(namespace, name)"""
ConfigKey = tuple[str, str]
"""(namespace, name) of a config; the namespace is empty for the ClusterConfig."""


class Secrets(Protocol):
    """The Secrets that receivers refer to."""

    def want(self, owner: ConfigKey, refs: frozenset[SecretRef]) -> None:
        """Say which Secrets a config refers to now; replaces what it said before."""

    def settling(self, ref: SecretRef) -> bool:
        """Whether it may have changed since it was read, and that will be known in a moment."""

    def state(self, ref: SecretRef) -> SecretState:
        """Return what is known of a wanted Secret."""

    def report_later(self, callback: Callable[[], None]) -> None:
        """Call back when there is room to tell the API server of a Secret that can't be read."""


class ServedReceiver:
    """A receiver that answers."""

    def __init__(self, name: str, factor: SecondFactor) -> None:
        self.name = name
        """``namespace/name``, or ``cluster/name``: safe to log."""
        self._factor = factor

    def authorized(self, authorization: Sequence[str]) -> bool:
        """Whether these ``Authorization`` header values satisfy its second factor."""
        return self._factor.accepts(authorization)


class _Claim(NamedTuple):
    config: ConfigKey
    receiver: ServedReceiver


class _Entry:
    """What is kept for one config."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.states: list[ReceiverState] = []
        self.claims: list[tuple[str, _Claim]] = []
        self.published: list[str] = []


class ReceiverIndex:
    """Receivers by the digest that ends their path.

    A digest that two receivers claim serves neither, as in Kargo; both are faulty until one gives way.
    """

    def __init__(self, *, system_namespace: str, secrets: Secrets) -> None:
        self._system_namespace = system_namespace
        self._secrets = secrets
        self._entries: dict[ConfigKey, _Entry] = {}
        self._users: dict[SecretRef, set[ConfigKey]] = {}
        self._claims: dict[str, list[_Claim]] = {}
        self._published: dict[str, set[tuple[ConfigKey, str]]] = {}
        self._listeners: list[Callable[[ConfigKey], None]] = []

    def on_change(self, listener: Callable[[ConfigKey], None]) -> None:
        """Call back with every config whose own fields, or whose receivers' states, may have changed."""
        self._listeners.append(listener)

    # --- what requests ask ---

    def find(self, digest: str) -> ServedReceiver | None:
        """Return the receiver that answers ``…/azure/{digest}``."""
        claims = self._claims.get(digest)
        return claims[0].receiver if claims is not None and len(claims) == 1 else None

    def expected(self, digest: str) -> str | None:
        """Return the receiver whose path this is by a status, while its Secret is not known yet."""
        for key, name in self._published.get(digest, ()):
            if any(s.name == name and s.state is State.PENDING for s in self.states(key)):
                return receiver_name(key[0], name)
        return None

    # --- what status and metrics ask ---

    def config(self, key: ConfigKey) -> Config | None:
        """Return a config as last seen."""
        entry = self._entries.get(key)
        return entry.config if entry is not None else None

    def states(self, key: ConfigKey) -> list[ReceiverState]:
        """Return the Azure receivers of a config, in the order of spec."""
        entry = self._entries.get(key)
        if entry is None:
            return []
        found = []
        for state in entry.states:
            claims = self._claims.get(state.digest, ())
            if state.state is State.SERVED and len(claims) > 1:
                state = conflict(state.name, [claim.receiver.name for claim in claims])
            found.append(state)
        return found

    def claimants(self, digest: str) -> list[str]:
        """Return the names of all receivers that come to this path."""
        return [claim.receiver.name for claim in self._claims.get(digest, ())]

    def report_later(self, callback: Callable[[], None]) -> None:
        """Call back when there is room to tell the API server of a Secret that can't be read."""
        self._secrets.report_later(callback)

    def settling(self, key: ConfigKey) -> bool:
        """Whether a Secret of a config may have changed since it was read, as will be known in a moment."""
        config = self.config(key)
        return config is not None and any(map(self._secrets.settling, self._refs(config)))

    def all_states(self) -> Iterator[tuple[ConfigKey, ReceiverState]]:
        """Yield every receiver with its config."""
        for key in self._entries:
            for state in self.states(key):
                yield key, state

    def keys(self) -> list[ConfigKey]:
        """Return all configs."""
        return list(self._entries)

    # --- the informers' handlers ---

    def added(self, config: Config) -> None:
        """Take in a new config."""
        self._take(config)

    def updated(self, old: Config, new: Config) -> None:
        """Take in a changed config."""
        self._take(new)

    def deleted(self, config: Config) -> None:
        """Forget a config and its receivers."""
        key = (config.namespace, config.name)
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._want(key, entry.config, frozenset())
        self._publish(key, entry, ())
        changed = {key} | self._claim(entry, [])
        self._tell(changed)

    def secret_changed(self, ref: SecretRef) -> None:
        """Look again at every receiver that refers to this Secret."""
        changed: set[ConfigKey] = set()
        for key in list(self._users.get(ref, ())):
            changed |= {key} | self._evaluate(key, self._entries[key])
        self._tell(changed)

    def _take(self, config: Config) -> None:
        key = (config.namespace, config.name)
        # Kargo has one ProjectConfig for each Project, named like it, and one ClusterConfig.
        if config.name != (config.namespace or CLUSTER_CONFIG_NAME):
            return
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(config)
            self._want(key, config, self._refs(config))
        else:
            before, entry.config = entry.config, config
            if before.receivers != config.receivers:
                self._want(key, before, self._refs(config))
        self._publish(key, entry, config.entries)
        self._tell({key} | self._evaluate(key, entry))

    def _tell(self, changed: set[ConfigKey]) -> None:
        for listener in self._listeners:
            for key in changed:
                listener(key)

    def _refs(self, config: Config) -> frozenset[SecretRef]:
        namespace = config.namespace or self._system_namespace
        return frozenset((namespace, spec.secret) for spec in config.receivers if spec.secret)

    def _want(self, key: ConfigKey, before: Config, refs: frozenset[SecretRef]) -> None:
        for ref in self._refs(before) - refs:
            users = self._users.get(ref, set())
            users.discard(key)
            if not users:
                self._users.pop(ref, None)
        for ref in refs:
            self._users.setdefault(ref, set()).add(key)
        self._secrets.want(key, refs)

    def _publish(self, key: ConfigKey, entry: _Entry, entries: Sequence[dict[str, object]]) -> None:
        for digest in entry.published:
            names = {each for each in self._published.get(digest, set()) if each[0] != key}
            if names:
                self._published[digest] = names
            else:
                self._published.pop(digest, None)
        entry.published = []
        for item in entries:
            found = digest_in(item.get("path"))
            if found is not None:
                entry.published.append(found)
                self._published.setdefault(found, set()).add((key, str(item.get("name"))))

    def _evaluate(self, key: ConfigKey, entry: _Entry) -> set[ConfigKey]:
        """Work out the states of a config's receivers; return the other configs that this concerns."""
        claims, states = [], []
        for spec in entry.config.receivers:
            namespace = entry.config.namespace or self._system_namespace
            state, factor = judge(spec, entry.config.namespace, namespace, self._secret(namespace, spec))
            states.append(state)
            if factor is not None:
                name = receiver_name(entry.config.namespace, spec.name)
                claims.append((state.digest, _Claim(key, ServedReceiver(name, factor))))
        entry.states = states
        return self._claim(entry, claims)

    def _secret(self, namespace: str, spec: ReceiverSpec) -> SecretState:
        return self._secrets.state((namespace, spec.secret)) if spec.secret else SecretState(known=True)

    def _claim(self, entry: _Entry, claims: list[tuple[str, _Claim]]) -> set[ConfigKey]:
        concerned: set[ConfigKey] = set()
        for digest, claim in entry.claims:
            others = [each for each in self._claims[digest] if each is not claim]
            if others:
                self._claims[digest] = others
                concerned.update(each.config for each in others)
            else:
                del self._claims[digest]
        entry.claims = claims
        for digest, claim in claims:
            others = self._claims.setdefault(digest, [])
            concerned.update(each.config for each in others)
            others.append(claim)
        return concerned
