"""From a message's text to a body as the HTTP side gets it."""

import base64
import binascii

from webhook.payloads.reading import BadPayload

_MARK = "\ufeff"
"""A byte order mark, which .NET writes before text."""


def body_of(text: str) -> bytes:
    """Return the JSON in a message: the text itself, or what it encodes in base64. Raises BadPayload.

    Event Grid writes base64, Azure DevOps either, as its subscription says.
    """
    given = text.strip().removeprefix(_MARK)
    if given[:1] in ("{", "["):
        return given.encode("utf-8", "replace")
    try:
        return base64.b64decode(given, validate=True).removeprefix(_MARK.encode())
    except (binascii.Error, ValueError):
        raise BadPayload("the message is neither JSON nor base64") from None
