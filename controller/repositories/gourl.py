"""URLs as Go's ``net/url`` (1.26) parses and writes them.

Only what Kargo's normalization can see of it, on bytes, since an escape may stand for any byte. Python's
own ``urllib.parse`` accepts, repairs and rewrites other things than Go does, so it is no substitute; its
``quote_from_bytes`` and ``unquote_to_bytes`` do the same byte work as Go's and are used.
"""

import ipaddress
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

# What each part of a URL may hold unescaped, besides letters, digits and "-._~".
_PATH_SAFE = "$&+,/:;=@"
_HOST_SAFE = "!\"$&'()*+,:;<=>[]"
_USER_SAFE = "$&+,;="
_FRAGMENT_SAFE = "!$&()*+,/:;=?@"

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%(..)", re.DOTALL)
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*+):")
_PORT = re.compile(rb"(?::[0-9]*)?")
_HOST_BYTE = rb"A-Za-z0-9\-._~!\"$&'()*+,:;<=>\[\]"
_ZONE_BYTE = re.compile(rb"[" + _HOST_BYTE + rb" ]")
# In a host an escape may only stand for a byte that is not ASCII, or for "%" itself.
_HOST = re.compile(rb"(?:[" + _HOST_BYTE + rb"\x80-\xff]|%25|%[89A-Fa-f][0-9A-Fa-f])*+")
_ZONE = re.compile(rb"(?:[" + _HOST_BYTE + rb"\x80-\xff]|%[0-9A-Fa-f]{2})*+")
_USER = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*+")
_ENCODED_PATH = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,/:;=@\[\]%]*+")
_ENCODED_FRAGMENT = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,/:;=?@\[\]%]*+")

_MAX_PARAMETERS = 10_000
"""Go drops a query that has more of them, whole."""


@dataclass(slots=True)
class URL:
    """A parsed URL. ``path`` and ``fragment`` are decoded; ``raw_*`` is how they were given, if unusual."""

    scheme: bytes = b""
    opaque: bytes = b""
    user: tuple[bytes, bytes | None] | None = None
    """Name and password (None: no ``:`` was given), decoded."""
    host: bytes = b""
    path: bytes = b""
    raw_path: bytes = b""
    query: bytes = b""
    force_query: bool = False
    """A lone ``?`` at the end is kept."""
    omit_host: bool = False
    """``scheme:/path``, without ``//``."""
    fragment: bytes = b""
    raw_fragment: bytes = b""

    def has_parameters(self) -> bool:
        """Whether ``URL.Query()`` holds anything: malformed pairs and those with ``;`` don't count."""
        if self.query.count(b"&") >= _MAX_PARAMETERS:
            return False
        return any(
            pair and b";" not in pair and not _BAD_ESCAPE.search(pair) for pair in self.query.split(b"&")
        )

    def set_path(self, escaped: bytes) -> None:
        """Replace the path by an escaped one. Raises ValueError for a wrong escape."""
        self.path = _unescape(escaped)
        self.raw_path = escaped if quote_from_bytes(self.path, _PATH_SAFE).encode() != escaped else b""

    def escaped_path(self) -> str:
        """Return the path as it was given where that still is a valid encoding of it, else encoded anew."""
        if _still_valid(self.raw_path, self.path, _ENCODED_PATH):
            return self.raw_path.decode("ascii")
        return "*" if self.path == b"*" else quote_from_bytes(self.path, _PATH_SAFE)

    def __str__(self) -> str:
        """Write it as ``URL.String()`` does."""
        out = f"{self.scheme.decode('ascii')}:" if self.scheme else ""
        if self.opaque:
            out += self.opaque.decode("utf-8")
        else:
            if not self.omit_host and (self.host or self.user or (self.scheme and self.path)):
                out += "//" + self._written_user() + quote_from_bytes(self.host, _HOST_SAFE)
            path = self.escaped_path()
            if self.host and path and not path.startswith("/"):
                out += "/"
            if not out and ":" in path.partition("/")[0]:
                out = "./"  # or the first segment would pass for a scheme
            out += path
        if self.force_query or self.query:
            out += "?" + self.query.decode("utf-8")
        if self.fragment:
            if _still_valid(self.raw_fragment, self.fragment, _ENCODED_FRAGMENT):
                out += "#" + self.raw_fragment.decode("ascii")
            else:
                out += "#" + quote_from_bytes(self.fragment, _FRAGMENT_SAFE)
        return out

    def _written_user(self) -> str:
        if self.user is None:
            return ""
        name, password = self.user
        written = quote_from_bytes(name, _USER_SAFE)
        if password is not None:
            written += ":" + quote_from_bytes(password, _USER_SAFE)
        return written + "@"


def parse(raw: bytes) -> URL:
    """Parse as ``url.Parse``. Raises ValueError where Go returns an error. Linear in the length."""
    text, _, fragment = raw.partition(b"#")
    url = _parse(text)
    if fragment:
        url.fragment = _unescape(fragment)
        if quote_from_bytes(url.fragment, _FRAGMENT_SAFE).encode() != fragment:
            url.raw_fragment = fragment
    return url


def join_path(base: bytes, *elements: str) -> str:
    """Join as ``url.JoinPath``: ``base`` is a URL or a path. Raises ValueError where Go returns an error."""
    url = parse(base)
    given = url.escaped_path()
    # path.Join keeps one leading slash, normpath two.
    joined = posixpath.normpath("/" + "/".join([given, *elements]).lstrip("/"))
    url.set_path((joined if given.startswith("/") else joined[1:]).encode())
    return str(url)


def _parse(text: bytes) -> URL:
    if _CONTROL.search(text):
        raise ValueError("control character")
    if text == b"*":
        return URL(path=text)
    url = URL()
    scheme = _SCHEME.match(text)
    rest = text
    if scheme:
        url.scheme, rest = scheme[1].lower(), text[scheme.end() :]
    elif text.startswith(b":"):
        raise ValueError("missing scheme")
    rest, mark, url.query = rest.partition(b"?")
    url.force_query = bool(mark) and not url.query
    if not rest.startswith(b"/"):
        if url.scheme:
            url.opaque = rest
            return url
        if b":" in rest.partition(b"/")[0]:
            raise ValueError("colon in the first segment of a relative path")
    if rest.startswith(b"//") and (url.scheme or not rest.startswith(b"///")):
        authority, slash, rest = rest[2:].partition(b"/")
        rest = slash + rest
        _set_authority(url, authority)
    elif url.scheme and rest.startswith(b"/"):
        url.omit_host = True
    url.set_path(rest)
    return url


def _set_authority(url: URL, authority: bytes) -> None:
    user, at, host = authority.rpartition(b"@")
    url.host = _host(url.scheme, host)
    if at:
        if not _USER.fullmatch(user):
            raise ValueError("invalid user information")
        name, colon, password = user.partition(b":")
        url.user = (_unescape(name), _unescape(password) if colon else None)


def _host(scheme: bytes, host: bytes) -> bytes:
    opening = host.rfind(b"[")
    if opening > 0:
        raise ValueError("bracket inside the host")
    if opening == 0:
        return _bracketed(host)
    # More than one colon is refused in web URLs only (other schemes list several hosts).
    colon = host.find(b":") if scheme in (b"http", b"https") else host.rfind(b":")
    if colon >= 0 and not _PORT.fullmatch(host, colon):
        raise ValueError("invalid port")
    return _unescape_host(host, _HOST)


def _bracketed(host: bytes) -> bytes:
    """Check ``[IPv6%25zone]:port`` and return it unescaped."""
    closing = host.rfind(b"]")
    if closing < 0 or not _PORT.fullmatch(host, closing + 1):
        raise ValueError("invalid port after the address")
    inside = host[1:closing]
    zone = inside.find(b"%25")
    if zone < 0:
        name = _unescape_host(inside, _HOST)
    else:
        for escape in set(_ESCAPE.findall(inside, zone)):
            if escape != b"25" and not _ZONE_BYTE.fullmatch(unquote_to_bytes(b"%" + escape)):
                raise ValueError("invalid escape in the zone")
        name = _unescape_host(inside[:zone], _HOST) + _unescape_host(inside[zone:], _ZONE)
    address, percent, zone_name = name.partition(b"%")
    if percent and not zone_name:
        raise ValueError("empty zone")
    ipaddress.IPv6Address(address.decode("latin-1"))  # AddressValueError is a ValueError
    return b"[" + name + b"]" + host[closing + 1 :]


def _unescape(part: bytes) -> bytes:
    if b"%" not in part:
        return part
    if _BAD_ESCAPE.search(part):
        raise ValueError("invalid escape")
    return unquote_to_bytes(part)


def _unescape_host(part: bytes, allowed: re.Pattern[bytes]) -> bytes:
    if not allowed.fullmatch(part):
        raise ValueError("invalid character in the host")
    return _unescape(part)


def _still_valid(raw: bytes, decoded: bytes, allowed: re.Pattern[bytes]) -> bool:
    return bool(raw) and allowed.fullmatch(raw) is not None and unquote_to_bytes(raw) == decoded
