"""Reading JSON that anyone may have sent: only the wanted fields, and one error for all that can be wrong.

Objects are decoded into structs of ``msgspec.Raw``: a field's type is looked at only by who needs the field,
so that a ping is a ping whatever else its body holds.
"""

import re
from typing import TypeVar

import msgspec

SENDER_ID_CHARACTERS = 64
"""A sender's id is a GUID; what is longer is cut."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_UNPRINTABLE = re.compile(r"[^!-~]")

TEXT_CHARACTERS = 4096
"""The longest text that is taken: Azure's names have up to 256 characters. It bounds what is kept of an
event, in memory and on disk."""

T = TypeVar("T")


class BadPayload(ValueError):  # noqa: N818 - it says what it is of, and its answer is a 400, no fault
    """The body is no sender's event. The message says why, in one line, and never quotes the body."""


def readable(body: bytes) -> bytes:
    """Return the body as it can be decoded. Raises BadPayload unless it is UTF-8, without byte order mark.

    Half a surrogate pair becomes U+FFFD, as in Kargo: Azure DevOps cuts commit messages anywhere, in the
    middle of an emoji too, and msgspec refuses such an escape.
    """
    if not body.strip():
        raise BadPayload("the body is empty")
    if body.startswith(b"\xef\xbb\xbf"):
        raise BadPayload("the body is not JSON: it begins with a byte order mark")
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise BadPayload(f"the body is not JSON: no UTF-8 at byte {error.start}") from None
    return _ESCAPE.sub(_mended, body) if _SURROGATE.search(body) else body


def _mended(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]


def decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], mismatch: str) -> T:
    """Decode; raise BadPayload, with this message where the JSON is of another type.

    A key given twice counts as its last value, as in Kargo.
    """
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
    return bytes(raw) not in (b"", b"null")


_text = msgspec.json.Decoder(str)
_whole_number = msgspec.json.Decoder(int)


def text(raw: msgspec.Raw, field: str) -> str:
    """Return the text of a field. Raises BadPayload, naming it, if it is missing, empty, long or no text."""
    if not given(raw):
        raise BadPayload(f"{field} is missing")
    value = decode(raw, _text, f"{field} must be a string")
    if not value.strip():
        raise BadPayload(f"{field} is empty")
    if len(value) > TEXT_CHARACTERS:
        raise BadPayload(f"{field} is longer than {TEXT_CHARACTERS} characters")
    return value


def inner(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T], empty: T, field: str) -> T:
    """Return the object in a field, ``empty`` if it is missing. Raises BadPayload if it is no object."""
    return decode(raw, decoder, f"{field} must be an object") if given(raw) else empty


def sender_id(*candidates: msgspec.Raw) -> str:
    """Return the first of these fields that holds text or a whole number, cut and printable; else nothing."""
    for raw in candidates:
        try:
            value = decode(raw, _text, "")
        except BadPayload:
            try:
                value = str(decode(raw, _whole_number, ""))
            except (BadPayload, ValueError):  # ValueError: an integer too long to be written
                continue
        if value:
            return _UNPRINTABLE.sub("?", value[:SENDER_ID_CHARACTERS])
    return ""
