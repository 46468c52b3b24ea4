"""The serving certificate: TLS 1.2 or later, loaded anew when its files change.

Kubernetes updates a mounted Secret by swapping a symbolic link; cert-manager and people write the files one
after the other. Checking the files every other second notices both. New files that can't be used, or whose
certificate has expired, are reported, and the certificate before them stays in use.
"""

import os
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import structlog

from controller.runtime.clock import Clock
from webhook.limits import TLS_FILE, TLS_POLL_SECONDS

log = structlog.get_logger()

_VALIDITY = re.compile(
    rb"(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(?P<utc>\d{12}Z)|\x18\x0f(?P<generalized>\d{14}Z))"
)
"""A certificate's two times (RFC 5280, section 4.1.2.5) in DER: nothing before them looks like this."""

_Stamp = tuple[tuple[int, int, int, int], ...]


class CertificateError(Exception):
    """Certificate or key can't be used; the message is one line for a person."""


class Certificate:
    """The certificate and key in two PEM files.

    The constructor raises CertificateError if they can't be used. New connections are wrapped with
    ``context``; existing ones keep theirs.
    """

    def __init__(self, cert: str | Path, key: str | Path, *, clock: Clock | None = None) -> None:
        self._cert = Path(cert)
        self._key = Path(key)
        self._clock = clock or Clock()
        self._stamp = self._look()
        self._suspect: _Stamp | None = None
        """Files that could not be used at the last check: reported if the next check finds them unchanged."""
        self.context: ssl.SSLContext
        self.expires = 0.0
        """Unix time in seconds at which the certificate in use expires."""
        self.refused = 0
        """How often new files could not be used."""
        self._load()
        if self.expires <= self._clock.time():
            # There is no other one to serve, and a proxy before us may not check it.
            log.error("certificate_expired", expires=_date(self.expires))

    async def run(self, poll: float = TLS_POLL_SECONDS) -> None:
        """Check the files every ``poll`` seconds until cancelled."""
        while True:
            await self._clock.sleep(poll)
            self.check()

    def check(self) -> None:
        """Check the files once, and load them if they have changed."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            self._load()
        except CertificateError as error:
            # Perhaps only one of the two files has been written yet: it is a fault if it stays so.
            if stamp == self._suspect:
                self._stamp = stamp
                log.error("certificate_refused", reason=str(error), serving="the certificate before")
                self.refused += 1
            self._suspect = stamp
            return
        self._stamp = stamp
        log.info("certificate_reloaded", expires=_date(self.expires))

    def _look(self) -> _Stamp:
        """Return what changes whenever the two files do, without reading them."""
        stamps = []
        for path in (self._cert, self._key):
            try:
                stat = os.stat(path)  # follows the links that Kubernetes swaps
            except OSError:
                stamps.append((0, 0, 0, 0))
            else:
                stamps.append((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(stamps)

    def _load(self) -> None:
        expires = not_after(_read(self._cert))
        if expires <= self._clock.time() < self.expires:
            raise CertificateError(f"the certificate {self._cert} expired at {_date(expires)}")
        _read(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without a password given OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self._cert, self._key, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise CertificateError(
                f"the certificate {self._cert} with the key {self._key} can't be used: {reason}"
            ) from error
        self.context = context
        self.expires = expires


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(TLS_FILE + 1)
    except OSError as error:
        raise CertificateError(f"{path} can't be read: {error.strerror or error}") from error
    if len(data) > TLS_FILE:
        raise CertificateError(f"{path} is larger than {TLS_FILE} bytes: no certificate or key")
    return data


def not_after(pem: bytes) -> float:
    """Return the Unix time in seconds at which the first certificate in ``pem`` expires.

    The standard library tells it only of a peer's verified certificate. Raises CertificateError if there is
    no certificate.
    """
    text = pem.decode("latin-1")
    begin = text.find(ssl.PEM_HEADER)
    end = text.find(ssl.PEM_FOOTER, begin)
    if begin < 0 or end < 0:
        raise CertificateError("the certificate's file holds no PEM certificate")
    try:
        validity = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)]))
        if validity is None:
            raise ValueError("no validity")
        # UTCTime has two digits of the year, GeneralizedTime four.
        form = "%y%m%d%H%M%SZ" if validity["utc"] else "%Y%m%d%H%M%SZ"
        time = (validity["utc"] or validity["generalized"]).decode()
        return datetime.strptime(time, form).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise CertificateError("the certificate's file holds a damaged certificate") from error
