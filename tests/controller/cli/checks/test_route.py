"""What an answer to a path that no receiver has says about the route, and a certificate's date."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme

from controller.cli.calling import Answer, place, trust
from controller.cli.checks import route
from controller.cli.checks.findings import Finding, Level
from tests.support.site import Site, running
from webhook.http.tls import Certificate

WHERE = place("https://kargo.example.com/webhooks/azure/0")


@pytest.mark.parametrize(
    ("status", "ours", "level", "said"),
    [
        pytest.param(404, True, Level.OK, "leads to the receiver", id="ours"),
        pytest.param(503, True, Level.WARNING, "which answers 503", id="ours, overloaded"),
        pytest.param(404, False, Level.ERROR, "another server", id="Kargo's"),
        pytest.param(301, False, Level.ERROR, "redirects", id="to https"),
        pytest.param(503, False, Level.ERROR, "nothing is ready behind", id="the Ingress itself"),
        pytest.param(200, False, Level.ERROR, "another server", id="a web page"),
    ],
)
def test_who_answers(status: int, ours: bool, level: Level, said: str) -> None:
    """The receiver is known by the header; Azure follows no redirect."""
    found = route.judge(Answer(status, {"X-Delivery-Id": "1"} if ours else {}, "", 0.01), WHERE)
    assert found.level is level
    assert said in found.text
    assert (found.do == "") is (level is Level.OK)


def test_a_certificate_that_expires_soon_is_a_warning() -> None:
    """Two weeks before."""
    assert route.judge_certificate(route.SOON).level is Level.OK
    assert route.judge_certificate(route.SOON - 1).level is Level.WARNING


async def test_nobody_answers() -> None:
    """An error; from within a Pod, whose NetworkPolicy lets it call nobody, a warning."""
    context = trust(None, verify=True)
    for from_pod, level in ((False, Level.ERROR), (True, Level.WARNING)):
        (found,) = await route.check("http://127.0.0.1:1", context=context, seconds=2, from_pod=from_pod)
        assert found.level is level
        assert "does not answer" in found.text
        assert route.NOBODY not in "".join(map(str, found))


async def over_tls(
    authority: trustme.CA, folder: Path, days: int, context: ssl.SSLContext, host: str = "localhost"
) -> list[Finding]:
    """What is found where the receiver serves a certificate that is valid for so many days."""
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=days, hours=1)
    leaf = authority.issue_cert("localhost", not_before=expires - dt.timedelta(days=365), not_after=expires)
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())
    serving = Certificate(folder / "tls.crt", folder / "tls.key")
    async with running(Site(certificate=serving)) as site:
        base = f"https://{host}:{site.port}/webhooks"
        return await route.check(base, context=context, seconds=5, from_pod=False)


async def test_the_receiver_over_tls(tmp_path: Path) -> None:
    """With how long its certificate is valid yet; one that is not trusted is an error that says so."""
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    answered, certificate = await over_tls(authority, tmp_path, 90, trusting)
    assert (answered.level, certificate.level) == (Level.OK, Level.OK)
    assert certificate.text == "trusted, valid for 90 days"
    answered, certificate = await over_tls(authority, tmp_path, 3, trusting)
    assert (answered.level, certificate.level) == (Level.OK, Level.WARNING)
    strict = ssl.create_default_context()
    for days, context, host, why in (
        (90, strict, "localhost", "unable to get local issuer certificate"),
        (-3, trusting, "localhost", "certificate has expired"),
        (90, trusting, "127.0.0.1", "IP address mismatch"),
    ):
        (refused,) = await over_tls(authority, tmp_path, days, context, host)
        assert refused.level is Level.ERROR
        assert f"its certificate is not accepted: {why}" in refused.text


async def test_a_host_that_nobody_knows() -> None:
    """The name service's answer, and what to look at."""
    context = trust(None, verify=True)
    base = "https://kargo.example.invalid"
    (found,) = await route.check(base, context=context, seconds=5, from_pod=False)
    assert (found.level, found.text.partition(": ")[0]) == (
        Level.ERROR,
        "kargo.example.invalid:443 does not answer",
    )
    assert "DNS" in found.do
