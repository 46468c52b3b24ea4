"""Reading JSON that anyone may have sent: only the wanted fields, and one error for all that can be wrong.

Objects are decoded into structs of ``msgspec.Raw``: a field's type is looked at only by who needs the field,
so that a ping is a ping whatever else its body holds, and what nobody reads is skipped, never built. A body
is read as Go's ``encoding/json`` reads it, since Kargo's own server does: bytes that are no UTF-8 and halves
of surrogate pairs become U+FFFD, and keys may be spelled in any case. Every function takes time linear in the
length of the JSON, at some nanoseconds a byte.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

TEXT_CHARACTERS = 4096
"""The longest text that is taken: Azure's names have up to 256 characters. It bounds what is kept of an
event, in memory and on disk."""
_TEXT_BYTES = 12 * TEXT_CHARACTERS
"""Bytes of such a text at the most: one character may be written as two escapes."""

SENDER_ID_CHARACTERS = 64
"""A sender's id is a GUID; what is longer is cut."""
_SENDER_ID = re.compile(rb'"(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u]){1,64}|-?[0-9]{1,64}\Z')
_UNPRINTABLE = re.compile(r"[^!-~]")

_FOLDED_BYTES = 256 * 1024
"""The largest object whose keys are compared without regard to case: comparing them costs much more than
skipping them, and no sender is known to spell them in another way."""

MOST_REFS = 20
"""Tags, digests or Git refs that are kept of an event."""
REF_CHARACTERS = 256
"""Characters kept of one: a tag has up to 128, a Git ref some 250."""

_HIDDEN = re.compile(r"\x08([dD][0-9a-fA-F]{3})")

MISSING = msgspec.Raw()
"""The value of a field that the JSON lacks."""


class Body(msgspec.Struct, rename="camel"):
    """The wanted fields of the top level of every sender's event, so that one reading shows whose it is.

    Event Grid's ``data`` has the shape of a registry's webhook: it is read as one of these, too.
    """

    id: msgspec.Raw = MISSING
    action: msgspec.Raw = MISSING
    target: msgspec.Raw = MISSING
    request: msgspec.Raw = MISSING
    connected_registry: msgspec.Raw = MISSING
    notification_id: msgspec.Raw = MISSING
    subscription_id: msgspec.Raw = MISSING
    event_type: msgspec.Raw = MISSING
    resource: msgspec.Raw = MISSING
    topic: msgspec.Raw = MISSING
    data: msgspec.Raw = MISSING
    specversion: msgspec.Raw = MISSING
    type: msgspec.Raw = MISSING


S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


class BadPayload(ValueError):  # noqa: N818 - it says what it is of, and its answer is a 400, no fault
    """The body is no sender's event. The message says why, in one line, and never quotes the body."""


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T], mismatch: str) -> T:
    """Decode a whole body; raise BadPayload, with the message ``mismatch`` if its JSON is of another type.

    A key given twice counts as its last value, as in Kargo. Half a surrogate pair is no reason to refuse:
    Azure DevOps cuts commit messages anywhere, in the middle of an emoji too. msgspec refuses it even where
    it skips, so it is hidden behind an escape of the same length, which ``text`` undoes.
    """
    if not body.strip():
        raise BadPayload("the body is empty")
    if body.startswith(b"\xef\xbb\xbf"):
        raise BadPayload("the body is not JSON: it begins with a byte order mark")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise BadPayload(mismatch) from None
    except (msgspec.DecodeError, RecursionError):
        return _decode(_with_surrogates_hidden(body), decoder, mismatch)


def _with_surrogates_hidden(body: bytes) -> bytes:
    return body.replace(rb"\ud", rb"\bd").replace(rb"\uD", rb"\bD")


def _decode(raw: bytes | msgspec.Raw | str, decoder: msgspec.json.Decoder[T], mismatch: str) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise BadPayload(mismatch) from None
    except msgspec.DecodeError as error:  # its message holds a position, and nothing of the body
        raise BadPayload(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadPayload("the body is nested too deeply") from None


def given(raw: msgspec.Raw) -> bool:
    """Whether a field is there, and not null."""
    return raw is not MISSING and bytes(raw) != b"null"


def inner(raw: msgspec.Raw, decoder: msgspec.json.Decoder[S], field: str, *needed: str) -> S:
    """Return the object in a field, an empty one if it is missing. Raises BadPayload if it is no object.

    ``needed`` names attributes: where one is missing, keys that differ in case count too.
    """
    try:
        found = decoder.decode(raw)
    except msgspec.DecodeError:
        if given(raw):
            raise BadPayload(f"{field} must be an object") from None
        return decoder.decode(b"{}")
    for name in needed:
        if getattr(found, name) is MISSING:
            return folded(raw, decoder, found)
    return found


def folded(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[S], found: S) -> S:
    """Decode an object once more, with keys in any case; return ``found`` if it is too large for that."""
    written = bytes(raw)
    if len(written) > _FOLDED_BYTES:
        return found
    names = {name.casefold(): name for name in found.__struct_encode_fields__}
    fields = _pairs.decode(str(_with_surrogates_hidden(written), "utf-8", "replace"))
    known = {}
    for key, value in fields.items():
        name = names.get(key.casefold())
        if name is not None and (key == name or name not in fields):
            known[name] = value
    return decoder.decode(msgspec.json.encode(known))


_pairs = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def text(raw: msgspec.Raw, field: str) -> str:
    """Return the text of a field. Raises BadPayload, naming it, if it is missing, empty, long or no text."""
    written = bytes(raw)
    if written[:1] != b'"':
        raise BadPayload(f"{field} must be a string" if given(raw) else f"{field} is missing")
    if len(written) <= _TEXT_BYTES:
        value = _read(written)
        if not value or value.isspace():
            raise BadPayload(f"{field} is empty")
        if len(value) <= TEXT_CHARACTERS:
            return value
    raise BadPayload(f"{field} is longer than {TEXT_CHARACTERS} characters")


def _read(written: bytes) -> str:
    value = _text.decode(str(written, "utf-8", "replace"))
    if "\x08" in value:
        value = _HIDDEN.sub(lambda hidden: chr(int(hidden[1], 16)), value)
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def sender_id(*candidates: msgspec.Raw) -> str:
    """Return the first of these fields that holds text or a whole number, cut and printable; else nothing."""
    for raw in candidates:
        match = _SENDER_ID.match(bytes(raw))
        if match is not None and match[0].startswith(b'"'):
            # Cut anywhere, between the halves of a surrogate pair too.
            value = _read(_with_surrogates_hidden(match[0]) + b'"')
            return _UNPRINTABLE.sub("?", value[:SENDER_ID_CHARACTERS])
        if match is not None:
            return match[0].decode()
    return ""


def refs(candidates: Iterable[msgspec.Raw]) -> tuple[str, ...]:
    """Return the texts among these fields, each once, cut and printable; nothing in them is an error."""
    found: dict[str, None] = {}
    left = 0
    for raw in candidates:
        if len(found) == MOST_REFS:
            left += 1
            continue
        try:
            value = text(raw, "")[:REF_CHARACTERS]
        except BadPayload:
            continue
        found["".join(char if char.isprintable() else "?" for char in value)] = None
    return (*found, f"and {left} more") if left else tuple(found)
