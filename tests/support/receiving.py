"""The index of receivers, with configs and Secrets that a test has it see."""

from controller.kargo.objects import Config, ReceiverSpec
from controller.receivers.index import ConfigKey, ReceiverIndex
from controller.receivers.state import State
from controller.receivers.url import receiver_digest
from tests.support.secrets import LONG, FakeSecrets

SYSTEM = "kargo-system-resources"


def config(
    namespace: str, *receivers: tuple[str, str], name: str = "", published: tuple[str, ...] = ()
) -> Config:
    """Build a config; ``published`` are the digests in its status, one for each receiver in turn."""
    entries = tuple(
        {"name": receiver, "path": f"/webhooks/azure/{digest}", "url": "u"}
        for (receiver, _), digest in zip(receivers, published, strict=False)
    )
    specs = tuple(ReceiverSpec(*each) for each in receivers)
    name = name or namespace or "cluster"
    order = tuple(spec.name for spec in specs)
    return Config(namespace, name, "uid", "1", specs, order, entries, None, ())


class Receiving:
    """An index, the Secrets it follows, and what it told."""

    def __init__(self) -> None:
        self.secrets = FakeSecrets()
        self.index = ReceiverIndex(system_namespace=SYSTEM, secrets=self.secrets)
        self.told: list[ConfigKey] = []
        self.index.on_change(self.told.append)

    def put(self, config: Config) -> None:
        """Add or update a config."""
        before = self.index.config((config.namespace, config.name))
        if before is None:
            self.index.added(config)
        else:
            self.index.updated(before, config)

    def secret(self, ref: tuple[str, str], value: bytes = LONG, **factors: bytes | None) -> None:
        """Have a Secret seen."""
        self.secrets.put(ref, value, **factors)
        self.index.secret_changed(ref)

    def served(self, project: str, receiver: str, value: bytes = LONG) -> str | None:
        """Return the name of the receiver that answers at this path."""
        found = self.index.find(receiver_digest(project, receiver, value))
        return found.name if found is not None else None

    def states(self, key: ConfigKey) -> dict[str, State]:
        return {state.name: state.state for state in self.index.states(key)}
