"""The serving certificate: reading it, and loading it anew when its files change."""

import datetime as dt
import os
import ssl
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from webhook.http.tls import Certificate, CertificateError, not_after
from webhook.limits import TLS_FILE

EXPIRES = dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def issue(authority: trustme.CA, folder: Path, expires: dt.datetime = EXPIRES) -> None:
    """Write a certificate and its key into ``folder``, under the names that Kubernetes gives them."""
    folder.mkdir(parents=True, exist_ok=True)
    leaf = authority.issue_cert("localhost", not_after=expires)
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())


def issue_expired(authority: trustme.CA, folder: Path) -> None:
    """Write a certificate that was valid until 2012."""
    ends = dt.datetime(2012, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    leaf = authority.issue_cert(
        "localhost", not_after=ends, not_before=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    )
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())


def load(folder: Path) -> Certificate:
    return Certificate(folder / "tls.crt", folder / "tls.key")


@pytest.mark.parametrize(
    "expires",
    [
        pytest.param(EXPIRES, id="two-digit-year"),
        pytest.param(dt.datetime(2051, 1, 2, 3, 4, 5, tzinfo=dt.UTC), id="four-digit-year"),
        pytest.param(dt.datetime(2012, 1, 2, 3, 4, 5, tzinfo=dt.UTC), id="expired"),
    ],
)
def test_expiry_is_that_of_the_first_certificate(
    authority: trustme.CA, tmp_path: Path, expires: dt.datetime
) -> None:
    """An alert on the metric goes by the certificate that clients are shown, expired or not."""
    folder = tmp_path
    leaf = authority.issue_cert(
        "localhost", not_after=expires, not_before=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    )
    (folder / "tls.crt").write_bytes(
        b"some text\n" + leaf.cert_chain_pems[0].bytes() + authority.cert_pem.bytes()
    )
    (folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())
    assert load(folder).expires == expires.timestamp()


def test_tls_1_2_or_later(authority: trustme.CA, tmp_path: Path) -> None:
    """Older versions are never negotiated."""
    issue(authority, tmp_path)
    assert load(tmp_path).context.minimum_version is ssl.TLSVersion.TLSv1_2


def broken_pair(authority: trustme.CA, folder: Path) -> None:
    issue(authority, folder)
    (folder / "tls.key").write_bytes(authority.issue_cert("other").private_key_pem.bytes())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda f: (f / "tls.crt").unlink(), "tls.crt can't be read: No such file", id="missing"),
        pytest.param(lambda f: (f / "tls.key").unlink(), "tls.key can't be read: No such file", id="no-key"),
        pytest.param(lambda f: (f / "tls.crt").write_text("x"), "holds no PEM certificate", id="no-pem"),
        pytest.param(
            lambda f: (f / "tls.crt").write_text(
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
            ),
            "damaged certificate",
            id="damaged",
        ),
        pytest.param(lambda f: (f / "tls.key").write_text("x"), "can't be used", id="key-is-none"),
        pytest.param(lambda f: broken_pair(trustme.CA(), f), "KEY_VALUES_MISMATCH", id="not-a-pair"),
        pytest.param(
            lambda f: (f / "tls.crt").write_bytes(b"x" * (TLS_FILE + 1)), "larger than", id="too-large"
        ),
    ],
)
def test_unusable_files_are_one_clear_line(
    authority: trustme.CA, tmp_path: Path, spoil: object, reason: str
) -> None:
    """At start, whatever is wrong with the files is said in one line that names them."""
    issue(authority, tmp_path)
    spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(CertificateError, match=reason) as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)


def test_key_with_a_password_never_asks_at_the_terminal(authority: trustme.CA, tmp_path: Path) -> None:
    """An encrypted key is a fault like any other."""
    issue(authority, tmp_path)
    key = tmp_path / "tls.key"
    key.write_text(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    )
    with pytest.raises(CertificateError):
        load(tmp_path)


def test_unchanged_files_are_not_loaded_again(authority: trustme.CA, tmp_path: Path) -> None:
    """Looking costs nothing while nothing changes."""
    issue(authority, tmp_path)
    certificate = load(tmp_path)
    before = certificate.context
    certificate.check()
    assert certificate.context is before


def test_new_files_are_served(authority: trustme.CA, tmp_path: Path) -> None:
    """A renewed certificate is served without a restart, and its expiry reported."""
    issue(authority, tmp_path)
    certificate = load(tmp_path)
    before = certificate.context
    later = EXPIRES + dt.timedelta(days=90)
    issue(authority, tmp_path, later)
    with capture_logs() as lines:
        certificate.check()
    assert certificate.context is not before
    assert certificate.expires == later.timestamp()
    assert [line["event"] for line in lines] == ["certificate_reloaded"]


def test_kubernetes_swaps_a_symbolic_link(authority: trustme.CA, tmp_path: Path) -> None:
    """A mounted Secret changes by ``..data`` pointing to another folder; the paths stay."""
    issue(authority, tmp_path / "..2026_01")
    issue(authority, tmp_path / "..2026_02", EXPIRES + dt.timedelta(days=1))
    (tmp_path / "..data").symlink_to("..2026_01")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    certificate = load(tmp_path)
    (tmp_path / "..data_tmp").symlink_to("..2026_02")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    certificate.check()
    assert certificate.expires == (EXPIRES + dt.timedelta(days=1)).timestamp()


def test_bad_new_files_keep_the_old_ones_and_are_reported_once(authority: trustme.CA, tmp_path: Path) -> None:
    """A mistake in the files stops nobody, is said once, and heals by itself."""
    issue(authority, tmp_path)
    certificate = load(tmp_path)
    before = certificate.context
    (tmp_path / "tls.crt").write_text("nonsense")
    with capture_logs() as lines:
        for _ in range(4):
            certificate.check()
    assert certificate.context is before
    assert [line["event"] for line in lines] == ["certificate_refused"]
    assert certificate.refused == 1
    issue(authority, tmp_path, EXPIRES + dt.timedelta(days=2))
    certificate.check()
    assert certificate.expires == (EXPIRES + dt.timedelta(days=2)).timestamp()


def test_expired_certificate_never_replaces_a_valid_one(authority: trustme.CA, tmp_path: Path) -> None:
    """An old Secret that was put back stops nobody; one that ends sooner is served as asked."""
    issue(authority, tmp_path)
    certificate = load(tmp_path)
    before = certificate.context
    issue_expired(authority, tmp_path)
    with capture_logs() as lines:
        certificate.check()
        certificate.check()
    assert certificate.context is before
    assert certificate.expires == EXPIRES.timestamp()
    assert [line["event"] for line in lines] == ["certificate_refused"]
    assert "tls.crt expired at 2012-01-02T03:04:05" in lines[0]["reason"]
    assert certificate.refused == 1
    sooner = EXPIRES - dt.timedelta(days=90)
    issue(authority, tmp_path, sooner)
    certificate.check()
    assert certificate.expires == sooner.timestamp()


def test_expired_certificate_at_start_is_served_and_reported(authority: trustme.CA, tmp_path: Path) -> None:
    """There is no other; a proxy in front may not look at it. One that is valid takes its place."""
    issue_expired(authority, tmp_path)
    with capture_logs() as lines:
        certificate = load(tmp_path)
    assert [(line["event"], line["log_level"]) for line in lines] == [("certificate_expired", "error")]
    issue(authority, tmp_path)
    certificate.check()
    assert certificate.expires == EXPIRES.timestamp()


def test_files_written_one_after_the_other_are_no_fault(authority: trustme.CA, tmp_path: Path) -> None:
    """For a moment the new certificate lies beside the old key: nobody is alarmed."""
    issue(authority, tmp_path)
    issue(authority, tmp_path / "new", EXPIRES + dt.timedelta(days=3))
    certificate = load(tmp_path)
    with capture_logs() as lines:
        (tmp_path / "tls.crt").write_bytes((tmp_path / "new" / "tls.crt").read_bytes())
        certificate.check()
        (tmp_path / "tls.key").write_bytes((tmp_path / "new" / "tls.key").read_bytes())
        certificate.check()
    assert [line["event"] for line in lines] == ["certificate_reloaded"]


def test_certificate_text_without_an_end() -> None:
    """A file that was cut is refused, not misread."""
    with pytest.raises(CertificateError):
        not_after(b"-----BEGIN CERTIFICATE-----\nMIIB")
