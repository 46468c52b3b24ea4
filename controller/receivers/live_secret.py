"""Reads one Secret from the API server as it is now: before a write, and for an operator's listing."""

from controller.kargo.objects import SECRETS, decode_secret
from controller.receivers.state import SecretState
from controller.runtime.api.client import Client
from controller.runtime.api.errors import Forbidden, NotFound


async def read_live(client: Client, namespace: str, name: str, *, refused: str) -> SecretState:
    """Return what is known of the Secret; ``refused`` is the problem to name if it may not be read.

    An empty ``name`` is a missing reference, so there is no Secret. Raises every other ApiError, and
    msgspec.MsgspecError for an answer that is no Secret.
    """
    if not name:
        return SecretState(known=True)
    try:
        raw = await client.get(SECRETS, namespace=namespace, name=name)
    except NotFound:
        return SecretState(known=True)
    except Forbidden:
        return SecretState(known=False, problem=refused)
    return SecretState(known=True, secret=decode_secret(raw, lambda _namespace, _name: None))
