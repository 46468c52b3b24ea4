"""The index from path to receiver, from ProjectConfigs, the ClusterConfig and the Secrets they refer to.

Each receiver is in one state: *served* under its path; *pending* while its Secret is not known (not read
yet, or we may not read it); or *faulty* for a reason that its owner can mend. A fault concerns that receiver
alone. Handlers of the informers keep the index; nothing is read from the API in a request.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from controller.kargo.objects import CLUSTER_CONFIG_NAME, Config, ReceiverSpec
from controller.receivers.second_factor import SecondFactor
from controller.receivers.secret_watches import SecretWatches
from controller.receivers.state import ReceiverState, SecretRef, SecretState, State, conflict, judge
from controller.receivers.url import digest_in, receiver_name

ConfigKey = tuple[str, str]
"""(namespace, name) of a config; the namespace is empty for the ClusterConfig."""


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
    """A receiver's claim to a path."""

    digest: str
    config: ConfigKey
    receiver: ServedReceiver


class _Entry:
    """What is kept for one config; ``states`` and ``claims`` have an item for each of its receivers."""

    def __init__(self, config: Config, namespace: str) -> None:
        self.config = config
        self.namespace = namespace
        """Where its Secrets are."""
        self.refs: frozenset[SecretRef] = frozenset()
        self.states: list[ReceiverState] = []
        self.claims: list[_Claim | None] = []
        self.published: list[str] = []


class ReceiverIndex:
    """Receivers by the digest that ends their path.

    A digest that two receivers claim serves neither, as in Kargo; both are faulty until one gives way.
    ``secrets`` are followed while a receiver refers to them.
    """

    def __init__(self, *, system_namespace: str, secrets: SecretWatches) -> None:
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
        for key, name in sorted(self._published.get(digest, ())):
            if any(s.name == name and s.state is State.PENDING for s in self.states(key)):
                return receiver_name(key[0], name)
        return None

    # --- what status and metrics ask ---

    def config(self, key: ConfigKey) -> Config | None:
        """Return a config as last seen."""
        entry = self._entries.get(key)
        return entry.config if entry is not None else None

    def states(self, key: ConfigKey) -> list[ReceiverState]:
        """Return the states of a config's receivers, in the order of ``Config.receivers``."""
        entry = self._entries.get(key)
        if entry is None:
            return []
        found = []
        for state, claim in zip(entry.states, entry.claims, strict=True):
            if claim is not None and len(self._claims[claim.digest]) > 1:
                state = conflict(state.name, self.claimants(claim.digest))
            found.append(state)
        return found

    def claimants(self, digest: str) -> list[str]:
        """Return the names of all receivers that come to this path."""
        return [claim.receiver.name for claim in self._claims.get(digest, ())]

    def settling(self, key: ConfigKey) -> bool:
        """Return whether a Secret of a config may have changed since it was read; its end is a change."""
        entry = self._entries.get(key)
        return entry is not None and any(self._secrets.state(ref).settling for ref in entry.refs)

    def all_states(self) -> Iterator[tuple[ConfigKey, ReceiverState]]:
        """Yield every receiver with its config."""
        for key in self._entries:
            for state in self.states(key):
                yield key, state

    # --- what informers report ---

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
        self._publish(key, entry, ())
        self._notify({key} | self._set_receivers(key, entry, ()))

    def secret_changed(self, ref: SecretRef) -> None:
        """Look again at every receiver that refers to this Secret."""
        changed: set[ConfigKey] = set()
        for key in self._users.get(ref, ()):
            entry = self._entries[key]
            for place, spec in enumerate(entry.config.receivers):
                if spec.secret == ref[1]:
                    changed |= {key} | self._evaluate(key, entry, place, spec)
        self._notify(changed)

    def validate(self) -> None:
        """Check what must hold between any two calls. Raises AssertionError; for tests."""
        entries = self._entries.items()
        claims = {id(claim) for _, entry in entries for claim in entry.claims if claim is not None}
        refs = {ref: {key for key, entry in entries if ref in entry.refs} for ref in self._users}
        assert claims == {id(claim) for each in self._claims.values() for claim in each}  # noqa: S101
        assert all(self._claims.values()), "an empty list"  # noqa: S101
        assert self._users == {ref: keys for ref, keys in refs.items() if keys}  # noqa: S101
        assert set(self._published) == {each for _, entry in entries for each in entry.published}  # noqa: S101

    def _take(self, config: Config) -> None:
        key = (config.namespace, config.name)
        # Kargo has one ProjectConfig for each Project, named like it, and one ClusterConfig.
        if config.name != (config.namespace or CLUSTER_CONFIG_NAME):
            return
        entry = self._entries.get(key)
        changed = {key}
        if entry is None:
            entry = self._entries[key] = _Entry(config, config.namespace or self._system_namespace)
            changed |= self._set_receivers(key, entry, config.receivers)
        else:
            before, entry.config = entry.config, config
            if before.receivers != config.receivers:
                changed |= self._set_receivers(key, entry, config.receivers)
        self._publish(key, entry, config.entries)
        self._notify(changed)

    def _notify(self, changed: set[ConfigKey]) -> None:
        for listener in self._listeners:
            for key in changed:
                listener(key)

    def _set_receivers(
        self, key: ConfigKey, entry: _Entry, receivers: Sequence[ReceiverSpec]
    ) -> set[ConfigKey]:
        """Replace a config's receivers and judge them; return the other configs that this concerns."""
        concerned: set[ConfigKey] = set()
        for place in range(len(entry.claims)):
            concerned |= self._claim(entry, place, None)
        refs = frozenset((entry.namespace, spec.secret) for spec in receivers if spec.secret)
        for ref in refs - entry.refs:
            users = self._users.setdefault(ref, set())
            if not users:
                self._secrets.follow(ref)
            users.add(key)
        for ref in entry.refs - refs:
            self._users[ref].discard(key)
            if not self._users[ref]:
                del self._users[ref]
                self._secrets.forget(ref)
        entry.refs = refs
        entry.states = [ReceiverState(spec.name, State.PENDING) for spec in receivers]
        entry.claims = [None for _ in receivers]
        for place, spec in enumerate(receivers):
            concerned |= self._evaluate(key, entry, place, spec)
        return concerned

    def _evaluate(self, key: ConfigKey, entry: _Entry, place: int, spec: ReceiverSpec) -> set[ConfigKey]:
        """Judge one receiver of a config; return the configs whose receivers come, or came, to its path."""
        ref = (entry.namespace, spec.secret)
        known = self._secrets.state(ref) if spec.secret else SecretState(known=True)
        state, factor = judge(spec, key[0], entry.namespace, known)
        entry.states[place] = state
        claim = None
        if factor is not None:
            claim = _Claim(state.digest, key, ServedReceiver(receiver_name(key[0], spec.name), factor))
        return self._claim(entry, place, claim)

    def _claim(self, entry: _Entry, place: int, claim: _Claim | None) -> set[ConfigKey]:
        """Put a claim in place of a receiver's former one; return the configs that share either path."""
        concerned: set[ConfigKey] = set()
        former, entry.claims[place] = entry.claims[place], claim
        if former is not None:
            others = [each for each in self._claims[former.digest] if each is not former]
            concerned.update(each.config for each in others)
            if others:
                self._claims[former.digest] = others
            else:
                del self._claims[former.digest]
        if claim is not None:
            others = self._claims.setdefault(claim.digest, [])
            concerned.update(each.config for each in others)
            others.append(claim)
        return concerned

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
