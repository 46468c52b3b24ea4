"""The second factor that a receiver's Secret may demand besides the URL: an ``Authorization`` header.

Azure DevOps sends basic authentication (keys ``receiver-username`` and ``receiver-password``); ACR and Event
Grid send any header they are given (key ``receiver-authorization``). Where both are set, either suffices.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from controller.kargo.objects import Secret

HEADERS_LOOKED_AT = 4
"""Authorization headers compared in one request: senders send one."""


class FactorError(ValueError):
    """The Secret's second factor makes no sense; the message says which key to fix."""


class SecondFactor:
    """The ``Authorization`` values that are accepted; none at all means that none is demanded."""

    def __init__(self, secret: Secret) -> None:
        """Read the factors of a Secret. Raises FactorError for half a pair, or for an empty value."""
        self._accepted: list[bytes] = []
        names = []
        if secret.username is not None or secret.password is not None:
            for key, value in (("username", secret.username), ("password", secret.password)):
                if not value:
                    raise FactorError(f'key "receiver-{key}" is missing or empty')
            pair = (secret.username or b"") + b":" + (secret.password or b"")
            self._accepted.append(_fingerprint(b"basic " + base64.b64encode(pair)))
            names.append("basic authentication")
        if secret.authorization is not None:
            value = secret.authorization.strip()
            if not value:
                raise FactorError('key "receiver-authorization" is empty')
            self._accepted.append(_fingerprint(_canonical(value)))
            names.append("Authorization header")
        self.description = " or ".join(names)
        """For people: which factors are demanded; empty if none."""

    def accepts(self, authorization: Sequence[str]) -> bool:
        """Whether one of these header values, as Tornado decodes them, satisfies it; in constant time."""
        if not self._accepted:
            return True
        good = False
        for value in authorization[:HEADERS_LOOKED_AT]:
            given = _fingerprint(_canonical(value.encode("latin-1", "replace").strip()))
            for accepted in self._accepted:
                good |= hmac.compare_digest(given, accepted)
        return good


def _canonical(value: bytes) -> bytes:
    """Fold the case of the scheme ``Basic`` (RFC 9110, 11.1: schemes are case-insensitive)."""
    scheme, space, rest = value.partition(b" ")
    return b"basic " + rest.strip() if space and scheme.lower() == b"basic" else value


def _fingerprint(value: bytes) -> bytes:
    # Digests are compared, so that not even the length of the right value can be timed.
    return hashlib.sha256(value).digest()
