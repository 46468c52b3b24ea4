"""Reads Secrets from the API server as they are now: before a write, and for an operator's listing."""

from controller.kargo.objects import SECRETS, decode_secret
from controller.receivers.state import SecretState
from controller.runtime.api.client import Client
from controller.runtime.api.errors import Forbidden, NotFound


class LiveSecrets:
    """The Secrets of one namespace, each read once; ``refused`` is the problem of one we may not read."""

    def __init__(self, client: Client, namespace: str, *, refused: str) -> None:
        self._client = client
        self._namespace = namespace
        self._refused = refused
        self._read: dict[str, SecretState] = {}

    async def state(self, name: str) -> SecretState:
        """Return what is known of a Secret; an empty ``name`` is a missing reference, so there is none.

        Raises every ApiError but 403 and 404, and msgspec.MsgspecError for an answer that is no Secret.
        """
        if name not in self._read:
            self._read[name] = await self._get(name) if name else SecretState(known=True)
        return self._read[name]

    async def _get(self, name: str) -> SecretState:
        try:
            raw = await self._client.get(SECRETS, namespace=self._namespace, name=name)
        except NotFound:
            return SecretState(known=True)
        except Forbidden:
            return SecretState(known=False, problem=self._refused)
        return SecretState(known=True, secret=decode_secret(raw, lambda _namespace, _name: None))
